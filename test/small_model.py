"""A small real network with random weights, for tests that need the machinery and no accuracy."""

from __future__ import annotations

from pathlib import Path

import torch

from openseg_ros.model.config import ModelConfig
from openseg_ros.model.openseg import OpenSeg
from openseg_ros.runtime.calibration import CalibrationNumbers
from openseg_ros.runtime.weights import ModelDescription, Weights, load_weights, save_weights

SMALL = ModelConfig(
    backbone="resnet18",
    backbone_width=0.25,
    input_size=(96, 128),
    num_queries=12,
    hidden_dim=32,
    embedding_dim=384,
    head_convs=2,
    attention_heads=4,
    ffn_ratio=2.0,
    position_embedding="factored",
    mask_logit_bias=0.0,  # random masks then cover about half of the image instead of nothing
)


def random_weights(folder: Path, config: ModelConfig = SMALL, seed: int = 0) -> Weights:
    """Save a network with random weights in `folder` and load it again."""
    torch.manual_seed(seed)
    network = OpenSeg(config)
    save_weights(
        folder, network.state_dict(), ModelDescription(config, "minilm", CalibrationNumbers(scale=10.0, bias=0.0))
    )
    return load_weights(folder)
