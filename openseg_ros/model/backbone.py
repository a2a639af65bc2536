"""Backbones with taps at strides 4, 8, 16 and 32 (paper 4.1: EfficientNet-B7, ResNet-101)."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn
from transformers import AlignVisionConfig, AlignVisionModel, ResNetBackbone, ResNetConfig

STRIDES = (4, 8, 16, 32)
RESNETS = {  # name: (block, depths, widths)
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": ("basic", (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048)),
    "resnet101": ("bottleneck", (3, 4, 23, 3), (256, 512, 1024, 2048)),
}
EFFICIENTNETS = {  # name: (width, depth) coefficients of the EfficientNet paper, table 1
    "efficientnet-b0": (1.0, 1.0),
    "efficientnet-b1": (1.0, 1.1),
    "efficientnet-b2": (1.1, 1.2),
    "efficientnet-b3": (1.2, 1.4),
    "efficientnet-b4": (1.4, 1.8),
    "efficientnet-b5": (1.6, 2.2),
    "efficientnet-b6": (1.8, 2.6),
    "efficientnet-b7": (2.0, 3.1),
}
# EfficientNet-Lite: no squeeze-excitation, ReLU6, first and last stage of one block; made for integer arithmetic.
EFFICIENTNET_LITES = {  # name: (width, depth) coefficients
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
# TensorFlow's 0.99 is 0.01 in PyTorch's convention; transformers passes 0.99 on, which would replace the running
# statistics by those of nearly every batch (huggingface ALIGN, seen in 5.23).
EFFICIENTNET_BN_MOMENTUM = 0.01


class ResNet(nn.Module):
    """transformers' ResNet, all four stages out."""

    def __init__(self, *, name: str, width: float) -> None:
        """Build `name` of `RESNETS` with every channel count multiplied by `width` (rounded to 8)."""
        super().__init__()
        block, depths, widths = RESNETS[name]
        self.channels = tuple(max(8, round(channels * width / 8) * 8) for channels in widths)
        config = ResNetConfig(
            embedding_size=max(8, round(64 * width / 8) * 8),
            layer_type=block,
            depths=list(depths),
            hidden_sizes=list(self.channels),
        )
        config.out_features = ["stage1", "stage2", "stage3", "stage4"]
        self.net = ResNetBackbone(config)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps (B, C_i, H / s, W / s) at strides 4, 8, 16, 32."""
        return list(self.net(images).feature_maps)


class EfficientNet(nn.Module):
    """The trunk of transformers' ALIGN vision model: EfficientNet without its 2560-channel head."""

    def __init__(self, *, name: str) -> None:
        """Build `name` of `EFFICIENTNETS` or `EFFICIENTNET_LITES`; taps are the last blocks before a stride."""
        super().__init__()
        lite = name in EFFICIENTNET_LITES
        width, depth = EFFICIENTNET_LITES[name] if lite else EFFICIENTNETS[name]
        # Drop-connect of the transformers port drops single elements, not samples: off.
        config = AlignVisionConfig(width_coefficient=width, depth_coefficient=1.0, drop_connect_rate=0.0)
        repeats = [math.ceil(depth * blocks) for blocks in config.num_block_repeats]
        if lite:
            config.hidden_act = "relu6"
            repeats[0] = repeats[-1] = 1
        config.num_block_repeats = repeats
        model = AlignVisionModel(config)
        self.stem, self.blocks = model.embeddings, model.encoder.blocks
        for block in self.blocks if lite else ():
            block.squeeze_excite = nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = EFFICIENTNET_BN_MOMENTUM
        ends = [last - 1 for last in itertools.accumulate(repeats)]
        self.taps = (ends[1], ends[2], ends[4], ends[6])
        self.channels = tuple(_output_channels(self.blocks[index]) for index in self.taps)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to four maps (B, C_i, H / s, W / s) at strides 4, 8, 16, 32."""
        features, taps = self.stem(images), []
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index in self.taps:
                taps.append(features)
        return taps


def build_backbone(name: str, width: float = 1.0) -> ResNet | EfficientNet:
    """Build a backbone with random weights.

    Raises:
        ValueError: `name` is unknown, or `width` is asked of an EfficientNet (its coefficient sets it).
    """
    if name in RESNETS:
        return ResNet(name=name, width=width)
    if name not in EFFICIENTNETS and name not in EFFICIENTNET_LITES:
        known = ", ".join([*RESNETS, *EFFICIENTNETS, *EFFICIENTNET_LITES])
        raise ValueError(f"unknown backbone '{name}'; known: {known}")
    if width != 1.0:
        raise ValueError(f"backbone_width is for ResNets; choose another EfficientNet than {name} instead")
    return EfficientNet(name=name)


def _output_channels(block: nn.Module) -> int:
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    return convolutions[-1].out_channels
