"""How much of a training step is spent waiting for data: steps with the real loader against steps with one batch.

python -m benchmark.data_loading --config training/configs/tabletop_2_all.yaml --data DATA

Both kinds of step run in turns, in one process, so that other work on the machine meets both. Limit: 5 % (issue 3).
"""

from __future__ import annotations

import itertools
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from accelerate import Accelerator
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.options import OutOption
from openseg_ros.configuration import ConfigurationError
from openseg_ros.runtime.weights import WeightsError
from openseg_ros.text.text_encoder import TextEncoderError
from training.config import load_train_config, parse_overrides
from training.data.broken_records import DatasetError
from training.data.samples import Batch
from training.run import LoadedBatches, Run, open_run

LIMIT = 0.05  # share of a step
# Batches that lie ready when the turn of the loaded steps comes: torch prefetches two for each loader process. They
# would flatter a loader that is slower than the network, so that many steps of each turn are not counted.
PREFETCHED = 2


@dataclass(frozen=True)
class LoadingCost:
    """Figures of one measurement; times in seconds a step, medians over all counted steps."""

    loaded: float  # step with the real loader
    repeated: float  # step with the same batch again
    waiting: float  # share of the time of loaded steps that the trainer waited for a batch
    slowdown: float  # (loaded - repeated) / loaded: also what loader processes take away from the network
    steps: int  # counted, of each kind


def measure_loading(run: Run, steps: int, turns: int) -> LoadingCost:
    """Time `turns` times `steps` steps with the real loader and as many with one batch.

    The batch of the repeated steps is the last one that was loaded, a new one in each turn: the number of labels and
    words of a batch changes the work.
    """
    run.objective.train()
    batches = run.batches()
    number = itertools.count()
    skipped = PREFETCHED * run.config.workers
    loaded: list[float] = []
    repeated: list[float] = []
    waited = 0.0
    run.step(next(number), batches)  # allocates memory, chooses kernels
    for _ in track(range(turns), "measuring", console=Console(stderr=True)):
        for place in range(skipped + steps):
            before = batches.waited
            seconds = _timed_step(run, next(number), batches)
            if place >= skipped:
                loaded.append(seconds)
                waited += batches.waited - before
        assert batches.last is not None, "a step has been done"
        again: Iterator[Batch] = itertools.repeat(batches.last)
        repeated += [_timed_step(run, next(number), again) for _ in range(steps)]
    slow, fast = median(loaded), median(repeated)
    return LoadingCost(slow, fast, waited / sum(loaded), (slow - fast) / slow, len(loaded))


def _timed_step(run: Run, number: int, batches: Iterator[Batch] | LoadedBatches) -> float:
    start = time.perf_counter()
    float(run.step(number, batches)["loss"])  # waits for the device
    return time.perf_counter() - start


def main(
    config: Annotated[Path, typer.Option(help="YAML file of a training run.")],
    data: Annotated[Path, typer.Option(help="Folder that the sources' relative folders are below.")] = Path(),
    steps: Annotated[int, typer.Option(min=1, help="Counted steps of each kind in a turn.")] = 10,
    turns: Annotated[int, typer.Option(min=1, help="Turns of both kinds.")] = 3,
    override: Annotated[list[str] | None, typer.Option("--set", help="key=value over the file; repeatable.")] = None,
    out: OutOption = None,
) -> None:
    """Measure the cost of data loading."""
    try:
        settings = load_train_config(config, parse_overrides(override or []))
        needed = 1 + turns * (2 * steps + PREFETCHED * settings.workers)
        settings = replace(settings, steps=max(settings.steps, needed), init="", tensorboard=False)
        accelerator = Accelerator(mixed_precision=settings.precision)
        with TemporaryDirectory() as empty:
            run = open_run(settings, data, data / "words", accelerator, Path(empty) / "none.safetensors")
            cost = measure_loading(run, steps, turns)
    except (ConfigurationError, DatasetError, TextEncoderError, WeightsError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    facts = {
        "config": settings.name,
        "batch": settings.batch,
        "workers": settings.workers,
        "device": str(accelerator.device),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
    }
    table = Table("figure", "value", title=f"{settings.name}, {settings.batch} images a step, {accelerator.device}")
    table.add_row("step with the real loader", f"{cost.loaded * 1000:.0f} ms")
    table.add_row("step with the same batch again", f"{cost.repeated * 1000:.0f} ms")
    table.add_row("waiting for data", f"{cost.waiting:.1%} of the time, limit {LIMIT:.0%}")
    table.add_row("slower by", f"{cost.slowdown:.1%}")
    Console().print(table)
    report = json.dumps({**facts, **asdict(cost), "limit": LIMIT, "within_limit": cost.waiting <= LIMIT}, indent=1)
    print(report)
    if out:
        out.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
