"""Per-pixel cross-entropy over class names: the loss of the paper's baseline LSeg+ (4.3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from training.distributed import Gather, shared_mean


def pixel_loss(
    pixels: Tensor, names: Tensor, classes: Tensor, temperature: Tensor, gather: Gather | None = None
) -> Tensor:
    """Mean cross-entropy of softmax(<F_z, w_k> / tau) over all labelled grid cells, <> being the cosine.

    Args:
        pixels: (B, L, D) pixel embeddings F_z, any length.
        names: (K, D) embeddings w of the class names, any length.
        classes: (B, L) int64 in [0, K); -1 = unlabelled or padding.
        temperature: scalar tau.
        gather: other processes whose cells count too; None for one process.

    Returns:
        A scalar; 0 (with gradient) when no cell is labelled.
    """
    cosines = F.normalize(pixels.float(), dim=-1) @ F.normalize(names.float(), dim=-1).T
    logits = (cosines / temperature).flatten(0, 1)
    total = F.cross_entropy(logits, classes.flatten(), ignore_index=-1, reduction="sum")
    return shared_mean(total, (classes >= 0).sum(), gather)
