"""The images on which a system does worst, kept while it is measured."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, order=True)
class KeptImage:
    """One kept image; the order is by badness, then by place in the data set, so that equal runs keep equal images."""

    badness: float  # 1 - mean IoU over the classes labelled in it
    tie: int  # -index
    prediction: np.ndarray = field(compare=False)  # (H, W) rows of the data set's labels

    @property
    def index(self) -> int:
        """Place in the data set."""
        return -self.tie

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes labelled in it."""
        return 1 - self.badness


class WorstImages:
    """Keeps the `count` images of lowest mean IoU."""

    def __init__(self, count: int) -> None:
        """`count`: 0 keeps none."""
        self._count = count
        self._heap: list[KeptImage] = []

    def add(self, index: int, mean_iou: float, prediction: np.ndarray) -> None:
        """Offer one image; one without labels (NaN) is not kept."""
        if not self._count or np.isnan(mean_iou):
            return
        kept = KeptImage(1 - mean_iou, -index, prediction.astype(np.int16))
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, kept)
        else:
            heapq.heappushpop(self._heap, kept)

    def worst_first(self) -> list[KeptImage]:
        """The kept images."""
        return sorted(self._heap, reverse=True)
