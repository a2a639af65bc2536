"""Labels on the network's grid: the share of every cell that a region covers, and the class of the cell."""

from __future__ import annotations

import cv2
import numpy as np

from training.data.augmentation import Placement
from training.data.stored_masks import StoredMasks


def segment_shares(ids: np.ndarray, segment_ids: np.ndarray, placement: Placement, stride: int) -> np.ndarray:
    """Shares of the grid's cells that segments of an id map cover.

    Args:
        ids: (H, W) int32 id map of the image.
        segment_ids: (M,) distinct ids of the segments.
        placement: where the image lies in the input.
        stride: input pixels per cell.

    Returns:
        (M, h, w) float32 in [0, 1].
    """
    height, width = (side // stride for side in placement.input_size)
    count = len(segment_ids)
    if not count:
        return np.zeros((0, height, width), np.float32)
    order = np.argsort(segment_ids)
    placed = ids[placement.rows][:, placement.columns]
    place = np.minimum(np.searchsorted(segment_ids, placed, sorter=order), count - 1)
    # Counting (cell, segment) pairs is one pass over the pixels, however many segments there are.
    segment = np.where(segment_ids[order][place] == placed, order[place], count)
    cells = (np.arange(placed.shape[0]) // stride * width)[:, None] + np.arange(placed.shape[1]) // stride
    pairs = np.bincount((cells * (count + 1) + segment).ravel(), minlength=height * width * (count + 1))
    shares = pairs.reshape(height * width, count + 1)[:, :count].T.astype(np.float32) / np.float32(stride**2)
    return np.ascontiguousarray(shares).reshape(count, height, width)


def mask_shares(masks: StoredMasks, placement: Placement, stride: int) -> np.ndarray:
    """Shares of the grid's cells that stored masks cover, which may overlap.

    Returns:
        (M, h, w) float32 in [0, 1].

    Raises:
        DatasetError: a mask's code is damaged.
    """
    height, width = (side // stride for side in placement.input_size)
    decoded, boxes = masks.decode()
    shares = np.zeros((len(decoded), height, width), np.float32)
    for mask, (x, y, box_width, box_height), share in zip(decoded, boxes.tolist(), shares, strict=True):
        rows = np.flatnonzero((placement.rows >= y) & (placement.rows < y + box_height))
        columns = np.flatnonzero((placement.columns >= x) & (placement.columns < x + box_width))
        if not rows.size or not columns.size:
            continue  # cropped away
        # Whole cells around the box: a mask covers a small part of its image, and nothing outside has to be touched.
        top, left = rows[0] // stride, columns[0] // stride
        bottom, right = rows[-1] // stride + 1, columns[-1] // stride + 1
        pixels = np.zeros(((right - left) * stride, (bottom - top) * stride), np.float32)  # columns first, as decoded
        inside = mask[placement.columns[columns]][:, placement.rows[rows]]
        first_column, first_row = columns[0] - left * stride, rows[0] - top * stride
        pixels[first_column : first_column + len(columns), first_row : first_row + len(rows)] = inside
        cells = cv2.resize(pixels, (int(bottom - top), int(right - left)), interpolation=cv2.INTER_AREA)
        share[top:bottom, left:right] = cells.T
    return shares


def cell_classes(shares: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Class of every cell: the one that covers most of it, -1 where more is unlabelled than of any class.

    Args:
        shares: (M, h, w) float32 of segments that do not overlap.
        classes: (M,) int64 row of the class list for each segment.

    Returns:
        (h, w) int64.
    """
    grid = shares.shape[1:]
    if not len(classes):
        return np.full(grid, -1, np.int64)
    present, member = np.unique(classes, return_inverse=True)
    membership = (member == np.arange(len(present))[:, None]).astype(np.float32)
    covered = membership @ shares.reshape(len(classes), -1)
    best = covered.argmax(0)
    most = covered.max(0)
    labelled = most >= 1 - covered.sum(0)
    return np.where(labelled & (most > 0), present[best], -1).reshape(grid)
