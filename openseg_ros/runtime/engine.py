"""Engines run the network; this is what every one of them offers, and how one is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from openseg_ros.runtime.weights import Weights

BACKENDS = ("auto", "openvino", "torch")
PRECISIONS = ("auto", "fp32", "bf16")


class EngineError(RuntimeError):
    """An engine cannot be made or run; the message says why and what else there is."""


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

    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network.

        Args:
            images: (B, H, W, 3) uint8 RGB, letterboxed, padding 128.
            valid: (B, h, w) float32, 1 where a grid cell shows the image, 0 in the padding.

        Raises:
            EngineError: the run failed.
        """
        ...


def create_engine(weights: Weights, backend: str = "auto", *, precision: str = "auto", device: str = "cpu") -> Engine:
    """Make an engine for `weights`.

    Args:
        weights: the model.
        backend: "openvino" (the CPU engine), "torch" (the reference), or "auto": OpenVINO on a CPU, else torch.
        precision: "fp32", "bf16", or "auto": bf16 where the processor computes in it, else fp32.
        device: "cpu", or a torch device such as "cuda:0".

    Raises:
        EngineError: an unknown name, or the device or backend is not available.
    """
    if backend not in BACKENDS:
        raise EngineError(f"unknown backend '{backend}'; choose one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise EngineError(f"unknown precision '{precision}'; choose one of {', '.join(PRECISIONS)}")
    if backend == "openvino" or (backend == "auto" and device == "cpu"):
        if device != "cpu":
            raise EngineError(f"the openvino backend runs on the CPU, not on '{device}'; use backend torch")
        from openseg_ros.runtime.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(weights, precision)
    from openseg_ros.runtime.torch_engine import TorchEngine

    return TorchEngine(weights, precision, device)
