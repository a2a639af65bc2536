"""Recall of mask proposals (paper 4.2, table 1): the share of labelled masks that some proposal meets."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

THRESHOLDS = (0.5, 0.7, 0.9)


def mask_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of every mask of `first` (N, ...) bool with every mask of `second` (M, ...) bool: (N, M) float64."""
    flat = (
        first.reshape(len(first), -1).astype(np.float32),
        second.reshape(len(second), -1).astype(np.float32),
    )
    intersection = (flat[0] @ flat[1].T).astype(np.float64)
    union = flat[0].sum(1)[:, None] + flat[1].sum(1)[None, :] - intersection
    return intersection / np.maximum(union, 1)


@dataclass
class ProposalRecall:
    """Collects the best IoU of every labelled mask; recall is averaged over masks, not over images (research C4)."""

    best: list[float] = field(default_factory=list)

    def add(self, proposals: np.ndarray, labels: np.ndarray) -> None:
        """`proposals` (N, H, W) bool (sigmoid > 0.5) and `labels` (M, H, W) bool of one image."""
        if len(labels):
            self.best.extend(mask_iou(proposals, labels).max(0) if len(proposals) else np.zeros(len(labels)))

    def result(self) -> dict[str, float]:
        """Recall at each threshold: {"R50": ..., "R70": ..., "R90": ...}; NaN without labels."""
        best = np.array(self.best)
        return {f"R{round(t * 100)}": float((best >= t).mean()) if len(best) else float("nan") for t in THRESHOLDS}
