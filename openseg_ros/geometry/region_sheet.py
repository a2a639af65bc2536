"""The masks of all regions of an image below each other on one sheet, so that one call works on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_ros.geometry.outline import LEAST_INTERIOR


@dataclass(frozen=True)
class RegionSheet:
    """R windows, each a region's box with a margin, one below the other; (h, w) pictures are of the whole sheet.

    In the order of the sheet's pixels, those of a region follow each other.
    """

    mask: np.ndarray  # (h, w) bool
    inner: np.ndarray  # (h, w) bool: not along the outline; of thin parts their middle, or all
    first_row: np.ndarray  # (R + 1,) int: where each window begins, and the last one ends
    shift: np.ndarray  # (R, 2) int: row and column in the image minus those on the sheet

    @property
    def window(self) -> np.ndarray:
        """(h,) int: the region that each row of the sheet belongs to."""
        return np.repeat(np.arange(len(self.shift)), np.diff(self.first_row))

    def areas(self, which: np.ndarray) -> np.ndarray:
        """(R,) how many pixels of each window are true in (h, w) `which`."""
        per_row = cv2.reduce(which.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S) if which.size else which[:, :1]
        return np.diff(np.concatenate([[0], np.cumsum(per_row)])[self.first_row])

    def laid_out(self, image: np.ndarray) -> np.ndarray:
        """(h, w): the windows' parts of an (H, W) image; 0 beyond its border."""
        height, width = image.shape
        sheet = np.zeros(self.mask.shape, image.dtype)
        across = self.mask.shape[1]
        for (down, right), begin, end in zip(
            self.shift.tolist(), self.first_row.tolist(), self.first_row[1:].tolist(), strict=False
        ):
            top, bottom = max(begin, -down), min(end, height - down)
            left, right_end = max(0, -right), min(across, width - right)
            sheet[top:bottom, left:right_end] = image[top + down : bottom + down, left + right : right_end + right]
        return sheet

    def pixels(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the flattened sheet where (h, w) `which` is true; (R + 1,) where each region's begin."""
        found = np.flatnonzero(which)
        return found, np.searchsorted(found, self.first_row * which.shape[1])


def region_sheet(
    boxes: np.ndarray, masks: Sequence[np.ndarray], size: tuple[int, int], *, edge: int, margin: int
) -> RegionSheet:
    """Lay out R regions.

    Args:
        boxes: (R, 4) x y width height, pixels.
        masks: R of (height, width) uint8, not 0 inside.
        size: (height, width) of the image.
        edge: pixels along an outline that are not inner. The image's border is no outline.
        margin: pixels around each box, at least `edge`.
    """
    x, y, width, height = boxes.T.astype(np.intp)
    first_row = np.concatenate([[0], np.cumsum(height + 2 * margin)])
    mask = np.zeros((first_row[-1], width.max(initial=1) + 2 * margin), np.uint8)
    beyond = np.zeros_like(mask)  # the image's border: there a region may go on
    at_border = np.stack([y == 0, y + height == size[0], x == 0, x + width == size[1]], 1).tolist()
    for begin, own, (above, below, left, right) in zip(first_row.tolist(), masks, at_border, strict=False):
        rows, columns = own.shape
        window = np.s_[begin : begin + rows + 2 * margin]
        inside = mask[window][margin : margin + rows, margin : margin + columns]
        np.not_equal(own, 0, out=inside.view(bool))
        beyond[window][:margin] |= above
        beyond[window][margin + rows :] |= below
        beyond[window][:, :margin] |= left
        beyond[window][:, margin + columns :] |= right
    inner = mask.copy()
    sheet = RegionSheet(
        mask.view(bool), inner.view(bool), first_row, np.stack([y - margin - first_row[:-1], x - margin], 1)
    )
    if len(x):
        inner[:] = _without_edge(mask, beyond, edge)
        tiny = (sheet.areas(inner) < LEAST_INTERIOR)[sheet.window]
        inner[tiny] = mask[tiny]
    return sheet


def _without_edge(mask: np.ndarray, beyond: np.ndarray, edge: int) -> np.ndarray:
    """(h, w) uint8: what is farther than `edge` from the outline.

    Of parts too thin for that (a knife) their middle, and all of parts that have none (the handle of a fork).
    """
    half = max(1, edge // 2)
    thin = cv2.erode(mask | beyond, _square(half))
    inner = cv2.erode(thin, _square(edge - half)) if edge > half else thin
    for candidates, far in ((thin, edge - half), (mask, 2 * edge)):
        inner = cv2.max(inner, cv2.subtract(candidates, cv2.dilate(inner, _square(far))))
    return np.asarray(cv2.min(inner, mask))


def _square(reach: int) -> np.ndarray:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
