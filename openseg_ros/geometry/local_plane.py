"""Planes through the pixels around places of an image, by weighted least squares, for all places at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Added to the spread of the pixels (their sum of squares): a few pixels in a row say nothing about the slope across.
RIDGE = 1.0
LEAST_PIXELS = 4  # that make a plane


@dataclass(frozen=True)
class LocalPlanes:
    """S planes value = middle + right * x + down * y, where x and y are pixels from the place."""

    middle: np.ndarray  # (S,) float32 value at the place; NaN without a pixel that counts
    right: np.ndarray  # (S,) float32 per pixel
    down: np.ndarray  # (S,) float32 per pixel
    count: np.ndarray  # (S,) float32 pixels that count

    def at(self, offsets: np.ndarray) -> np.ndarray:
        """(S, K) float32: the values at (2, K) float32 `offsets`, y and x in pixels."""
        slopes = np.stack([self.down, self.right], axis=1)
        found: np.ndarray = slopes @ offsets
        found += self.middle[:, None]
        return found

    def where_enough(self, others: LocalPlanes) -> LocalPlanes:
        """These planes, and `others` where too few pixels made one."""
        enough = self.count >= LEAST_PIXELS
        return LocalPlanes(
            **{name: np.where(enough, values, getattr(others, name)) for name, values in vars(self).items()}
        )

    @property
    def slope(self) -> np.ndarray:
        """(S,) float32, the steepest per pixel."""
        return np.hypot(self.right, self.down)


def windows(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray, reach: int) -> np.ndarray:
    """(S, K) pixels of (h, w) `picture` at most `reach` rows and columns from S places, which lie that far inside."""
    side = 2 * reach + 1
    if not len(rows):
        return np.zeros((0, side * side), picture.dtype)
    around = np.lib.stride_tricks.sliding_window_view(picture, (side, side))
    return np.asarray(around[rows - reach, columns - reach].reshape(len(rows), side * side))


@lru_cache(maxsize=16)
def window_offsets(reach: int) -> np.ndarray:
    """(2, K) float32 y and x of a window's pixels, seen from its place."""
    return np.asarray(np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1), np.float32)


def fit_planes(values: np.ndarray, counts: np.ndarray, offsets: np.ndarray, most: np.ndarray) -> LocalPlanes:
    """Fit the plane of each place.

    Args:
        values: (S, K) float32 of the pixels around each place; near 0, or float32 loses what differs.
        counts: (S, K) bool: pixels that count.
        offsets: (2, K) float32 y and x of the pixels.
        most: (S,) by how much a plane may lead beyond the mean of its pixels: extrapolation makes noise large.
    """
    y, x = offsets
    weights = counts.astype(np.float32)
    weighted = np.where(counts, values, np.float32(0.0))
    count, sum_x, sum_y, sum_xx, sum_xy, sum_yy = (weights @ np.stack([x**0, x, y, x * x, x * y, y * y], 1)).T
    total, total_x, total_y = (weighted @ np.stack([x**0, x, y], 1)).T
    n = np.maximum(count, 1.0)
    mean, mean_x, mean_y = total / n, sum_x / n, sum_y / n
    xx, yy, xy = sum_xx - sum_x * mean_x + RIDGE, sum_yy - sum_y * mean_y + RIDGE, sum_xy - sum_x * mean_y
    along_x, along_y = total_x - sum_x * mean, total_y - sum_y * mean
    determinant = xx * yy - xy * xy
    right = (yy * along_x - xy * along_y) / determinant
    down = (xx * along_y - xy * along_x) / determinant
    middle = mean - np.clip(right * mean_x + down * mean_y, -most, most)
    return LocalPlanes(np.where(count > 0, middle, np.float32(np.nan)), right, down, count)
