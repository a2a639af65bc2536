"""Region features: features pooled inside masks (paper 3.2), with less work where the last step is linear."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pool_regions(mask_logits: Tensor, features: Tensor, valid: Tensor) -> Tensor:
    """Region features z[n] = sum_ij s[n, ij] F_z[ij] over valid cells (paper 3.2), divided by the sum of s.

    The paper has no divisor, and only the cosine of z is ever used; the divisor makes z independent of mask size.

    Args:
        mask_logits: (B, N, h, w).
        features: (B, D, h, w).
        valid: (B, h, w), 1 inside the image.

    Returns:
        (B, N, D).
    """
    masks = (torch.sigmoid(mask_logits) * valid[:, None].to(mask_logits.dtype)).flatten(2)
    area = _area(masks)
    return (masks @ features.flatten(2).transpose(1, 2)) / (area + 1e-6)


def pool_convolved(mask_logits: Tensor, features: Tensor, convolution: nn.Conv2d, valid: Tensor) -> Tensor:
    """`pool_regions(mask_logits, convolution(features), valid)` without convolving a pixel.

    Both steps are linear, so the features are pooled first, once inside each of the nine shifts of a mask, and the N
    pooled vectors are multiplied with the nine taps: z[n] = sum_k W_k (sum_p s[n, p] x[p + k]). Cells outside of the
    map are zeros on both sides. N x 9 products for each cell and channel replace D x 9 + N.

    Args:
        mask_logits: (B, N, h, w).
        features: (B, D, h, w).
        convolution: 3x3, padding 1, with bias.
        valid: (B, h, w), 1 inside the image.

    Returns:
        (B, N, channels of the convolution).
    """
    masks = torch.sigmoid(mask_logits) * valid[:, None].to(mask_logits.dtype)
    height, width = masks.shape[-2:]
    padded = F.pad(masks, (1, 1, 1, 1))
    cells = features.flatten(2).transpose(1, 2)
    pooled = []
    for row in range(3):
        for column in range(3):
            # x[p + k] under s[p] is x[q] under s[q - k]; k = (row - 1, column - 1)
            shifted = padded[:, :, 2 - row : 2 - row + height, 2 - column : 2 - column + width]
            pooled.append(shifted.flatten(2) @ cells)
    taps = convolution.weight.permute(0, 2, 3, 1).flatten(1)  # (out, 9 D), row by row, as `pooled`
    area = _area(masks.flatten(2))
    assert convolution.bias is not None
    total = torch.cat(pooled, dim=-1) @ taps.T + area.to(features.dtype) * convolution.bias
    return total / (area + 1e-6)


def _area(masks: Tensor) -> Tensor:
    """Sum of soft masks (B, N, cells) as (B, N, 1), in float32 at least: half precision does not count to 25600."""
    return masks.sum(-1, keepdim=True, dtype=torch.promote_types(masks.dtype, torch.float32))


def pooling_first_is_cheaper(num_queries: int, dim: int, cells: int) -> bool:
    """Whether `pool_convolved` has fewer products than a convolution and `pool_regions`."""
    return 9 * num_queries * dim * cells + 9 * num_queries * dim**2 < (9 * dim + num_queries) * dim * cells
