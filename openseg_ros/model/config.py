"""The numbers of an OpenSeg network. Defaults are the paper's; where it is silent, the reason is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network; a YAML file overrides single fields, for example a small model for a CPU."""

    backbone: str = "efficientnet-b7"  # paper 4.1; also resnet18/34/50/101, efficientnet-b0 to b7, -lite0 to 2
    backbone_width: float = 1.0  # multiplies every channel count of a ResNet: a knob for small models
    input_size: tuple[int, int] = (640, 640)  # (height, width) in pixels, multiples of 32; paper 4.1
    num_queries: int = 128  # N, paper 4.2
    hidden_dim: int = 640  # D of FPN, heads and queries, paper 4.1
    embedding_dim: int = 640  # dimension of the text space; 640 is ALIGN's
    head_stride: Literal[4, 8] = 4  # P2, paper 4.1; 8 costs a quarter and blurs small objects
    head_convs: int = 3  # 3x3 convolutions after the 1x1, paper 4.1
    attention_blocks: int = 3  # T, appendix C
    attention_heads: int = 8  # paper silent; 80 channels a head at D=640, the usual size
    ffn_ratio: float = 0.0  # paper's figure 6 shows none; small models gain from 2
    position_embedding: Literal["grid", "factored"] = "grid"  # factored: rows + columns, 80x smaller
    # Initial queries: the paper's random ones, or "anchors": each starts as the position embedding of its own place on
    # a regular grid, so that its first mask is a spot there. Objects then have a nearby query from the first step on,
    # which saves a small model most of the time that random queries need to part. Needs "factored".
    query_init: Literal["random", "anchors"] = "random"
    mask_logit_scale: float = 0.0  # factor on dot(q, F); 0 = 1/sqrt(D), else the sigmoid saturates at D=640
    mask_logit_bias: float = -2.0  # initial value of a learned bias: masks start small, as regions are
    # Normalises pooled features over the regions of a batch before the projection. The paper starts from a backbone
    # that is aligned with its text encoder; from random weights all regions start out nearly parallel.
    region_norm: bool = False
    # Takes from each unit embedding the mean of those of its image. Eq. 2 asks which region fits a word better than the
    # others do, so training does not see what a word has in common with all of them; eq. 6, which compares words, does.
    center_regions: bool = False
    temperature: float = 0.07  # initial value of the learned tau of eq. 2; CLIP's and GroupViT's choice

    def __post_init__(self) -> None:
        """Refuse sizes that the strides do not divide."""
        height, width = self.input_size
        if height % 32 or width % 32 or height <= 0 or width <= 0:
            raise ValueError(f"input_size {self.input_size} must be positive multiples of 32 (the coarsest stride)")
        if self.hidden_dim % self.attention_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} is not divisible by {self.attention_heads} heads")
        if self.query_init == "anchors" and (self.position_embedding != "factored" or self.hidden_dim % 4):
            raise ValueError("query_init 'anchors' needs position_embedding 'factored' and a hidden_dim divisible by 4")

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of masks and features: the input size over the head stride."""
        return self.input_size[0] // self.head_stride, self.input_size[1] // self.head_stride
