"""How close an engine is to the reference: embeddings by cosine, masks by IoU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openseg_ros.runtime.engine import EngineOutput


@dataclass(frozen=True)
class Parity:
    """Agreement of two engine outputs on the same images; 1.0 is equality."""

    worst_cosine: float  # smallest cosine between corresponding region embeddings, over regions with a mask
    mean_mask_iou: float  # mean IoU of corresponding binary masks, weighted by their area
    pixel_agreement: float  # share of (region, cell) pairs on the same side of the threshold


def compare(reference: EngineOutput, candidate: EngineOutput, valid: np.ndarray) -> Parity:
    """Compare `candidate` with `reference` on cells where `valid` (B, h, w) is 1."""
    inside = valid[:, None] > 0
    masks = (reference.mask_logits > 0) & inside, (candidate.mask_logits > 0) & inside
    intersection = np.logical_and(*masks).sum((2, 3))
    union = np.logical_or(*masks).sum((2, 3))
    present = masks[0].any((2, 3))
    cosines = (reference.embeddings * candidate.embeddings).sum(-1)[present]
    same = (masks[0] == masks[1]).sum() / masks[0].size
    return Parity(
        worst_cosine=float(cosines.min()) if cosines.size else 1.0,
        mean_mask_iou=float(intersection.sum() / union.sum()) if union.sum() else 1.0,
        pixel_agreement=float(same),
    )
