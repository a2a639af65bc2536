"""How long the node takes from the start of its process to its first answer, and its memory then, by what it loads.

python -m benchmark.start --weights tabletop --rounds 5

"kept networks" is the default: network and text encoder were converted by an earlier start. "torch" is the reference.
The starts take turns.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import skimage.data
import typer
from rich.console import Console
from rich.progress import track

from benchmark.options import OutOption, WeightsOption
from benchmark.robot import Robot
from benchmark.timing import report
from demo.isolation import isolate
from openseg_ros.runtime.weights import load_weights

SIZE = (480, 640)
BACKENDS = {"kept networks": "auto", "torch": "torch"}


def main(
    weights: WeightsOption = "tabletop",
    rounds: Annotated[int, typer.Option(min=1, help="Starts of every kind.")] = 5,
    out: OutOption = None,
) -> None:
    """Compare starts of the node."""
    isolate()
    rgb = cv2.resize(skimage.data.coffee(), SIZE[::-1], interpolation=cv2.INTER_AREA)
    seconds: dict[str, list[float]] = {name: [] for name in BACKENDS}
    processor: dict[str, list[float]] = {name: [] for name in BACKENDS}
    memory: dict[str, list[float]] = {name: [] for name in BACKENDS}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "node.log"
        try:
            with Robot("bench_cache", log, "--weights", weights) as robot:  # converts what is not kept yet
                robot.wait_for_first_answer(rgb)
            for number in track(range(rounds), "starting", console=Console(stderr=True)):
                for name, backend in BACKENDS.items():
                    node = f"bench_{backend}_{number}"
                    with Robot(node, log, "--weights", weights, "--backend", backend) as robot:
                        seconds[name].append(robot.wait_for_first_answer(rgb))
                        processor[name].append(robot.cpu_seconds())
                        memory[name].append(robot.resident_megabytes())
        except TimeoutError as error:
            typer.secho(f"error: {error}\n{log.read_text(errors='replace')}", err=True, fg="red")
            raise typer.Exit(1) from error
    used = {name: float(np.median(values)) for name, values in processor.items()}
    resident = {name: float(np.median(values)) for name, values in memory.items()}
    report(
        f"start of the process to the first answer, {SIZE[1]}x{SIZE[0]}",
        {name: np.array(values) for name, values in seconds.items()},
        out,
        {
            "weights": load_weights(weights).embedding_space,
            "rounds": rounds,
            "processor_seconds": used,
            "resident_mib": resident,
        },
    )
    for name in BACKENDS:
        Console().print(f"{name}: {used[name]:.1f} s of processor time, {resident[name]:.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
