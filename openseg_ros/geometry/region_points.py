"""Which points belong to a region, and where its middle is."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# Along an outline, depth cameras mix object and background into points that belong to neither, and a mask may be a
# pixel wrong: this share of the image's width is cut off there (2 pixels of 640).
EDGE_SHARE = 1 / 320
LEAST_INTERIOR = 16  # pixels; a region of which less would be left (a pencil far away) keeps its edge


def edge_width(width: int) -> int:
    """Pixels to cut off along outlines in an image of `width` pixels."""
    return max(1, round(width * EDGE_SHARE))


def without_edge(mask: np.ndarray, edge: int) -> np.ndarray:
    """A mask without the pixels that are at most `edge` from its outline, or all of it if next to nothing is left.

    Args:
        mask: (H, W) uint8, not 0 inside. The picture's border is no outline.
        edge: pixels.

    Returns:
        (H, W) bool.
    """
    inner: np.ndarray = cv2.erode(mask, np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)) > 0
    return inner if np.count_nonzero(inner) >= LEAST_INTERIOR else mask > 0


def centroids(points: np.ndarray, boxes: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Mean position of the measured points of each region, without those at its edge.

    Args:
        points: (H, W, 3) float32 metres, NaN where nothing was measured.
        boxes: (R, 4) x y width height, pixels.
        masks: R of (height, width) uint8, not 0 inside.

    Returns:
        (R, 3) float64 metres; NaN for a region without a measured point.
    """
    height, width = points.shape[:2]
    edge = edge_width(width)
    middles = np.full((len(masks), 3), np.nan)
    for row, ((x, y, box_width, box_height), mask) in enumerate(zip(boxes.tolist(), masks, strict=True)):
        top, left = max(y - edge, 0), max(x - edge, 0)
        bottom, right = min(y + box_height + edge, height), min(x + box_width + edge, width)
        sides = (y - top, bottom - y - box_height, x - left, right - x - box_width)
        inside = without_edge(cv2.copyMakeBorder(mask, *sides, cv2.BORDER_CONSTANT, value=0), edge)
        own = points[top:bottom, left:right][inside]
        measured = own[~np.isnan(own[:, 2])]
        if len(measured):
            middles[row] = measured.mean(0, dtype=np.float64)
    return middles
