"""Engines run the network; this is what every one of them offers, and how one is chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from openseg_ros.runtime.weights import Weights

BACKENDS = ("auto", "openvino", "tensorrt", "torch")
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")
COARSEST_STRIDE = 32  # of the backbone; input sizes are multiples of it

_log = logging.getLogger(__name__)


class EngineError(RuntimeError):
    """An engine cannot be made or run; the message says why and what else there is."""


class EngineUnavailable(EngineError):
    """A library or a device of this backend is missing: backend "auto" then takes another one."""


@dataclass(frozen=True)
class EngineOutput:
    """What one run of the network gives for a batch of B images."""

    mask_logits: np.ndarray  # (B, N, h, w) float32; a pixel belongs to the mask where it is > 0
    embeddings: np.ndarray  # (B, N, D) float32, rows of unit length


class Engine(Protocol):
    """A network ready to run."""

    name: str  # backend, precision and device, for people: "openvino bf16 CPU"
    input_size: tuple[int, int]  # (H, W) of the network's input, pixels
    stride: int  # input pixels per grid cell
    fallback: str  # why backend "auto" did not take the fastest engine of the device; "" if it did

    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network.

        Args:
            images: (B, H, W, 3) uint8 RGB, letterboxed, padding 128.
            valid: (B, h, w) float32, 1 where a grid cell shows the image, 0 in the padding.

        Raises:
            EngineError: the run failed.
        """
        ...


def create_engine(
    weights: Weights,
    backend: str = "auto",
    *,
    precision: str = "auto",
    device: str = "cpu",
    input_size: tuple[int, int] | None = None,
    threads: int = 0,
    progress: Callable[[str], None] = _log.info,
) -> Engine:
    """Make an engine for `weights`; a compiled one comes from the cache, or is compiled, compared and kept there.

    Args:
        weights: the model.
        backend: "openvino" (the CPU engine), "tensorrt" (the GPU engine), "torch" (the reference), or "auto":
            OpenVINO on a CPU, TensorRT on a GPU, and torch where these cannot be had (`Engine.fallback` says why).
        precision: "fp32", "fp16", "bf16", "int8", or "auto": the fastest that keeps the accuracy (openvino: bf16 where
            the processor computes in it, else fp32; tensorrt: fp16; torch: fp32).
        device: "cpu", or a torch device such as "cuda:0".
        input_size: (H, W) of the network's input, multiples of 32; None takes the one of the training.
        threads: processor cores that OpenVINO uses for one image; 0: all of them. Torch keeps its own setting.
        progress: told what begins, if something takes seconds.

    Raises:
        EngineError: an unknown name, the device or backend is not available, or the compiled network is refused.
    """
    if backend not in BACKENDS:
        raise EngineError(f"unknown backend '{backend}'; choose one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise EngineError(f"unknown precision '{precision}'; choose one of {', '.join(PRECISIONS)}")
    if input_size is not None and any(side <= 0 or side % COARSEST_STRIDE for side in input_size):
        raise EngineError(f"input size {input_size[0]}x{input_size[1]}: both must be multiples of {COARSEST_STRIDE}")
    chosen = backend if backend != "auto" else "openvino" if device == "cpu" else "tensorrt"
    try:
        return _create(chosen, weights, precision, device, input_size, threads, progress)
    except EngineUnavailable as error:
        if backend != "auto":
            raise
        engine = _create("torch", weights, precision, device, input_size, threads, progress)
        engine.fallback = str(error)
        _log.warning("torch runs the network, which is slower than %s: %s", chosen, error)
        return engine


def _create(
    backend: str,
    weights: Weights,
    precision: str,
    device: str,
    input_size: tuple[int, int] | None,
    threads: int,
    progress: Callable[[str], None],
) -> Engine:
    if backend == "openvino":
        if device != "cpu":
            raise EngineError(f"the openvino backend runs on the CPU, not on '{device}'; use backend torch")
        from openseg_ros.runtime.openvino_engine import load_openvino

        return load_openvino(weights, precision, input_size, threads, progress)
    if backend == "tensorrt":
        from openseg_ros.runtime.tensorrt_engine import load_tensorrt

        return load_tensorrt(weights, precision, device, input_size, progress)
    from openseg_ros.runtime.torch_engine import TorchEngine

    return TorchEngine(weights, precision, device, input_size)
