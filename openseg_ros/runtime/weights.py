"""A model folder: `model.safetensors` beside `model.yaml`, loaded, checked and identified by its hash.

Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from safetensors import SafetensorError, deserialize

from openseg_ros.configuration import ConfigurationError, build_config, read_yaml, to_mapping
from openseg_ros.model.config import ModelConfig
from openseg_ros.runtime.calibration import COHORT_FILE, Calibration, CalibrationNumbers, read_cohort
from openseg_ros.share_directory import share_directory

if TYPE_CHECKING:
    from torch import Tensor

    from openseg_ros.model.openseg import OpenSeg

TENSOR_FILE = "model.safetensors"
CONFIG_FILE = "model.yaml"


class WeightsError(RuntimeError):
    """A model folder is missing, damaged, or does not fit its configuration; the message says which."""


@dataclass(frozen=True)
class ModelDescription:
    """Content of `model.yaml`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    text_encoder: str = "minilm"
    calibration: CalibrationNumbers = field(default_factory=CalibrationNumbers)


@dataclass(frozen=True)
class Weights:
    """A trained network with what is needed to use it.

    torch reads the tensors only when somebody asks for them: an engine that was converted before starts without it.
    """

    name: str
    folder: Path
    description: ModelDescription
    calibration: Calibration  # the numbers of `description` with the words that they need
    content: bytes = field(repr=False)  # of the tensor file
    sha256: str  # of `content`

    @property
    def embedding_space(self) -> str:
        """Name of the space of the region embeddings: vectors compare only if this is equal."""
        return f"{self.name}/{self.sha256[:12]}"

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors by name, floating ones in float32; read anew each time."""
        from safetensors.torch import load

        tensors = load(self.content)
        return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}

    def build_network(self) -> OpenSeg:
        """The network with these weights, in evaluation mode, float32.

        Raises:
            WeightsError: tensors are missing, surplus, or of another shape than the configuration says.
        """
        # Imported here: an engine that was converted before starts without the network's code (and transformers').
        from openseg_ros.model.openseg import OpenSeg

        network, given = OpenSeg(self.description.model), self.state
        shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        given_shapes = {key: tuple(tensor.shape) for key, tensor in given.items()}
        wrong = [key for key in shapes | given_shapes if shapes.get(key) != given_shapes.get(key)]
        if wrong:
            key = wrong[0]
            raise WeightsError(
                f"{self.folder / TENSOR_FILE} does not fit {CONFIG_FILE}: {key} is {given_shapes.get(key, 'missing')}, "
                f"expected {shapes.get(key, 'none')} ({len(wrong)} of {len(shapes)} tensors differ)"
            )
        network.load_state_dict(given)
        return network.float().eval()


def load_weights(source: str | Path) -> Weights:
    """Load a model.

    Args:
        source: the name of a shipped model ("tabletop"), or a folder with the files.

    Raises:
        WeightsError: no such model, unreadable or damaged files, an unknown configuration key.
    """
    folder = _model_folder(source)
    try:
        description = build_config(ModelDescription, read_yaml(folder / CONFIG_FILE))
        content = (folder / TENSOR_FILE).read_bytes()
        deserialize(content)  # raises if it is no such file, and needs no torch
    except (ConfigurationError, ValueError) as error:
        raise WeightsError(f"{folder / CONFIG_FILE}: {error}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {folder / TENSOR_FILE}: {error.strerror}") from error
    except (SafetensorError, struct.error) as error:
        raise WeightsError(
            f"{folder / TENSOR_FILE} is damaged or not a safetensors file ({error}); fetch or train it again"
        ) from error
    return Weights(
        name=folder.name,
        folder=folder,
        description=description,
        calibration=_calibration(folder, description),
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _calibration(folder: Path, description: ModelDescription) -> Calibration:
    try:
        words = read_cohort(folder)
    except ValueError as error:
        raise WeightsError(str(error)) from error
    if description.calibration.cohort and words.shape[1:] != (description.model.embedding_dim,):
        raise WeightsError(
            f"{folder / CONFIG_FILE} weighs a cohort, but {COHORT_FILE} beside it "
            + (f"has vectors of {words.shape[1]} numbers" if words.size else "is missing")
        )
    return Calibration(**asdict(description.calibration), words=words)


def save_weights(folder: Path, state: dict[str, Tensor], description: ModelDescription) -> None:
    """Write a model folder; floating tensors are stored as float16, which halves the file (see the model card).

    Both files are written beside their place and renamed, so that a full disk leaves the old ones intact.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    from safetensors.torch import save

    half = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    write_atomically(folder / TENSOR_FILE, save({key: tensor.contiguous().cpu() for key, tensor in half.items()}))
    text = yaml.safe_dump(to_mapping(description), sort_keys=False)
    write_atomically(folder / CONFIG_FILE, text.encode())


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write `content`, whole or piece by piece, to `path` so that a reader sees the old file or the whole new one.

    Raises:
        OSError: no space, no permission.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.writelines([content] if isinstance(content, bytes) else content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide a shared file from other users
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _model_folder(source: str | Path) -> Path:
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve()
    shipped_models = share_directory() / "models"
    shipped = shipped_models / str(source)
    if not folder.is_absolute() and str(source) and (shipped / CONFIG_FILE).is_file():
        return shipped
    names = sorted(path.parent.name for path in shipped_models.glob(f"*/{CONFIG_FILE}"))
    raise WeightsError(f"no model '{source}': not a folder, and not one of {', '.join(names) or 'none shipped'}")
