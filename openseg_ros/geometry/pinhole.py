"""The pinhole model of a rectified camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Pinhole:
    """Intrinsics of an image of `size`; focal lengths and principal point in pixels."""

    size: tuple[int, int]  # (height, width)
    fx: float
    fy: float
    cx: float
    cy: float

    def tangents(self) -> tuple[np.ndarray, np.ndarray]:
        """The direction of every pixel: x / z of each column (W,) and y / z of each row (H,), float32."""
        return _tangents(self)


@lru_cache(maxsize=8)
def _tangents(camera: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    height, width = camera.size
    right = (np.arange(width) - camera.cx) / camera.fx
    down = (np.arange(height) - camera.cy) / camera.fy
    return right.astype(np.float32), down.astype(np.float32)
