"""The GPU engine: TensorRT through torch-tensorrt, compiled once for each GPU and then kept on disk.

The library is an extra (`pip install 'openseg_ros[tensorrt]'`, several gigabytes). This path is tested as far as a
machine without a GPU goes: the exported graph with its dynamic batch, the choice of engine, and what is said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openseg_ros.runtime.compilation import CompilationReport, Progress, compare_with_reference
from openseg_ros.runtime.engine import EngineError, EngineOutput, EngineUnavailable
from openseg_ros.runtime.engine_cache import EngineRecipe, cached_files, entry_key, keep_files
from openseg_ros.runtime.frames import Frames
from openseg_ros.runtime.network_export import export_network
from openseg_ros.runtime.weights import Weights

PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
MAX_BATCH = 8  # cameras of one robot that share a network
OPTIMAL_BATCH = 1  # what TensorRT times its kernels with: one camera is the usual case
ENGINE_FILE = "model.pt2"  # an exported program with the TensorRT engine inside

_log = logging.getLogger(__name__)


class TensorRtEngine:
    """Runs the compiled network for up to `MAX_BATCH` images at once."""

    fallback = ""

    def __init__(self, weights: Weights, folder: Path, precision: str, device: torch.device, size: tuple[int, int]):
        """Open the compiled network in `folder`, whatever its answers are worth; see `load_tensorrt`."""
        try:
            with torch.cuda.device(device):
                self._network = torch.export.load(folder / ENGINE_FILE).module()
        except RuntimeError as error:
            raise EngineError(f"TensorRT cannot open {folder / ENGINE_FILE}: {str(error).splitlines()[0]}") from error
        self._device = device
        self.name = f"tensorrt {precision} {device}"
        self.input_size = size
        self.stride = int(weights.description.model.head_stride)

    @torch.inference_mode()
    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network; see `Engine.infer`."""
        parts = []
        try:
            for first in range(0, len(images), MAX_BATCH):
                chosen = slice(first, first + MAX_BATCH)
                inputs = [torch.from_numpy(array[chosen]).to(self._device) for array in (images, valid)]
                parts.append([output.float().cpu().numpy() for output in self._network(*inputs)])
        except RuntimeError as error:
            raise EngineError(f"TensorRT failed: {str(error).splitlines()[0]}") from error
        mask_logits, embeddings = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        return EngineOutput(mask_logits, embeddings)


def load_tensorrt(
    weights: Weights,
    precision: str = "auto",
    device: str = "cuda:0",
    input_size: tuple[int, int] | None = None,
    progress: Progress = _log.info,
) -> TensorRtEngine:
    """The engine, from what was compiled for this GPU before, or compiled now (minutes).

    Raises:
        EngineUnavailable: no NVIDIA GPU, or torch-tensorrt is not installed.
        EngineError: `precision` is not offered, or TensorRT failed.
        ParityError: the compiled network's answers are too far from the reference's.
    """
    gpu, recipe, size = _prepare(weights, precision, device, input_size)
    try:
        with cached_files(entry_key(weights, recipe), _compiler(weights, recipe, gpu, size, progress)) as folder:
            CompilationReport.read(folder).require_parity()
            return TensorRtEngine(weights, folder, recipe.precision, gpu, size)
    except OSError as error:
        raise EngineError(f"the compiled network cannot be written anywhere: {error}") from error


def compile_tensorrt(
    weights: Weights,
    precision: str,
    device: str,
    input_size: tuple[int, int] | None,
    recorded: Frames | None,
    progress: Progress,
) -> tuple[Path, CompilationReport]:
    """Compile `weights` anew and keep the result in the cache, where `load_tensorrt` finds it.

    Returns:
        The entry's folder and the report, of an engine that is good enough.

    Raises:
        EngineUnavailable, EngineError, ParityError: see `load_tensorrt`.
        OSError: the result cannot be kept.
    """
    gpu, recipe, size = _prepare(weights, precision, device, input_size)
    entry = keep_files(entry_key(weights, recipe), _compiler(weights, recipe, gpu, size, progress, recorded))
    report = CompilationReport.read(entry)
    report.require_parity()
    return entry, report


def _prepare(
    weights: Weights, precision: str, device: str, input_size: tuple[int, int] | None
) -> tuple[torch.device, EngineRecipe, tuple[int, int]]:
    precision = "fp16" if precision == "auto" else precision
    if precision not in PRECISIONS:
        raise EngineError(f"backend tensorrt has no {precision}; use one of {', '.join(PRECISIONS)}")
    if not device.startswith("cuda"):
        raise EngineUnavailable(
            f"tensorrt runs on an NVIDIA GPU, not on '{device}'; use device cuda:0 or another backend"
        )
    if not torch.cuda.is_available():
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        raise EngineUnavailable(f"tensorrt needs an NVIDIA GPU, and torch {torch.__version__} ({build}) sees none")
    try:
        import torch_tensorrt
    except ImportError as error:
        raise EngineUnavailable("tensorrt needs torch-tensorrt: pip install 'openseg_ros[tensorrt]'") from error
    gpu = torch.device(device)
    properties = torch.cuda.get_device_properties(gpu)
    size = input_size or weights.description.model.input_size
    recipe = EngineRecipe(
        backend="tensorrt",
        precision=precision,
        device=f"{properties.name} {properties.major}.{properties.minor}",
        profile=f"1..{MAX_BATCH}x{size[0]}x{size[1]}",
        versions=(f"torch_tensorrt {torch_tensorrt.__version__}", f"torch {torch.__version__}"),
    )
    return gpu, recipe, size


def _compiler(
    weights: Weights,
    recipe: EngineRecipe,
    device: torch.device,
    size: tuple[int, int],
    progress: Progress,
    recorded: Frames | None = None,
) -> Callable[[Path], None]:
    """What fills an entry: the network, and the report of how close it comes to torch."""

    def compile_into(folder: Path) -> None:
        import torch_tensorrt

        from openseg_ros.model.openseg import OpenSegInference

        progress("exporting the network")
        stride = int(weights.description.model.head_stride)
        network = OpenSegInference(weights.build_network()).to(device)
        exported = export_network(network, size, stride, MAX_BATCH)
        progress("building the TensorRT engine (minutes)")
        shapes = ((*size, 3), torch.uint8), ((size[0] // stride, size[1] // stride), torch.float32)
        inputs: list[Any] = [
            torch_tensorrt.Input(
                min_shape=(1, *shape), opt_shape=(OPTIMAL_BATCH, *shape), max_shape=(MAX_BATCH, *shape), dtype=kind
            )
            for shape, kind in shapes
        ]
        low = PRECISIONS[recipe.precision]
        mixed = {} if low is None else {"enable_autocast": True, "autocast_low_precision_type": low}
        try:
            compiled = torch_tensorrt.dynamo.compile(exported, arg_inputs=inputs, device=device, **mixed)
            torch_tensorrt.save(compiled, str(folder / ENGINE_FILE), arg_inputs=inputs)
        except RuntimeError as error:
            raise EngineError(f"TensorRT cannot compile the network: {str(error).splitlines()[0]}") from error
        engine = TensorRtEngine(weights, folder, recipe.precision, device, size)
        compare_with_reference(weights, engine, recipe, recorded, progress).write(folder)

    return compile_into
