"""Feature pyramid network and the fusion of its levels into one map (paper 3.1, 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """1x1 laterals, nearest top-down addition, 3x3 convolution and BatchNorm per level, then a sum at one stride.

    BatchNorm without ReLU on every level and bilinear fusion are the authors' framework defaults.
    """

    def __init__(self, *, in_channels: Sequence[int], dim: int) -> None:
        """`in_channels`: of the levels used, finest first; every level leaves with `dim` channels."""
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, dim, 1) for channels in in_channels)
        self.outputs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim)) for _ in in_channels
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h / 2^i, w / 2^i), finest first, to the fused map (B, dim, h, w)."""
        merged = [lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            merged[level] = merged[level] + F.interpolate(merged[level + 1], scale_factor=2.0, mode="nearest")
        levels = [output(level) for output, level in zip(self.outputs, merged, strict=True)]
        fused = levels[0]
        for level in levels[1:]:
            fused = fused + F.interpolate(level, size=fused.shape[-2:], mode="bilinear", align_corners=False)
        return fused
