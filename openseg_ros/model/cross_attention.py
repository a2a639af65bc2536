"""Region-to-image cross-attention (paper 3.1, appendix C, figure 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttentionBlock(nn.Module):
    """Mask queries attend to the position-augmented image features; no self-attention (it did not help, app. C).

    Normalisation stands before each branch and once on the image features: the paper is silent on it, and
    pre-norm trains without a warm-up of its own.
    """

    def __init__(self, *, dim: int, heads: int, ffn_ratio: float) -> None:
        """`ffn_ratio`: hidden width of an MLP behind the attention over `dim`; 0 leaves it out."""
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(dim)
        self.to_query = nn.Linear(dim, dim)
        self.to_key_value = nn.Linear(dim, 2 * dim)
        self.to_output = nn.Linear(dim, dim)
        self.ffn: nn.Module | None = None
        if ffn_ratio > 0:
            hidden = int(dim * ffn_ratio)
            self.ffn = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, queries: Tensor, features: Tensor) -> Tensor:
        """Queries (B, N, D) and flat, normalised features (B, h*w, D) to new queries (B, N, D)."""
        query = self._split(self.to_query(self.query_norm(queries)))
        key, value = (self._split(part) for part in self.to_key_value(features).chunk(2, dim=-1))
        attended = _attend(query, key, value)
        queries = queries + self.to_output(attended.transpose(1, 2).flatten(2))
        if self.ffn is not None:
            queries = queries + self.ffn(queries)
        return queries

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, L, D) to (B, heads, L, D / heads)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention (B, heads, N, d).

    In training on a CPU it is spelled out: the fused kernel's backward pass takes more than twice as long there for few
    queries and many keys (torch 2.13).
    """
    if query.device.type == "cpu" and torch.is_grad_enabled():
        weights = ((query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)).softmax(-1)
        return weights.to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)
