"""A depth image as points in space, and how much noise is in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from openseg_ros.geometry.pinhole import Pinhole

NOISE_ROWS = 16  # rows of an image that tell its noise: ten thousand values at 640 columns
# Of a second difference a - 2b + c, from its median size: the quartile of a normal distribution, 1 + 4 + 1 variances.
SIGMA_OF_MEDIAN = 1.0 / (0.6745 * np.sqrt(6.0))


@dataclass(frozen=True)
class ImagePoints:
    """What one depth image measured, pixel by pixel, in the optical frame of the camera that saw it.

    The frame is x right, y down, z forward (REP 103). Pictures are made when they are first read.
    """

    camera: Pinhole
    depth: np.ndarray  # (H, W) float32 metres along the optical axis; not positive or not finite: not measured

    @cached_property
    def z(self) -> np.ndarray:
        """(H, W) float32 metres, 0 where nothing was measured."""
        z: np.ndarray = cv2.copyTo(self.depth, self.is_measured.view(np.uint8))
        return z

    @cached_property
    def is_measured(self) -> np.ndarray:
        """(H, W) bool."""
        return _is_measured(self.depth)

    @cached_property
    def xyz(self) -> np.ndarray:
        """(H, W, 3) float32 metres, NaN where nothing was measured."""
        return self._xyz(self.depth, self.is_measured, *self.camera.tangents())

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(R, C, 3) float32 metres: the points of the pixels where `rows` (R,) and `columns` (C,) int cross."""
        right, down = self.camera.tangents()
        depth = self.depth[np.ix_(rows, columns)]
        return self._xyz(depth, _is_measured(depth), right[columns], down[rows])

    @staticmethod
    def _xyz(depth: np.ndarray, is_measured: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
        z = np.where(is_measured, depth, np.float32(np.nan))
        points = np.empty((*z.shape, 3), np.float32)
        np.multiply(z, right, out=points[..., 0])
        np.multiply(z, down[:, None], out=points[..., 1])
        points[..., 2] = z
        return points

    @cached_property
    def noise(self) -> float:
        """Standard deviation of z on smooth surfaces, metres: what is neither constant nor linear along the rows."""
        step = max(1, len(self.depth) // NOISE_ROWS)
        z, is_measured = self.depth[::step], self.is_measured[::step]
        triple = is_measured[:, :-2] & is_measured[:, 1:-1] & is_measured[:, 2:]
        bend = np.abs(z[:, :-2][triple] - 2.0 * z[:, 1:-1][triple] + z[:, 2:][triple])
        return float(np.median(bend) * SIGMA_OF_MEDIAN) if bend.size else 0.0


def _is_measured(depth: np.ndarray) -> np.ndarray:
    measured: np.ndarray = (depth > 0) & (depth < np.inf)  # NaN is neither
    return measured
