"""Systems that classify every cell of a feature map on its own: ALIGN with CAM, and LSeg+ (paper 4.3)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from openseg_ros.text.text_encoder import TextEncoder
from training.evaluation.class_embeddings import ClassEmbeddings
from training.evaluation.class_list import ClassList
from training.evaluation.pixel_features import PixelFeatures
from training.evaluation.pixel_systems import PixelPrediction


class FeatureSource(Protocol):
    """ALIGN's image tower, or OpenSeg's network with F_z."""

    def features(self, image: np.ndarray) -> PixelFeatures:
        """Features of (H, W, 3) uint8 RGB."""
        ...


class PixelCosineSystem:
    """The class whose name has the highest cosine with the cell, cosines interpolated at the image's pixels.

    ALIGN with CAM: the cells before ALIGN's average pooling. LSeg+: F_z of a network trained with per-pixel
    cross-entropy on those cosines (`method: lseg`).
    """

    def __init__(self, name: str, source: FeatureSource, encoder: TextEncoder) -> None:
        """Take features from `source` and encode names by `encoder`."""
        self.name = name
        self._source = source
        self._encoder = encoder
        self._classes: ClassEmbeddings | None = None

    def set_classes(self, classes: ClassList) -> None:
        """Encode all names."""
        self._classes = ClassEmbeddings.encode(classes, self._encoder)

    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> PixelPrediction:
        """Run the network on (H, W, 3) uint8 RGB; `truth` is not looked at.

        Raises:
            RuntimeError: `set_classes` was not called.
        """
        if self._classes is None:
            raise RuntimeError("set_classes must come before predict")
        cells = self._source.features(image)
        # Before they are interpolated: else a cell of long features would reach further than its neighbours.
        length = np.maximum(np.linalg.norm(cells.features, axis=-1, keepdims=True), 1e-6)
        return PixelPrediction(PixelFeatures(cells.letterbox, cells.features / length), self._classes)
