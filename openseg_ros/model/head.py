"""The convolutional head that makes F_s and F_z from the fused pyramid (paper 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from openseg_ros.model.recomputation import recomputed


class FeatureHead(nn.Sequential):
    """A fully connected (1x1) layer, then 3x3 convolutions, all with `dim` channels.

    The last convolution is linear: a ReLU behind it would keep every feature non-negative, and neither a text
    embedding nor a mask query could be met by its cosine.
    """

    def __init__(self, *, dim: int, convs: int) -> None:
        """`convs`: number of 3x3 convolutions, at least 1."""
        layers: list[nn.Module] = [
            nn.Conv2d(dim, dim, 1, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(inplace=True),
        ]
        for _ in range(convs - 1):
            layers += [
                nn.Conv2d(dim, dim, 3, padding=1, bias=False),
                nn.BatchNorm2d(dim),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.Conv2d(dim, dim, 3, padding=1))
        super().__init__(*layers)
        self.recompute = False  # set by training: trades a third more work in this head for its activations' memory

    def forward(self, fused: Tensor) -> Tensor:
        """(B, dim, h, w) to (B, dim, h, w)."""
        if self.recompute and torch.is_grad_enabled():
            return recomputed(self, super().forward, fused)
        features: Tensor = super().forward(fused)
        return features
