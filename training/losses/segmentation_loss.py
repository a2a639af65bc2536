"""Class-agnostic segmentation loss (paper 3.1, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.distributed import Gather, shared_mean

DICE_SMOOTHING = 1.0  # epsilon of the Dice coefficient; the paper gives none, 1 cell is the usual choice


def dice_coefficients(masks: Tensor, labels: Tensor) -> Tensor:
    """V-Net's Dice coefficient, 2 sum(p g) / (sum(p^2) + sum(g^2)), of every mask with every label.

    Args:
        masks: (B, N, L) in [0, 1], flattened over the grid.
        labels: (B, M, L) in [0, 1].

    Returns:
        (B, N, M) in [0, 1].
    """
    overlap = masks @ labels.transpose(1, 2)
    sizes = masks.square().sum(-1)[:, :, None] + labels.square().sum(-1)[:, None, :]
    return (2 * overlap + DICE_SMOOTHING) / (sizes + DICE_SMOOTHING)


def dice_of_proposals(mask_logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Dice of every proposal with every labelled mask, inside the image.

    Args:
        mask_logits: (B, N, h, w).
        labels: (B, M, h, w) in [0, 1], area-averaged to the grid, padded with empty masks.
        valid: (B, h, w), 1 inside the image: letterbox padding is not part of any mask.

    Returns:
        (B, N, M) in [0, 1].
    """
    masks = (torch.sigmoid(mask_logits.float()) * valid[:, None]).flatten(2)
    return dice_coefficients(masks, labels.float().flatten(2))


def labelled_regions(dice: Tensor, label_exists: Tensor) -> Tensor:
    """(B, N) bool: the proposals that are the best for some labelled mask; all of an image without labels.

    Arguments as for `segmentation_loss`.
    """
    best = dice.argmax(dim=1)  # (B, M)
    chosen = torch.zeros(dice.shape[:2], dtype=torch.bool, device=dice.device)
    images, label_of_image = label_exists.nonzero(as_tuple=True)
    chosen[images, best[images, label_of_image]] = True
    return chosen | ~label_exists.any(1, keepdim=True)


def segmentation_loss(dice: Tensor, label_exists: Tensor, gather: Gather | None = None) -> Tensor:
    """L_S = mean over labelled masks of 1 - max_i Dice(s_i, label); eq. 1, averaged over images with labels.

    Only the best proposal of each label receives a gradient; one proposal may serve several labels.

    Args:
        dice: (B, N, M) of `dice_of_proposals`.
        label_exists: (B, M) bool, False for the padding of the labels.
        gather: other processes whose images count too; None for one process.

    Returns:
        A scalar; 0 (with gradient) when no image has a label.
    """
    best = dice.max(dim=1).values
    exists = label_exists.to(best.dtype)
    per_image = ((1 - best) * exists).sum(1) / exists.sum(1).clamp(min=1)
    has_labels = label_exists.any(1)
    return shared_mean((per_image * has_labels).sum(), has_labels.sum(), gather)
