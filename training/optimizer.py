"""How weights are updated: SGD or AdamW, warm-up and cosine (paper 4.1), bounds of tau."""

from __future__ import annotations

import math

import torch
from torch import nn

from openseg_ros.model.openseg import OpenSeg
from training.config import OptimizerConfig


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """SGD or AdamW; weight decay on weights of convolutions and linear layers only, as in the authors' framework.

    Each group of parameters has a `factor`, which `set_learning_rate` multiplies its rate by.
    """
    decayed = {id(m.weight) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        factor = config.backbone_factor if name.startswith("backbone.") else 1.0
        decay = config.weight_decay if id(parameter) in decayed else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    settings = [
        {"params": parameters, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    if config.kind == "sgd":
        return torch.optim.SGD(settings, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(settings, lr=config.learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, steps: int, config: OptimizerConfig) -> None:
    """Give every group its rate for `step` (from 0) of `steps`."""
    rate = learning_rate(step, steps, config)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


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
