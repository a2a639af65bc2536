"""In which numbers a device computes well."""

from __future__ import annotations

from typing import Literal

import torch

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
