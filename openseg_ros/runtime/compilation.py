"""What every compiled engine goes through before it is used: a comparison with the reference, and a report of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from openseg_ros.runtime.engine import Engine
from openseg_ros.runtime.engine_cache import EngineRecipe
from openseg_ros.runtime.frames import Frames, fixed_frames
from openseg_ros.runtime.parity import Parity, compare_engines, require_parity
from openseg_ros.runtime.weights import Weights

REPORT_FILE = "report.json"
# Names that regions are given for the comparison; any would do, as long as they are many and lie apart.
WORDS = (
    *("cup", "bowl", "plate", "spoon", "fork", "knife", "bottle", "can", "box", "book", "banana", "apple", "orange"),
    *("hammer", "screwdriver", "scissors", "pen", "phone", "keyboard", "laptop", "chair", "table", "wall", "floor"),
    *("person", "hand", "ball", "lamp", "plant", "tape", "brush", "toy"),
)

Progress = Callable[[str], None]  # is told what begins: "exporting the network"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompilationReport:
    """What was compiled and how close it came."""

    recipe: EngineRecipe
    parity: Parity
    frames: int  # that were compared

    def write(self, folder: Path) -> None:
        """Put the report beside the engine.

        Raises:
            OSError: it cannot be written.
        """
        (folder / REPORT_FILE).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> CompilationReport:
        """The report that lies beside an engine."""
        content = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        recipe = EngineRecipe(**{**content["recipe"], "versions": tuple(content["recipe"]["versions"])})
        return cls(recipe, Parity(**content["parity"]), content["frames"])

    def require_parity(self) -> None:
        """Refuse the engine if its figures are below the bounds.

        Raises:
            ParityError: with the figures.
        """
        require_parity(f"{self.recipe.backend} {self.recipe.precision}", self.recipe.precision, self.parity)


def compare_with_reference(
    weights: Weights, candidate: Engine, recipe: EngineRecipe, recorded: Frames | None, progress: Progress
) -> CompilationReport:
    """Run `candidate` and torch in float32 on the fixed frames and, if there are any, on `recorded` ones.

    Raises:
        WeightsError: a picture of the model cannot be read.
        EngineError: a run failed.
    """
    from openseg_ros.runtime.torch_engine import TorchEngine

    progress("comparing with the reference")
    frames = fixed_frames(weights, candidate.input_size)
    if recorded is not None:
        frames = frames + recorded
    reference = TorchEngine(weights, "fp32", "cpu", candidate.input_size)
    return CompilationReport(
        recipe, compare_engines(reference, candidate, frames, _words(weights.description.text_encoder)), len(frames)
    )


def _words(text_encoder: str) -> np.ndarray | None:
    from openseg_ros.text.text_encoder import TextEncoderError, load_text_encoder

    try:
        return load_text_encoder(text_encoder).encode(WORDS)
    except TextEncoderError as error:
        _log.warning("labels are not compared, only embeddings and masks: %s", error)
        return None
