"""Learnable position embeddings PE, added to F_s (paper 3.1)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
