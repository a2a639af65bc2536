"""The plain log of a run, `log.jsonl`: mean losses since the last line, one JSON object per line; also TensorBoard."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from torch import Tensor

from openseg_ros.runtime.weights import write_atomically


class DivergedError(RuntimeError):
    """A loss or weight is no longer a number; the message names it and the step."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(
            f"{what} at step {step}; nothing of it was saved. Lower optimizer.learning_rate or optimizer.clip_norm, or "
            "raise optimizer.warmup_steps, and start anew in another output folder"
        )


class RunLog:
    """Sums on the device, so that a step does not wait for its figures; the main process writes."""

    def __init__(self, path: Path, accelerator: Accelerator, first_step: int) -> None:
        """Go on after `first_step` steps: lines of steps that are done again are cut off."""
        self._path = path
        self._accelerator = accelerator
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._waited = 0.0
        self._last_line = time.monotonic()
        self._seconds = 0.0
        if accelerator.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                kept = _lines_until(path, first_step)
                self._seconds = float(kept[-1]["seconds"]) if kept else 0.0
                write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def add(self, losses: dict[str, Tensor]) -> None:
        """Note the losses of one step."""
        for key, value in losses.items():
            self._sums[key] = self._sums.get(key, torch.zeros_like(value)) + value.detach()
        self._steps += 1

    def write(self, step: int, extra: dict[str, float], waited: float) -> dict[str, float]:
        """Write a line after `step` steps; returns the mean losses over all processes.

        The line has `step`, `seconds` of training (interrupted runs add up), the mean losses, `extra`, and
        `waiting`, the share of the time since the last line that the main process waited for data; `waited` is that
        waiting in seconds since the start of the process.

        Raises:
            DivergedError: a loss is infinite or not a number.
        """
        means = {key: float(reduce(value, "mean")) / self._steps for key, value in self._sums.items()}
        elapsed = time.monotonic() - self._last_line
        self._seconds += elapsed
        figures = {**means, **extra, "waiting": (waited - self._waited) / elapsed}
        wrong = [key for key, value in figures.items() if not math.isfinite(value)]
        if wrong:
            raise DivergedError(", ".join(f"{key} is {figures[key]}" for key in wrong), step)
        if self._accelerator.is_main_process:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, "seconds": round(self._seconds, 1), **figures}) + "\n")
        self._accelerator.log(figures, step=step)
        self._sums, self._steps, self._waited, self._last_line = {}, 0, waited, time.monotonic()
        return means


def _lines_until(path: Path, step: int) -> list[dict[str, float]]:
    """The whole lines of steps up to `step`; a killed process can leave half a line."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if line["step"] > step:
            break
        lines.append(line)
    return lines
