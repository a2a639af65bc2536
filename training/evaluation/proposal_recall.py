"""Recall of mask proposals (paper 4.2, table 1): the share of labelled masks that some proposal meets."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

THRESHOLDS = {"R50": 0.5, "R70": 0.7, "R90": 0.9}  # IoU, by the name of the recall
PIXELS_AT_ONCE = 1 << 18  # 128 proposals as float32 take 128 MB; also far below 2^24, to which float32 counts exactly


def mask_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of every mask of `first` (N, ...) bool with every mask of `second` (M, ...) bool: (N, M) float64."""
    pixels = int(np.prod(first.shape[1:]))
    flat = first.reshape(len(first), pixels), second.reshape(len(second), pixels)
    intersection = np.zeros((len(first), len(second)))
    areas = np.zeros(len(first)), np.zeros(len(second))
    for start in range(0, pixels, PIXELS_AT_ONCE):
        part = [masks[:, start : start + PIXELS_AT_ONCE].astype(np.float32) for masks in flat]
        intersection += part[0] @ part[1].T
        for area, masks in zip(areas, part, strict=True):
            area += masks.sum(1)
    union = areas[0][:, None] + areas[1][None, :] - intersection
    return intersection / np.maximum(union, 1)


@dataclass
class ProposalRecall:
    """Collects the best IoU of every labelled mask; recall is averaged over masks, not over images."""

    best: list[float] = field(default_factory=list)

    def add(self, proposals: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """`proposals` (N, H, W) bool (sigmoid > 0.5) and `labels` (M, H, W) bool of one image; returns their best IoU.

        Several labels may be met by one proposal: recall here asks whether a mask was proposed, not which one it is.
        """
        found = len(proposals) and len(labels)
        best: np.ndarray = mask_iou(proposals, labels).max(0) if found else np.zeros(len(labels))
        self.best.extend(best)
        return best

    def result(self) -> dict[str, float]:
        """Recall at each threshold: {"R50": ..., "R70": ..., "R90": ...}; NaN without labels."""
        best = np.array(self.best)
        return {
            name: float((best >= threshold).mean()) if len(best) else float("nan")
            for name, threshold in THRESHOLDS.items()
        }
