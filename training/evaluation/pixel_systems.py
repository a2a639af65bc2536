"""Systems on features of cells: OpenSeg without proposals or with true masks (table 4), ALIGN with CAM, LSeg+."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.text.text_encoder import TextEncoder
from training.evaluation.best_class import argmax_over_classes
from training.evaluation.class_embeddings import ClassEmbeddings, SystemOfNames
from training.evaluation.pixel_features import FeatureSource, PixelFeatures, centre
from training.evaluation.upsampled_bands import upsampled_bands


class NoProposalSystem(SystemOfNames):
    """Every pixel on its own: argmax over the classes of <w, F_z>. Also ALIGN with CAM, and LSeg+ (paper 4.3)."""

    def __init__(self, source: FeatureSource, encoder: TextEncoder, name: str = "openseg_no_proposals") -> None:
        """Take features from `source` and encode names by `encoder`."""
        self.name = name
        self._source = source
        super().__init__(encoder)

    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> PixelPrediction:
        """Run the network on (H, W, 3) uint8 RGB; `truth` is not looked at.

        Raises:
            RuntimeError: `set_classes` was not called.
        """
        classes = self._classes  # before any work: raises
        return PixelPrediction(self._source.features(image), classes)


class PixelPrediction:
    """Class scores of grid cells, interpolated at the image's pixels."""

    proposals: np.ndarray | None = None

    def __init__(self, features: PixelFeatures, classes: ClassEmbeddings) -> None:
        """Keep the features; scores are computed for the classes that are asked for."""
        self._letterbox = features.letterbox
        self._features = features.features
        self._classes = classes

    def segment(self, rows: np.ndarray) -> np.ndarray:
        """(H, W) int64. With one name per class, the same as scoring interpolated features: both are linear."""
        height, width = self._features.shape[:2]
        scores = np.empty((len(rows), height, width), np.float32)
        for line in range(height):  # at once, the scores of all names would take more than the features
            scores[:, line] = self._classes.scores(self._features[line], rows)
        best = np.empty(self._letterbox.image_size, np.int64)
        for band, pixels in upsampled_bands(self._letterbox, scores):
            best[band] = argmax_over_classes(pixels.reshape(len(rows), -1)).reshape(pixels.shape[1:])
        segmented: np.ndarray = rows[best]
        return segmented


class TrueMaskSystem(SystemOfNames):
    """The true masks in the place of proposals: F_z is pooled in each, and each takes one class. An upper bound."""

    name = "openseg_true_masks"

    def __init__(self, source: FeatureSource, encoder: TextEncoder, *, centred: bool = False) -> None:
        """Take features from `source` and encode names by `encoder`; `centred`: of a network of `center_regions`."""
        self._source = source
        self._centred = centred
        super().__init__(encoder)

    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> TrueMaskPrediction:
        """Run the network on (H, W, 3) uint8 RGB with label masks `truth` (M, H, W) bool.

        Raises:
            RuntimeError: `set_classes` was not called.
            ValueError: there is no `truth`.
        """
        classes = self._classes  # before any work: raises
        if truth is None:
            raise ValueError(f"{self.name} needs the true masks")
        embeddings = pool_masks(self._source.features(image), truth)
        if self._centred and len(embeddings):
            embeddings = centre(embeddings)
        return TrueMaskPrediction(truth, embeddings, classes)


class TrueMaskPrediction:
    """True masks with an embedding each."""

    proposals: np.ndarray | None = None  # their recall would say nothing

    def __init__(self, masks: np.ndarray, embeddings: np.ndarray, classes: ClassEmbeddings) -> None:
        """`masks` (M, H, W) bool, `embeddings` (M, D)."""
        self._masks = masks
        self._embeddings = embeddings
        self._classes = classes

    def segment(self, rows: np.ndarray) -> np.ndarray:
        """(H, W): the class of the mask that a pixel is in; outside of all masks, where nobody counts, rows[0]."""
        if not len(self._masks):
            return np.full(self._masks.shape[1:], rows[0])
        best = rows[self._classes.scores(self._embeddings, rows).argmax(0)]
        segmented: np.ndarray = np.where(self._masks.any(0), best[self._masks.argmax(0)], rows[0])
        return segmented


def pool_masks(features: PixelFeatures, masks: np.ndarray) -> np.ndarray:
    """Mean of the features in each mask, weighted by the share of a grid cell that the mask covers.

    Args:
        features: of one image of H x W pixels.
        masks: (M, H, W) bool, each with at least one pixel.

    Returns:
        (M, D) float32; 0 for a mask without pixels.
    """
    letterbox = features.letterbox
    shares = cell_shares(letterbox, masks)
    cells = letterbox.crop(features.features.transpose(2, 0, 1)).reshape(features.features.shape[2], -1)
    pooled: np.ndarray = shares @ cells.T / np.maximum(shares.sum(1, keepdims=True), 1e-6)
    return pooled


def cell_shares(letterbox: Letterbox, masks: np.ndarray) -> np.ndarray:
    """Share of every content cell that a mask covers: (M, h * w) float32. The smallest mask has a share somewhere."""
    if not len(masks):
        return np.zeros((0, letterbox.grid_size[0] * letterbox.grid_size[1]), np.float32)
    shares: np.ndarray = F.interpolate(torch.from_numpy(masks)[None].float(), letterbox.grid_size, mode="area")[
        0
    ].numpy()
    return shares.reshape(len(masks), -1)
