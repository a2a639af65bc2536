"""The CPU engine: OpenVINO, converted from the exported graph once and then kept on disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from openseg_ros.runtime.engine import EngineError, EngineOutput
from openseg_ros.runtime.engine_cache import cached_files, entry_key
from openseg_ros.runtime.weights import Weights

if TYPE_CHECKING:
    from openseg_ros.model.openseg import OpenSegInference

PRECISION_NAMES = {"fp32": "f32", "bf16": "bf16"}
IR_FILE = "model.xml"  # OpenVINO's intermediate representation; the tensors are in model.bin beside it


class OpenVinoEngine:
    """Runs the exported network in OpenVINO with latency as its goal.

    `inference_precision` is always set on purpose: OpenVINO's own default differs between processors.
    """

    def __init__(self, weights: Weights, precision: str = "auto") -> None:
        """Compile `weights`: a second if they were converted before, else some seconds.

        Raises:
            EngineError: OpenVINO is not installed, or the processor cannot compute in `precision`.
        """
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                "backend openvino needs the Python package 'openvino'; install it or use torch"
            ) from error
        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "auto":
            precision = "bf16" if "BF16" in capabilities else "fp32"
        elif precision == "bf16" and "BF16" not in capabilities:
            raise EngineError("this processor does not compute in bf16; use precision fp32 or auto")
        config = weights.description.model
        hints = {"INFERENCE_PRECISION_HINT": PRECISION_NAMES[precision], "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = core.compile_model(_converted(core, weights), "CPU", hints)
        self._request = self._compiled.create_infer_request()
        self.name = f"openvino {precision} CPU"
        self.input_size = config.input_size
        self.stride = int(config.head_stride)

    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network; see `Engine.infer`. The outputs are copies: the next run does not change them."""
        if images.shape[0] != 1:
            # The graph is compiled for one camera image; batches come with the engines of issue 6.
            parts = [self.infer(images[i : i + 1], valid[i : i + 1]) for i in range(images.shape[0])]
            return EngineOutput(
                np.concatenate([part.mask_logits for part in parts]),
                np.concatenate([part.embeddings for part in parts]),
            )
        try:
            self._request.infer([images, valid], share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {str(error).splitlines()[0]}") from error
        mask_logits, embeddings = (self._request.get_output_tensor(index).data.copy() for index in (0, 1))
        return EngineOutput(mask_logits, embeddings)


def _converted(core: Any, weights: Weights) -> Any:
    """`weights` as an OpenVINO model, float32, from the cache where possible."""
    import openvino

    made: list[Any] = []

    def convert() -> Any:
        # Imported here: with a kept network, the model's code and what it imports are not needed (seconds of a start).
        from openseg_ros.model.openseg import OpenSegInference

        config = weights.description.model
        return openvino.convert_model(
            export_network(OpenSegInference(weights.build_network()), config.input_size, config.grid)
        )

    def make(folder: Path) -> None:
        made.append(convert())
        try:
            openvino.save_model(made[0], folder / IR_FILE, compress_to_fp16=False)
        except RuntimeError as error:  # OpenVINO's way to say that the disk is full
            raise OSError(str(error)) from error

    entry = cached_files(entry_key(weights, "openvino", openvino.__version__, torch.__version__), make)
    if entry:  # read back even where just made: every start then runs the same graph, to the last bit
        return core.read_model(entry / IR_FILE)
    return made[0] if made else convert()


def export_network(
    network: OpenSegInference, input_size: tuple[int, int], grid: tuple[int, int]
) -> torch.export.ExportedProgram:
    """Export `network` for one image of `input_size` with torch.export (static shapes, batch 1)."""
    example = torch.zeros(1, *input_size, 3, dtype=torch.uint8), torch.ones(1, *grid)
    quiet = logging.getLogger("torch.export")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with torch.no_grad():
            return torch.export.export(network, example)
    finally:
        quiet.setLevel(level)
