"""Repeated timing of several rivals in turn, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.machine import describe_machine

WARM_UP = 3  # rounds before the clock counts


def measure(
    rivals: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """Seconds of every round by `clock`: {name: (rounds,)}; each round runs every rival once."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for number in track(range(WARM_UP + rounds), "measuring", console=Console(stderr=True)):
        for name, run in rivals.items():
            start = clock()
            run()
            if number >= WARM_UP:
                seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def report(title: str, seconds: Mapping[str, np.ndarray], out: Path | None, facts: Mapping[str, object]) -> None:
    """Print a table of times, each beside its ratio to the first rival's median; write it as JSON to `out`."""
    first = next(iter(seconds))
    figures = {
        name: {
            "p50_ms": float(np.percentile(values, 50) * 1e3),
            "p95_ms": float(np.percentile(values, 95) * 1e3),
            "p99_ms": float(np.percentile(values, 99) * 1e3),
            "ratio": float(np.median(values) / np.median(seconds[first])),
        }
        for name, values in seconds.items()
    }
    table = Table("", "p50 ms", "p95 ms", "p99 ms", f"ratio to {first}", title=title)
    for name, row in figures.items():
        table.add_row(
            name, f"{row['p50_ms']:.2f}", f"{row['p95_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['ratio']:.3f}"
        )
    Console().print(table)
    if out:
        out.write_text(
            json.dumps({"title": title, "machine": describe_machine(), **facts, "figures": figures}, indent=1),
            encoding="utf-8",
        )
