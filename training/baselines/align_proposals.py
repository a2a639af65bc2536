"""ALIGN with our proposals (paper 4.3, "ALIGN w/proposal"): masks of our network, words and features of ALIGN."""

from __future__ import annotations

import numpy as np
import torch

from openseg_ros.runtime.calibration import Calibration
from openseg_ros.runtime.engine import Engine
from openseg_ros.segmenter.letterbox import Letterbox
from training.baselines.align import Align, interpolate_cells
from training.evaluation.class_embeddings import SystemOfNames
from training.evaluation.openseg_system import RegionPrediction


class AlignProposalsSystem(SystemOfNames):
    """ALIGN classifies each proposal; the proposals are then combined as OpenSeg's are (eq. 6)."""

    name = "align_proposals"

    def __init__(self, engine: Engine, align: Align) -> None:
        """Take masks from `engine`; the embeddings that it gives are not used."""
        self._engine = engine
        self._align = align
        super().__init__(align.encoder)

    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> RegionPrediction:
        """Run both networks on (H, W, 3) uint8 RGB; `truth` is not looked at.

        Raises:
            EngineError: the run failed.
            RuntimeError: `set_classes` was not called.
        """
        classes = self._classes  # before any work: raises
        letterbox = Letterbox((image.shape[0], image.shape[1]), self._engine.input_size, self._engine.stride)
        masks = self._engine.infer(letterbox.apply(image)[None], letterbox.valid[None]).mask_logits[0]
        embeddings = pool_soft_masks(interpolate_cells(self._align.features(image), letterbox), letterbox.crop(masks))
        # A phrase goes to the region of highest cosine: the model's calibration is of its own embeddings.
        return RegionPrediction(letterbox, masks, embeddings, classes, self._align.encoder, Calibration())


def pool_soft_masks(features: np.ndarray, mask_logits: np.ndarray) -> np.ndarray:
    """Sum of the features under each mask's sigmoid, as OpenSeg pools F_z (paper 3.2), scaled to unit length.

    Args:
        features: (D, h, w) float32.
        mask_logits: (N, h, w) float32.

    Returns:
        (N, D) float32.
    """
    masks = torch.sigmoid(torch.from_numpy(np.ascontiguousarray(mask_logits))).flatten(1)
    pooled = masks @ torch.from_numpy(features).flatten(1).T
    unit: np.ndarray = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return unit
