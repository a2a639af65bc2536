"""How a teacher's soft masks become labels (paper 3.3, which does not say)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from pycocotools import mask as rle_codec  # type: ignore[import-untyped]

from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.segmenter.proposals import mask_quality, sigmoid, suppress_duplicates


@dataclass(frozen=True)
class MaskRule:
    """Which of a teacher's masks are kept."""

    threshold: float = 0.5  # of the sigmoid: where the Dice loss puts the border, and where the evaluation does
    smallest_area: float = 0.001  # of the image: 18x18 pixels of 640x480; smaller masks are mostly noise
    duplicate_iou: float = 0.8  # of two masks that overlap more, the surer one stays
    most: int = 50  # masks of an image, the surest; 100 images of COCO panoptic have 11 segments on average, at most 47

    def __post_init__(self) -> None:
        """Refuse limits that no mask can meet."""
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not (value >= 1 if limit.name == "most" else 0 < value < 1):
                raise ValueError(
                    f"{limit.name} is {value}; it must be "
                    + ("1 or more" if limit.name == "most" else "between 0 and 1")
                )


def select_masks(mask_logits: np.ndarray, letterbox: Letterbox, rule: MaskRule) -> list[dict[str, Any]]:
    """The masks of one image that become labels, surest first.

    Area and overlap are measured on the network's grid; the masks themselves have the image's resolution, interpolated
    bilinearly.

    Args:
        mask_logits: (N, h, w) float32 over the whole grid.
        letterbox: geometry of the image.
        rule: what is kept.

    Returns:
        For each mask: `counts` (compressed code, text), `area` (pixels), `bbox` (x, y, width, height in pixels),
        `score` (mean of the sigmoid inside the mask, 4 decimals).
    """
    border = math.log(rule.threshold / (1 - rule.threshold))
    grids = letterbox.crop(mask_logits)
    grids = np.ascontiguousarray(grids[np.isfinite(grids.sum((1, 2)))])
    inside = (grids > border).reshape(len(grids), -1)
    cells = np.count_nonzero(inside, axis=1)
    usable = cells >= max(1, rule.smallest_area * inside.shape[1])
    grids, inside, cells = grids[usable], inside[usable], cells[usable].astype(np.float32)
    score = mask_quality(sigmoid(grids.reshape(inside.shape)), inside)
    order = np.argsort(-score, kind="stable")
    grids, inside, cells, score = grids[order], inside[order].astype(np.float32), cells[order], score[order]
    common = inside @ inside.T
    kept = suppress_duplicates(common / np.maximum(cells[:, None] + cells - common, 1), rule.duplicate_iou)
    masks = []
    for grid, certainty in list(zip(grids[kept], score[kept], strict=True))[: rule.most]:
        encoded = _encode(grid, border, letterbox)
        if encoded["area"]:
            masks.append({**encoded, "score": round(float(certainty), 4)})
    return masks


def _encode(grid: np.ndarray, border: float, letterbox: Letterbox) -> dict[str, Any]:
    """The part of one map (h, w) above `border` as COCO stores it; only pixels near it are looked at."""
    x, y, width, height = letterbox.box_of(grid > border)
    mask = np.zeros(letterbox.image_size, np.uint8, order="F")
    mask[y : y + height, x : x + width] = letterbox.upsample(grid, (x, y, width, height)) > border
    code = rle_codec.encode(mask)
    return {
        "counts": code["counts"].decode("ascii"),
        "area": int(rle_codec.area(code)),
        "bbox": [int(value) for value in rle_codec.toBbox(code)],
    }
