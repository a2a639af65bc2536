"""How weights are updated: SGD or AdamW, warm-up and cosine (paper 4.1), bounds of tau."""

from __future__ import annotations

import math

import torch
from torch import nn

from openseg_ros.model.openseg import OpenSeg
from training.config import OptimizerConfig


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """SGD or AdamW; weight decay on weights of convolutions and linear layers only, as in the authors' framework."""
    decayed = {id(m.weight) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    groups = [
        {
            "params": [p for p in network.parameters() if id(p) in decayed],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in network.parameters() if id(p) not in decayed], "weight_decay": 0.0},
    ]
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Linear warm-up, then half a cosine to zero (paper 4.1)."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@torch.no_grad()
def bound_temperature(network: OpenSeg, bounds: tuple[float, float]) -> None:
    """Bring tau of eq. 2 back into `bounds` after an update."""
    network.log_temperature.clamp_(math.log(bounds[0]), math.log(bounds[1]))
