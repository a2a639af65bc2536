"""ALIGN as a source of features of pixels and of words (paper 4.3, "ALIGN baseline").

transformers' ALIGN has no projection after its image pooling, so that the last map of the EfficientNet trunk already
lives in the space of the words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from openseg_ros.runtime.weights import WeightsError
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.text.transformers_text_encoder import TransformersTextEncoder
from training.baselines.network_input import check_multiple, fit_longer_side, to_tensor
from training.baselines.pretrained import load_pretrained, reading, tensor_hash, text_pool
from training.evaluation.pixel_features import PixelFeatures

HUB_NAME = "kakaobrain/align-base"
STRIDE = 32  # input pixels per cell of the last map
# Longer side. The paper does not say what its baseline used; 640 is OpenSeg's. ALIGN itself was trained on crops of
# 289, on which the map has 9 x 9 cells.
IMAGE_SIZE = 640
CENTRE = (0.5, 0.5, 0.5)  # x / 127.5 - 1


class Align:
    """Both towers of ALIGN, on one torch device."""

    def __init__(self, model: Any, source: str, device: str = "cpu", image_size: int = IMAGE_SIZE) -> None:
        """Take transformers' AlignModel; the tokenizer is in `source`."""
        channels = model.vision_model.encoder.blocks[-1].projection.project_conv.out_channels
        words = model.projection_dim
        if channels != words:
            raise WeightsError(f"{source}: the image tower gives {channels} numbers, the text tower {words}")
        self.sha256 = tensor_hash(model)
        self._image_size = check_multiple(image_size, STRIDE)
        self._vision, self._device = model.vision_model, device
        with reading(source):
            self.encoder = TransformersTextEncoder(
                name=source, source=source, pool=text_pool(model.get_text_features, device)
            )

    @classmethod
    def load(cls, source: str = HUB_NAME, device: str = "cpu", image_size: int = IMAGE_SIZE) -> Align:
        """Load a folder or a name on the hub.

        Raises:
            WeightsError, EngineError: as `load_pretrained`.
            ValueError: `image_size` is not a multiple of 32.
        """
        from transformers import AlignModel

        return cls(load_pretrained(AlignModel, source, device), source, device, image_size)

    @torch.inference_mode()
    def features(self, image: np.ndarray) -> PixelFeatures:
        """The map before the image pooling, of (H, W, 3) uint8 RGB; their mean is ALIGN's image embedding."""
        letterbox, pixels = fit_longer_side(image, self._image_size, STRIDE)
        # Past the model's own forward: its pooling fails on maps of more cells than channels.
        stem = self._vision.embeddings(to_tensor(pixels, CENTRE, CENTRE, self._device))
        last = self._vision.encoder(stem).last_hidden_state[0]
        return PixelFeatures(letterbox, last.permute(1, 2, 0).cpu().numpy())


def interpolate_cells(features: PixelFeatures, letterbox: Letterbox) -> np.ndarray:
    """Features at the cells of another grid over the same image, bilinear.

    Returns:
        (D, h, w) float32, the cells of `letterbox` that show the image.
    """
    cells = torch.from_numpy(features.letterbox.crop(features.features.transpose(2, 0, 1)))[None]
    resized = torch.nn.functional.interpolate(cells, letterbox.grid_size, mode="bilinear", align_corners=False)
    interpolated: np.ndarray = resized[0].numpy()
    return interpolated
