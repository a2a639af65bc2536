"""Depth images to points, by the pinhole model of a rectified camera."""

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

    def points(self, depth: np.ndarray) -> np.ndarray:
        """Points in the camera's optical frame (x right, y down, z forward; REP 103).

        Args:
            depth: (H, W) float32, metres along the optical axis; not positive or not finite: not measured.

        Returns:
            (H, W, 3) float32 metres, NaN where nothing was measured.
        """
        z = np.where((depth > 0) & np.isfinite(depth), depth, np.float32(np.nan))
        right, down = _slopes(self)
        points = np.empty((*self.size, 3), np.float32)
        np.multiply(z, right, out=points[..., 0])
        np.multiply(z, down, out=points[..., 1])
        points[..., 2] = z
        return points


@lru_cache(maxsize=8)
def _slopes(camera: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    """Tangents: x / z of each column (W,) and y / z of each row (H, 1), float32."""
    height, width = camera.size
    right = (np.arange(width) - camera.cx) / camera.fx
    down = (np.arange(height) - camera.cy) / camera.fy
    return right.astype(np.float32), down.astype(np.float32)[:, None]
