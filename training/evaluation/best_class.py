"""The best class of every pixel when the scores of all classes at all pixels would not fit in memory."""

from __future__ import annotations

import numpy as np
import torch

from training.evaluation.upsampled_bands import FLOATS_AT_ONCE


def best_class(scores: np.ndarray, masks: np.ndarray, floats: int = FLOATS_AT_ONCE) -> np.ndarray:
    """Argmax over the classes of `scores` times `masks` (eq. 6): each class's score summed over all masks.

    Args:
        scores: (K, N) float32, class of region.
        masks: (N, P) float32, region of pixel.
        floats: most class scores held at once.

    Returns:
        (P,) int64.
    """
    pixels = masks.shape[1]
    step = max(1, floats // len(scores))
    best = np.empty(pixels, np.int64)
    for start in range(0, pixels, step):
        best[start : start + step] = argmax_over_classes(scores @ masks[:, start : start + step])
    return best


def argmax_over_classes(scores: np.ndarray) -> np.ndarray:
    """Row of the highest score in each column, the first of equal ones; (K, P) to (P,) int64.

    Torch's maximum over the first axis, because NumPy's takes six times as long with hundreds of rows.
    """
    rows: np.ndarray = torch.from_numpy(scores).max(0).indices.numpy()
    return rows
