"""Features of every cell, which no engine gives: for inference without proposals and with true masks (table 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from openseg_ros.model.openseg import PIXEL_CENTRE, OpenSeg
from openseg_ros.segmenter.letterbox import Letterbox


@dataclass(frozen=True)
class PixelFeatures:
    """Features in the space of words over the whole grid of one image."""

    letterbox: Letterbox
    features: np.ndarray  # (h, w, D) float32, not normalised


class FeatureSource(Protocol):
    """OpenSeg's network with F_z, or the image tower of another system."""

    def features(self, image: np.ndarray) -> PixelFeatures:
        """Features of (H, W, 3) uint8 RGB."""
        ...


class UnitFeatures:
    """Features of length 1, so that the score of a cell is its cosine with a word: ALIGN with CAM, LSeg+ (4.3).

    Made before they are interpolated: else a cell of long features would reach further than its neighbours.
    """

    def __init__(self, source: FeatureSource) -> None:
        """Take features from `source`."""
        self._source = source

    def features(self, image: np.ndarray) -> PixelFeatures:
        """Features of (H, W, 3) uint8 RGB."""
        cells = self._source.features(image)
        length = np.maximum(np.linalg.norm(cells.features, axis=-1, keepdims=True), 1e-6)
        return PixelFeatures(cells.letterbox, cells.features / length)


class CentredFeatures:
    """What a network of `center_regions` makes of regions, with every cell that shows the image as a region."""

    def __init__(self, source: FeatureSource) -> None:
        """Take features from `source`."""
        self._source = source

    def features(self, image: np.ndarray) -> PixelFeatures:
        """Features of (H, W, 3) uint8 RGB; 0 in the padding."""
        cells = self._source.features(image)
        height, width = cells.letterbox.grid_size
        centred = np.zeros_like(cells.features)
        shown = cells.features[:height, :width]
        centred[:height, :width] = centre(shown.reshape(height * width, -1)).reshape(shown.shape)
        return PixelFeatures(cells.letterbox, centred)


def centre(embeddings: np.ndarray) -> np.ndarray:
    """Unit vectors of the regions (N, D) of one image, less their mean: `center_regions` of the network."""
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=-1, keepdims=True), 1e-12)
    centred: np.ndarray = unit - unit.mean(0)
    return centred


class FeatureNetwork:
    """The network on a torch device, float32."""

    def __init__(self, network: OpenSeg, device: str = "cpu") -> None:
        """Put `network` into evaluation mode on `device`."""
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()
        self.centres_regions = network.config.center_regions

    @torch.inference_mode()
    def features(self, image: np.ndarray) -> PixelFeatures:
        """Features of (H, W, 3) uint8 RGB.

        The projection into the space of words is applied to pixels instead of pooled regions. Both are affine, and the
        weights of a pooled region sum to 1, so that pooling these features gives the region's embedding, before it is
        centred in a network of `center_regions`.
        """
        config = self._network.config
        letterbox = Letterbox((image.shape[0], image.shape[1]), config.input_size, config.head_stride)
        pixels = torch.from_numpy(letterbox.apply(image)[None]).to(self._device)
        normalised = (pixels.permute(0, 3, 1, 2).float() - PIXEL_CENTRE) / PIXEL_CENTRE
        embedded = self._network.pixel_embeddings(normalised)[0]
        return PixelFeatures(letterbox, embedded.reshape(*config.grid, -1).float().cpu().numpy())
