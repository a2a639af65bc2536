"""Resumable checkpoints without pickle: every tensor of network and optimizer in one safetensors file.

There is no random state in it: all randomness of a step comes from the run's seed and the step's number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from openseg_ros.runtime.weights import write_atomically

# Keys of the configuration that a resumed run may change. `steps` stretches the rest of the schedule; the others do
# not change what a step computes.
CHANGEABLE = {
    *("config.steps", "config.workers", "config.tensorboard"),
    *("config.log_every", "config.checkpoint_every", "config.picture_every"),
}
ABSENT = "nothing"


class CheckpointError(RuntimeError):
    """A checkpoint is damaged or belongs to another run; the message names the difference."""


def save_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, step: int, facts: Mapping[str, Any]
) -> None:
    """Write the state after `step` steps; the old file stays until the new one is whole.

    Args:
        path: the file.
        network: its parameters and buffers are stored.
        optimizer: its state is stored, not its settings.
        step: number of steps done.
        facts: nested mapping, plain values: what the run is; compared when it is resumed.

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
    # One entry, because safetensors writes several in changing order, and equal runs should give equal files.
    metadata = {"run": json.dumps({"step": step, "scalars": scalars, "facts": facts})}
    write_atomically(path, save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, metadata))


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, facts: Mapping[str, Any]) -> int:
    """Restore `network` and `optimizer` in place; returns the number of steps done.

    Raises:
        CheckpointError: the file is damaged, or was written by a run with other `facts`.
    """
    state: dict[int, dict[str, Any]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            run = json.loads(file.metadata()["run"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        saved_facts, scalars, step = run["facts"], run["scalars"], int(run["step"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint of this version ({error}); delete it to start anew"
        ) from error
    _refuse_another_run(path, saved_facts, facts)
    network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
    optimizer_values = {key: value for key, value in tensors.items() if key.startswith("optimizer.")}
    for name, value in (optimizer_values | scalars).items():
        _, index, key = name.split(".", 2)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step


def _refuse_another_run(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    before, now = dict(_flatten(saved, "")), dict(_flatten(json.loads(json.dumps(given)), ""))
    for key in sorted(before.keys() | now.keys()):
        if key not in CHANGEABLE and before.get(key, ABSENT) != now.get(key, ABSENT):
            raise CheckpointError(
                f"{path} belongs to a run with {key} = {before.get(key, ABSENT)}, this one has {now.get(key, ABSENT)}. "
                "Give the old value to resume it, or another output folder to start anew"
            )


def _flatten(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
