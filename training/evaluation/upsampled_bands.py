"""Maps interpolated at the image's pixels, a band of rows at a time: all at once may not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from openseg_ros.segmenter.letterbox import Letterbox

FLOATS_AT_ONCE = 1 << 23  # 32 MB of float32, a few times that with copies; 847 classes at 640 x 480 would be 1 GB


def upsampled_bands(
    letterbox: Letterbox, grids: np.ndarray, floats: int = FLOATS_AT_ONCE
) -> Iterator[tuple[slice, np.ndarray]]:
    """Bilinear maps at the image's pixels, as `Letterbox.restore` gives them.

    Args:
        letterbox: geometry of the image.
        grids: (N, h, w) float32 over the whole grid, padding included.
        floats: most values in one band.

    Yields:
        Rows of the image, and the maps there: (N, rows, W) float32.
    """
    height, width = letterbox.image_size
    rows = max(1, floats // max(1, len(grids) * width))
    if rows >= height:
        yield slice(0, height), letterbox.restore(grids)
        return
    content = letterbox.crop(grids)
    cells = content.shape[1]
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        position = np.clip((np.arange(start, stop) + 0.5) * cells / height - 0.5, 0, cells - 1)
        low = position.astype(np.intp)
        high = np.minimum(low + 1, cells - 1)
        weight = (position - low).astype(np.float32)[:, None]
        wide = _stretch(content[:, low[0] : high[-1] + 1], width)
        band = wide[:, high - low[0]]
        below = wide[:, low - low[0]]
        band -= below
        band *= weight
        band += below
        yield slice(start, stop), band


def _stretch(grids: np.ndarray, width: int) -> np.ndarray:
    """(N, rows, w) interpolated to (N, rows, width)."""
    flat = np.ascontiguousarray(grids).reshape(-1, grids.shape[2])
    stretched = np.empty((len(flat), width), np.float32)
    limit = (1 << 15) - 1  # rows that OpenCV's resize takes
    for start in range(0, len(flat), limit):
        part = flat[start : start + limit]
        stretched[start : start + limit] = cv2.resize(part, (width, len(part)), interpolation=cv2.INTER_LINEAR)
    return stretched.reshape(*grids.shape[:2], width)
