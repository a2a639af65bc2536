"""Embeddings of all names of a class list, and the score of a class: the highest of its names (paper 4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openseg_ros.text.text_encoder import TextEncoder
from training.evaluation.class_list import ClassList


@dataclass(frozen=True)
class ClassEmbeddings:
    """Unit vectors of P names of K classes, the names of one class side by side."""

    vectors: np.ndarray  # (P, D) float32
    starts: np.ndarray  # (K + 1,) int64: the names of class k are rows starts[k] .. starts[k + 1] - 1

    @classmethod
    def encode(cls, classes: ClassList, encoder: TextEncoder) -> ClassEmbeddings:
        """Encode every name on its own, without a template (paper 4.3)."""
        counts = [len(names) for names in classes.names]
        vectors = encoder.encode([name for names in classes.names for name in names])
        return cls(vectors, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def scores(self, regions: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Score of the classes `rows` for each region.

        Args:
            regions: (N, D) float32.
            rows: (R,) rows of the class list.

        Returns:
            (R, N) float32: max over the names of a class of <name, region>.
        """
        counts = self.starts[rows + 1] - self.starts[rows]
        firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        names = np.repeat(self.starts[rows] - firsts, counts) + np.arange(counts.sum())
        best: np.ndarray = np.maximum.reduceat(self.vectors[names] @ regions.T, firsts, axis=0)
        return best


class SystemOfNames:
    """The part of a system that encodes the names of classes, once for all images."""

    def __init__(self, encoder: TextEncoder) -> None:
        """Encode names by `encoder`."""
        self._encoder = encoder
        self._encoded: ClassEmbeddings | None = None

    def set_classes(self, classes: ClassList) -> None:
        """Encode all names."""
        self._encoded = ClassEmbeddings.encode(classes, self._encoder)

    @property
    def _classes(self) -> ClassEmbeddings:
        """What `set_classes` encoded.

        Raises:
            RuntimeError: it was not called.
        """
        if self._encoded is None:
            raise RuntimeError("set_classes must come before predict")
        return self._encoded
