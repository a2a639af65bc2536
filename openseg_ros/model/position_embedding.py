"""Learnable position embeddings PE, added to F_s (paper 3.1)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SPOT_AMPLITUDE = math.sqrt(1.5)  # an anchor's first mask then is above 0.5 near the anchor only, with a bias of -4.5
SPOT_WIDTH = 0.6  # standard deviation of that spot, in distances between anchors


class PositionEmbedding(nn.Module):
    """One learned vector per grid cell, either free ("grid") or as the sum of a row's and a column's ("factored")."""

    def __init__(self, *, dim: int, grid: tuple[int, int], kind: Literal["grid", "factored"]) -> None:
        """`grid`: (h, w) of the training resolution; other sizes are interpolated bilinearly."""
        super().__init__()
        height, width = grid
        shapes = [(1, dim, height, width)] if kind == "grid" else [(1, dim, height, 1), (1, dim, 1, width)]
        self.parts = nn.ParameterList(nn.Parameter(torch.randn(shape) * 0.02) for shape in shapes)
        self.grid = grid

    def forward(self, size: tuple[int, int]) -> Tensor:
        """The embedding (1, dim, h, w) for `size` = (h, w)."""
        embedding = self.parts[0] if len(self.parts) == 1 else self.parts[0] + self.parts[1]
        if size != self.grid:
            embedding = F.interpolate(embedding, size=size, mode="bilinear", align_corners=False)
        return embedding

    @torch.no_grad()
    def anchor(self, count: int) -> Tensor:
        """Start a factored embedding as waves whose dot product is a spot, and return it at `count` regular places.

        Rows use the first half of the channels, columns the second. The frequencies are quantiles of a normal
        distribution, so that the dot product of two places falls with their distance like a Gaussian.

        Returns:
            (count, dim) initial queries.
        """
        rows, columns = _anchor_shape(count, self.grid)
        half = self.parts[0].shape[1] // 2
        quantiles = (torch.arange(half // 2) + 0.5) / (half // 2)
        frequencies = math.sqrt(2) * torch.erfinv(quantiles)  # half-normal, unit width
        for axis, (part, anchors) in enumerate(zip(self.parts, (rows, columns), strict=True)):
            cells = self.grid[axis]
            angles = frequencies[:, None] * torch.arange(cells) / (SPOT_WIDTH * cells / anchors)
            waves = SPOT_AMPLITUDE * torch.cat([angles.cos(), angles.sin()])
            part.zero_()
            part.view(2 * half, cells)[axis * half : (axis + 1) * half] = waves
        return self.at_anchors(count)[0].flatten(1).T.clone()

    def at_anchors(self, count: int) -> Tensor:
        """The embedding (1, dim, rows, columns) at `count` regular places."""
        rows, columns = _anchor_shape(count, self.grid)
        y = ((torch.arange(rows) + 0.5) * self.grid[0] / rows).long()
        x = ((torch.arange(columns) + 0.5) * self.grid[1] / columns).long()
        return self(self.grid)[:, :, y[:, None], x]


def _anchor_shape(count: int, grid: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of `count` anchors, as square as the grid allows."""
    divisors = [rows for rows in range(1, count + 1) if count % rows == 0]
    rows = min(divisors, key=lambda r: abs(math.log((grid[0] / r) / (grid[1] / (count / r)))))
    return rows, count // rows
