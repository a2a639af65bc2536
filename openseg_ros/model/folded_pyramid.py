"""The feature pyramid with less work and the same answers, for inference.

Everything between the backbone and the BatchNorm of a pyramid level is linear, so it may be done in another order. A
level convolves `lateral(feature) + up(coarser)` with D input channels at its own resolution. Instead,

- the 1x1 lateral and the 3x3 convolution become one 3x3 convolution of the feature, which has far fewer channels;
- nearest upsampling by 2 and the 3x3 convolution become one transposed 4x4 convolution of the coarser map, where each
  pixel costs 4 products instead of 9, since the upsampled map repeats every pixel.

The lateral's bias must end at the border, where the zeros of the padding begin, so it is added to the coarser map,
which ends there too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openseg_ros.model.fpn import FeaturePyramid

WORTH = 0.75  # share of a level's products up to which two convolutions in the place of one are no slower


class FoldedPyramid(nn.Module):
    """Computes what a `FeaturePyramid` in evaluation mode does, up to rounding."""

    def __init__(self, pyramid: FeaturePyramid) -> None:
        """Take the weights of `pyramid`; later changes to it need a new FoldedPyramid."""
        super().__init__()
        self.pyramid = pyramid
        self.folded: dict[int, FoldedLevel] = {}  # levels that cost less so
        for level in range(len(pyramid.laterals) - 1):  # the coarsest level has no coarser map
            lateral, output = pyramid.laterals[level], pyramid.outputs[level]
            assert isinstance(lateral, nn.Conv2d) and isinstance(output, nn.Sequential)
            if _products(lateral, folded=True) <= WORTH * _products(lateral, folded=False):
                self.folded[level] = FoldedLevel(lateral, output)
                self.add_module(f"folded_{level}", self.folded[level])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h / 2^i, w / 2^i), finest first, to the fused map (B, dim, h, w)."""
        laterals, outputs = self.pyramid.laterals, self.pyramid.outputs
        merged: Tensor = laterals[-1](features[-1])
        maps: list[Tensor] = [outputs[-1](merged)]  # coarsest first
        for level in range(len(features) - 2, -1, -1):
            folded = self.folded.get(level)
            if folded is not None:
                maps.append(folded(features[level], merged))
            if folded is None or level > 0:  # nobody but its own output needs the finest map
                merged = laterals[level](features[level]) + F.interpolate(merged, scale_factor=2.0, mode="nearest")
            if folded is None:
                maps.append(outputs[level](merged))
        fused = maps[-1]
        for coarser in reversed(maps[:-1]):
            fused = fused + F.interpolate(coarser, size=fused.shape[-2:], mode="bilinear", align_corners=False)
        return fused


class FoldedLevel(nn.Module):
    """One level: the feature by a folded 3x3 convolution, the coarser map by a transposed one, then BatchNorm."""

    own: Tensor
    upsampling: Tensor

    def __init__(self, lateral: nn.Conv2d, output: nn.Sequential) -> None:
        """`output`: 3x3 convolution without bias and BatchNorm."""
        super().__init__()
        convolution, self.norm = output
        assert isinstance(convolution, nn.Conv2d) and lateral.bias is not None
        self.bias = lateral.bias
        with torch.no_grad():
            own = torch.einsum("odyx,dc->ocyx", convolution.weight, lateral.weight[:, :, 0, 0])
            self.register_buffer("own", own)
            self.register_buffer("upsampling", _upsampled_kernel(convolution.weight))

    def forward(self, feature: Tensor, coarser: Tensor) -> Tensor:
        """Feature (B, C, h, w) and coarser merged map (B, dim, h / 2, w / 2) to this level's map (B, dim, h, w)."""
        own = F.conv2d(feature, self.own, padding=1)
        below = coarser + self.bias[:, None, None]
        level: Tensor = self.norm(own + F.conv_transpose2d(below, self.upsampling, stride=2, padding=1))
        return level


def _upsampled_kernel(weight: Tensor) -> Tensor:
    """Of a 3x3 convolution behind nearest upsampling by 2: the equal transposed convolution, (in, out, 4, 4).

    An output pixel at distance d in -1..2 from the first of the two copies of a pixel sees that pixel through the taps
    1 - d and 2 - d of the convolution.
    """
    spread = weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])  # rows: d = -1..2, columns: taps 0..2
    return torch.einsum("oiyx,ay,bx->ioab", weight, spread, spread).contiguous()


def _products(lateral: nn.Conv2d, *, folded: bool) -> int:
    """Multiplications of a level for a cell and an output channel."""
    channels, dim = lateral.in_channels, lateral.out_channels
    return 9 * channels + 4 * dim if folded else 9 * dim + channels
