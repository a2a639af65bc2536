"""What every evaluated system offers: OpenSeg, its variants, and the systems that the paper compares with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from training.evaluation.class_list import ClassList


class Prediction(Protocol):
    """A system's answer for one image of H x W pixels."""

    @property
    def proposals(self) -> np.ndarray | None:
        """(N, H, W) bool masks, for recall; None = the system has none."""
        ...

    def segment(self, rows: np.ndarray) -> np.ndarray | None:
        """The best of some classes for every pixel.

        Args:
            rows: (R,) int, at least one row of the class list.

        Returns:
            (H, W) int, every value one of `rows`; None = the system has no words: only its recall is measured.
        """
        ...


@runtime_checkable
class PhrasePrediction(Protocol):
    """A prediction that can also point at what a phrase names; systems without regions cannot."""

    def find(self, phrases: Sequence[str]) -> np.ndarray:
        """(P, H, W) bool: the best mask for each phrase."""
        ...


class System(Protocol):
    """Segments images by the names of classes."""

    name: str

    def set_classes(self, classes: ClassList) -> None:
        """Encode all names, once, before the first image."""
        ...

    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> Prediction:
        """Look at one image.

        Args:
            image: (H, W, 3) uint8 RGB.
            truth: (M, H, W) bool label masks; only inference with ground-truth masks may read them (paper table 4).
        """
        ...
