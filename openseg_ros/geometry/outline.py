"""What lies along the outline of a region."""

from __future__ import annotations

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
