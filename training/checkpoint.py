"""Resumable checkpoints without pickle: every tensor of network and optimizer in one safetensors file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from openseg_ros.runtime.weights import write_atomically


def save_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the state after `step` steps; the old file stays until the new one is whole.

    Raises:
        OSError: the disk is full or not writable.
    """
    tensors: dict[str, Tensor] = {f"network.{key}": value for key, value in network.state_dict().items()}
    scalars: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            name = f"optimizer.{index}.{key}"
            if isinstance(value, Tensor):
                tensors[name] = value
            else:
                scalars[name] = value
    metadata = {"step": str(step), "scalars": json.dumps(scalars)}
    write_atomically(path, save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, metadata))


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore `network` and `optimizer` in place; returns the number of steps done."""
    state: dict[int, dict[str, Any]] = {}
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    optimizer_values = {key: value for key, value in tensors.items() if key.startswith("optimizer.")}
    for name, value in (optimizer_values | json.loads(metadata["scalars"])).items():
        _, index, key = name.split(".", 2)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(metadata["step"])
