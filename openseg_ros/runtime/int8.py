"""Networks with 8-bit convolutions: quantised after training, calibrated on recorded frames."""

from __future__ import annotations

import logging
from typing import Any

from openseg_ros.runtime.engine import EngineError, EngineUnavailable
from openseg_ros.runtime.frames import Frames

MIN_FRAMES = 16  # fewer do not show the range of the activations


def quantise(model: Any, frames: Frames) -> Any:
    """Make the convolutions of an OpenVINO model int8, by NNCF's post-training quantisation.

    Matrix products stay in floating point: attention, mask logits and pooling are a small part of the work, and with
    them in 8 bits the embeddings of small regions are lost.

    Args:
        model: converted network, float32.
        frames: recorded images from which the ranges of activations are taken.

    Raises:
        EngineError: too few frames, or NNCF is not installed.
    """
    if len(frames) < MIN_FRAMES:
        raise EngineError(f"int8 needs at least {MIN_FRAMES} recorded frames to calibrate, not {len(frames)}")
    try:
        import nncf
    except ImportError as error:
        raise EngineUnavailable(
            "int8 needs the Python package 'nncf' to compile: pip install 'openseg_ros[compile]'"
        ) from error

    nncf.set_log_level(logging.WARNING)

    def inputs(number: int) -> list[Any]:
        return [frames.images[number : number + 1], frames.valid[number : number + 1]]

    return nncf.quantize(
        model,
        nncf.Dataset(range(len(frames)), inputs),
        subset_size=len(frames),
        ignored_scope=nncf.IgnoredScope(types=["MatMul"], validate=False),
    )
