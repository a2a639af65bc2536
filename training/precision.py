"""In which numbers a device computes well."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

_CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # the last one is Arm's name


def mixed_precision(precision: Literal["auto", "bf16", "fp32"], device: torch.device) -> Literal["bf16", "no"]:
    """Accelerate's name for `precision` (`TrainConfig.precision`) on `device`."""
    if precision == "auto":
        precision = "bf16" if computes_in_bf16(device) else "fp32"
    return "bf16" if precision == "bf16" else "no"


def computes_in_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 in hardware; others emulate it, many times slower than fp32."""
    if device.type == "cpu":
        return any(torch.cpu.get_capabilities().get(name, False) for name in _CPU_BF16)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "xla"


def keep_depthwise_in_fp32(network: nn.Module) -> None:
    """Take depthwise convolutions out of autocast, in place.

    On a CPU their backward pass in bf16 takes five times that of fp32 (torch 2.13, Zen 5); EfficientNet-Lite0 trains
    twice as fast so.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.forward = partial(_in_fp32, module.forward)  # type: ignore[method-assign]


def _in_fp32(convolve: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    with torch.autocast(features.device.type, enabled=False):
        return convolve(features.float()).to(features.dtype)
