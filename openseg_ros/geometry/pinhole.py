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
        return self.at_depth(z, 0, 0)

    def at_depth(self, z: np.ndarray, left: int, top: int) -> np.ndarray:
        """Points of a part of the image, `z` (h, w) float32 metres, whose first pixel is (left, top): (h, w, 3)."""
        height, width = z.shape
        right, down = _slopes(self)
        points = np.empty((height, width, 3), np.float32)
        np.multiply(z, right[left : left + width], out=points[..., 0])
        np.multiply(z, down[top : top + height], out=points[..., 1])
        points[..., 2] = z
        return points


@dataclass(frozen=True)
class ImagePoints:
    """What one depth image measured, pixel by pixel, in the optical frame of the camera that saw it."""

    camera: Pinhole
    xyz: np.ndarray  # (H, W, 3) float32 metres, NaN where nothing was measured


@lru_cache(maxsize=8)
def _slopes(camera: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    """Tangents: x / z of each column (W,) and y / z of each row (H, 1), float32."""
    height, width = camera.size
    right = (np.arange(width) - camera.cx) / camera.fx
    down = (np.arange(height) - camera.cy) / camera.fy
    return right.astype(np.float32), down.astype(np.float32)[:, None]
