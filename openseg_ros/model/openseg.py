"""The OpenSeg network: class-agnostic masks and one embedding per mask (paper 3.1 and 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openseg_ros.model.backbone import STRIDES, build_backbone
from openseg_ros.model.config import ModelConfig
from openseg_ros.model.cross_attention import CrossAttentionBlock
from openseg_ros.model.folded_pyramid import FoldedPyramid
from openseg_ros.model.fpn import FeaturePyramid
from openseg_ros.model.head import FeatureHead
from openseg_ros.model.pooling import pool_convolved, pool_regions, pooling_first_is_cheaper
from openseg_ros.model.position_embedding import PositionEmbedding

# Attributes that make masks out of the fused features; the others make features and words.
MASK_BRANCH = ("mask_head", "position", "queries", "feature_norm", "attention", "mask_bias")
PIXEL_CENTRE = 128.0  # (x - 128) / 128: the released model's normalisation; padding of 128 becomes 0


class OpenSeg(nn.Module):
    """Image to N mask proposals and their features."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the network of `config` with random weights."""
        super().__init__()
        self.config = config
        dim = config.hidden_dim
        self.first_level = STRIDES.index(config.head_stride)
        self.backbone = build_backbone(config.backbone, config.backbone_width)
        self.pyramid = FeaturePyramid(in_channels=self.backbone.channels[self.first_level :], dim=dim)
        self.mask_head = FeatureHead(dim=dim, convs=config.head_convs)
        self.embedding_head = FeatureHead(dim=dim, convs=config.head_convs)
        self.position = PositionEmbedding(dim=dim, grid=config.grid, kind=config.position_embedding)
        anchored = config.query_init == "anchors"
        self.queries = nn.Parameter(
            self.position.anchor(config.num_queries) if anchored else torch.randn(config.num_queries, dim)
        )
        self.feature_norm = nn.LayerNorm(dim)
        self.attention = nn.ModuleList(
            CrossAttentionBlock(dim=dim, heads=config.attention_heads, ffn_ratio=config.ffn_ratio)
            for _ in range(config.attention_blocks)
        )
        self.mask_bias = nn.Parameter(torch.tensor(config.mask_logit_bias))
        self.mask_scale = config.mask_logit_scale or 1.0 / math.sqrt(dim)
        self.region_norm: nn.Module = nn.BatchNorm1d(dim) if config.region_norm else nn.Identity()
        # Pooling is linear, so projecting N pooled vectors equals projecting h*w pixels, at a fraction of the cost.
        # The projection has no bias for that reason. At the paper's size D is the text dimension: no projection.
        self.projection: nn.Module = nn.Identity()
        if config.embedding_dim != dim:
            self.projection = nn.Linear(dim, config.embedding_dim, bias=False)
        # tau of eq. 2, learned in log space so that it stays positive; used by the grounding loss only.
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))

    def forward(self, images: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Propose masks and pool their features.

        Args:
            images: (B, 3, H, W) float, normalised to about [-1, 1], padding 0.
            valid: (B, h, w) float, 1 where a grid cell shows the image and 0 in the letterbox's padding.

        Returns:
            `mask_logits` (B, N, h, w), sigmoid of which are the masks s of the paper, and
            `embeddings` (B, N, embedding_dim): region features z, not normalised.
        """
        fused = self.pyramid(self.backbone(images)[self.first_level :])
        mask_logits = self.propose(fused)
        regions = pool_regions(mask_logits, self.embedding_head(fused), valid)
        return {"mask_logits": mask_logits, "embeddings": self.describe(regions)}

    def propose(self, fused: Tensor) -> Tensor:
        """Fused features (B, D, h, w) to mask logits (B, N, h, w)."""
        mask_features = self.mask_head(fused)
        size = mask_features.shape[2], mask_features.shape[3]
        cells = (mask_features + self.position(size)).permute(0, 2, 3, 1).flatten(1, 2)
        flat = self.feature_norm(cells)
        queries = self.queries.expand(fused.shape[0], -1, -1)
        for block in self.attention:
            queries = block(queries, flat)
        logits = (queries * self.mask_scale) @ cells.transpose(1, 2)
        return logits.unflatten(2, size) + self.mask_bias

    def describe(self, regions: Tensor) -> Tensor:
        """Pooled features (B, N, D) of the regions of B images to embeddings (B, N, embedding_dim), not normalised."""
        embeddings = self.project(regions)
        if self.config.center_regions:
            embeddings = F.normalize(embeddings.float(), dim=-1)
            embeddings = embeddings - embeddings.mean(1, keepdim=True)
        return embeddings

    def project(self, features: Tensor) -> Tensor:
        """Features (B, N, D) to the space of words (B, N, embedding_dim), each by itself.

        Affine in evaluation, so that the mean over the cells of a region is what the region's mean becomes.
        """
        projected: Tensor = self.projection(self.region_norm(features.transpose(1, 2)).transpose(1, 2))
        return projected

    def pixel_embeddings(self, images: Tensor) -> Tensor:
        """F_z as it is seen by words, without masks: LSeg+ (paper 4.3) and inference without proposals (table 4).

        Not centred: what the regions of an image have in common (`center_regions`) is known only with the regions.

        Args:
            images: (B, 3, H, W) float, normalised to about [-1, 1], padding 0.

        Returns:
            (B, h*w, embedding_dim), row by row, not normalised.
        """
        features = self.embedding_head(self.pyramid(self.backbone(images)[self.first_level :]))
        return self.project(features.flatten(2).transpose(1, 2))


class OpenSegInference(nn.Module):
    """The network as an engine runs it: camera bytes in, mask logits and unit embeddings out.

    Linear steps are done in the order that costs least. At the paper's size that saves a sixth of all work
    (`python -m benchmark.network_work`); the answers are those of `OpenSeg` up to rounding.
    """

    def __init__(self, network: OpenSeg) -> None:
        """Wrap `network`, which is put into evaluation mode; its weights must not change afterwards."""
        super().__init__()
        self.network = network.eval()
        self.pyramid = FoldedPyramid(network.pyramid)

    def forward(self, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Letterboxed images (B, H, W, 3) uint8 RGB and `valid` (B, h, w) float32.

        Returns:
            mask_logits (B, N, h, w) float32 and embeddings (B, N, embedding_dim) float32 of unit length.
        """
        network = self.network
        pixels = (images.permute(0, 3, 1, 2).float() - PIXEL_CENTRE) / PIXEL_CENTRE
        fused = self.pyramid(network.backbone(pixels)[network.first_level :])
        mask_logits = network.propose(fused)
        cells = mask_logits.shape[2] * mask_logits.shape[3]
        if pooling_first_is_cheaper(mask_logits.shape[1], fused.shape[1], cells):
            *nonlinear, last = network.embedding_head
            assert isinstance(last, nn.Conv2d), "the head's last layer is linear, see FeatureHead"
            features = fused
            for layer in nonlinear:
                features = layer(features)
            regions = pool_convolved(mask_logits, features, last, valid)
        else:
            regions = pool_regions(mask_logits, network.embedding_head(fused), valid)
        return mask_logits.float(), F.normalize(network.describe(regions).float(), dim=-1)
