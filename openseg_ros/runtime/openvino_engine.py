"""The CPU engine: OpenVINO, compiled from the exported graph once and then kept on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from openseg_ros.runtime.compilation import CompilationReport, Progress, compare_with_reference
from openseg_ros.runtime.engine import EngineError, EngineOutput, EngineUnavailable
from openseg_ros.runtime.engine_cache import (
    EngineRecipe,
    cache_folder,
    cached_files,
    entry_key,
    keep_files,
    kept_files,
)
from openseg_ros.runtime.frames import Frames
from openseg_ros.runtime.openvino_core import openvino_core
from openseg_ros.runtime.parity import ParityError
from openseg_ros.runtime.weights import Weights

PRECISION_NAMES = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
IR_FILE = "model.xml"  # OpenVINO's intermediate representation; the tensors are in model.bin beside it

_log = logging.getLogger(__name__)


class OpenVinoEngine:
    """Runs the exported network in OpenVINO with latency as its goal.

    `inference_precision` is always set on purpose: OpenVINO's own default differs between processors.
    """

    fallback = ""

    def __init__(
        self, core: Any, weights: Weights, folder: Path, precision: str, size: tuple[int, int], threads: int = 0
    ) -> None:
        """Open the compiled network in `folder`, whatever its answers are worth; see `load_openvino`."""
        kind = _arithmetic(core, precision)
        hints = {"INFERENCE_PRECISION_HINT": PRECISION_NAMES[kind], "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            hints["INFERENCE_NUM_THREADS"] = str(threads)
        self._compiled = core.compile_model(core.read_model(folder / IR_FILE), "CPU", hints)
        self._request = self._compiled.create_infer_request()
        self.name = f"openvino {precision} CPU"
        self.input_size = size
        self.stride = int(weights.description.model.head_stride)

    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network; see `Engine.infer`. The outputs are copies: the next run does not change them."""
        if images.shape[0] != 1:
            # The graph is compiled for one camera image.
            parts = [self.infer(images[i : i + 1], valid[i : i + 1]) for i in range(images.shape[0])]
            return EngineOutput(
                np.concatenate([part.mask_logits for part in parts]),
                np.concatenate([part.embeddings for part in parts]),
            )
        try:
            copies = self._request.infer([images, valid], share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {str(error).splitlines()[0]}") from error
        return EngineOutput(copies[0], copies[1])


def load_openvino(
    weights: Weights,
    precision: str = "auto",
    input_size: tuple[int, int] | None = None,
    threads: int = 0,
    progress: Progress = _log.info,
) -> OpenVinoEngine:
    """The engine, from what was compiled before (a second), or compiled now (some seconds).

    Args:
        weights: the model.
        precision: see `create_engine`; "int8" must have been compiled by `openseg compile`.
        input_size: (H, W) of the network's input; None takes the one of the training.
        threads: processor cores for one image; 0: all of them.
        progress: told what begins, if something takes seconds.

    Raises:
        EngineUnavailable: OpenVINO is not installed.
        EngineError: the processor cannot compute in `precision`, or nothing was compiled for "int8".
        ParityError: the compiled network's answers are too far from the reference's.
    """
    core = _core()
    if precision == "auto":
        fastest = _fastest_exact(core)
        try:
            return load_openvino(weights, fastest, input_size, threads, progress)
        except ParityError as error:
            if fastest == "fp32":
                raise
            _log.warning("%s; fp32 takes its place", error)
            return load_openvino(weights, "fp32", input_size, threads, progress)
    recipe, size = _recipe(core, weights, precision, input_size)
    key = entry_key(weights, recipe)
    if precision == "int8":  # needs recorded frames, so it cannot be made here
        entry = kept_files(key)
        if entry is None:
            chosen = f" --size {size[0]}x{size[1]}" if size != weights.description.model.input_size else ""
            raise EngineError(
                f"no int8 network of {weights.embedding_space} was compiled on this machine: run "
                f"OPENSEG_CACHE={cache_folder()} openseg compile {weights.folder} "
                f"--backend openvino --precision int8{chosen} --frames FOLDER_OR_BAG"
            )
        CompilationReport.read(entry).require_parity()
        return OpenVinoEngine(core, weights, entry, precision, size, threads)
    try:
        with cached_files(key, _compiler(core, weights, recipe, size, progress)) as folder:
            CompilationReport.read(folder).require_parity()
            return OpenVinoEngine(core, weights, folder, precision, size, threads)
    except OSError as error:
        raise EngineError(f"the compiled network cannot be written anywhere: {error}") from error


def compile_openvino(
    weights: Weights,
    precision: str,
    input_size: tuple[int, int] | None,
    calibration: Frames | None,
    recorded: Frames | None,
    progress: Progress,
) -> tuple[Path, CompilationReport]:
    """Compile `weights` anew and keep the result in the cache, where `load_openvino` finds it.

    Args:
        weights: the model.
        precision: "auto", "fp32", "bf16" or "int8".
        input_size: (H, W) of the network's input; None takes the one of the training.
        calibration: what int8 takes the ranges of its numbers from; needed for int8.
        recorded: compared beside the fixed frames.
        progress: told what begins.

    Returns:
        The entry's folder and the report, of an engine that is good enough.

    Raises:
        EngineUnavailable: a package is not installed.
        EngineError: the processor cannot compute in `precision`, or too few frames.
        ParityError: the answers are too far from the reference's.
        OSError: the result cannot be kept.
    """
    core = _core()
    if precision == "auto":
        precision = _fastest_exact(core)
    if precision == "int8" and calibration is None:
        raise EngineError("int8 needs recorded frames to calibrate: --frames FOLDER_OR_BAG")
    recipe, size = _recipe(core, weights, precision, input_size)
    make = _compiler(core, weights, recipe, size, progress, recorded, calibration)
    entry = keep_files(entry_key(weights, recipe), make)
    report = CompilationReport.read(entry)
    report.require_parity()
    return entry, report


def _core() -> Any:
    try:
        return openvino_core()
    except ImportError as error:
        raise EngineUnavailable(
            "backend openvino needs the Python package 'openvino'; install it or use torch"
        ) from error


def _fastest_exact(core: Any) -> str:
    """bf16 where the processor computes in it, else fp32."""
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"


def _arithmetic(core: Any, precision: str) -> str:
    """Number format of what is not int8.

    Raises:
        EngineError: the processor does not have it.
    """
    if precision == "int8":
        return _fastest_exact(core)
    if precision != "fp32" and precision.upper() not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineError(f"this processor does not compute in {precision}; use precision fp32 or auto")
    return precision


def _recipe(
    core: Any, weights: Weights, precision: str, input_size: tuple[int, int] | None
) -> tuple[EngineRecipe, tuple[int, int]]:
    import openvino

    _arithmetic(core, precision)
    size = input_size or weights.description.model.input_size
    return (
        EngineRecipe(
            backend="openvino",
            precision=precision,
            device=core.get_property("CPU", "FULL_DEVICE_NAME"),
            profile=f"1x{size[0]}x{size[1]}",
            versions=(f"openvino {openvino.__version__}", f"torch {version('torch')}"),
        ),
        size,
    )


def _compiler(
    core: Any,
    weights: Weights,
    recipe: EngineRecipe,
    size: tuple[int, int],
    progress: Progress,
    recorded: Frames | None = None,
    calibration: Frames | None = None,
) -> Callable[[Path], None]:
    """What fills an entry: the network, and the report of how close it comes to torch."""

    def compile_into(folder: Path) -> None:
        # Imported here: with a kept network, the model's code and what it imports are not needed (seconds of a start).
        import openvino

        from openseg_ros.model.openseg import OpenSegInference
        from openseg_ros.runtime.network_export import export_network

        progress("exporting the network")
        stride = int(weights.description.model.head_stride)
        exported = export_network(OpenSegInference(weights.build_network()), size, stride)
        progress("converting it to OpenVINO")
        converted = openvino.convert_model(exported)
        if recipe.precision == "int8":
            from openseg_ros.runtime.int8 import quantise

            assert calibration is not None, "nothing else compiles int8"
            progress(f"calibrating int8 on {len(calibration)} frames")
            converted = quantise(converted, calibration)
        try:
            openvino.save_model(converted, folder / IR_FILE, compress_to_fp16=False)
        except RuntimeError as error:  # OpenVINO's way to say that the disk is full
            raise OSError(str(error)) from error
        engine = OpenVinoEngine(core, weights, folder, recipe.precision, size)
        compare_with_reference(weights, engine, recipe, recorded, progress).write(folder)

    return compile_into
