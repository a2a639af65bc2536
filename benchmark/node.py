"""The whole node over DDS: stamp to answer at 10, 30 and 60 Hz, also with new queries; processor time and memory.

python -m benchmark.node --weights tabletop --seconds 20

Latency counts from the image's stamp, when the robot publishes it, to the arrival of both ~/mask and ~/regions at the
robot, which is another process. The scenarios take turns, a few seconds each.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import skimage.data
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.options import OutOption, WeightsOption
from benchmark.robot import Robot
from benchmark.timing import report
from demo.isolation import isolate
from openseg_ros.runtime.weights import load_weights

SIZE = (480, 640)
PHRASES = ("cup", "plate", "spoon")
TURN_S = 5.0  # seconds of one scenario at a time
LAST_ANSWERS_S = 1.0


@dataclass
class Scenario:
    """How the camera and the planner behave, and what came of it."""

    rate_hz: float
    phrases_per_s: float = 0.0  # new phrases, never asked before
    latencies: list[float] = field(default_factory=list)  # s, of the answered images
    shown: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


def play(robot: Robot, rgb: np.ndarray, scenario: Scenario, seconds: float) -> None:
    """Show `rgb` at the scenario's rate for `seconds` and add what was measured to the scenario."""
    period = 1.0 / scenario.rate_hz
    stamps: list[int] = []
    asked = 0
    cpu, start = robot.cpu_seconds(), time.monotonic()
    for number in range(round(seconds * scenario.rate_hz)):
        time.sleep(max(0.0, start + number * period - time.monotonic()))
        stamps.append(robot.show(rgb))
        if (time.monotonic() - start) * scenario.phrases_per_s > asked:
            robot.ask([*PHRASES, f"thing number {scenario.shown + number}"], wait=False)
            asked += 1
    scenario.wall_seconds += time.monotonic() - start
    scenario.cpu_seconds += robot.cpu_seconds() - cpu
    time.sleep(LAST_ANSWERS_S)
    scenario.shown += len(stamps)
    scenario.latencies += robot.latencies(stamps).tolist()


def main(
    weights: WeightsOption = "tabletop",
    seconds: Annotated[float, typer.Option(min=TURN_S, help="Length of every scenario.")] = 30.0,
    out: OutOption = None,
) -> None:
    """Measure the running node."""
    isolate()
    rgb = cv2.resize(skimage.data.coffee(), SIZE[::-1], interpolation=cv2.INTER_AREA)
    scenarios = {
        "10 Hz": Scenario(10.0),
        "30 Hz": Scenario(30.0),
        "60 Hz": Scenario(60.0),
        "10 Hz, 2 new phrases a second": Scenario(10.0, phrases_per_s=2.0),
    }
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "node.log"
        try:
            with Robot("bench", log, "--weights", weights) as robot:
                robot.wait_for_first_answer(rgb)
                robot.ask(PHRASES)
                play(robot, rgb, Scenario(10.0), TURN_S)  # warm-up
                turns = list(scenarios.values()) * round(seconds / TURN_S)
                for scenario in track(turns, "measuring", console=Console(stderr=True)):
                    play(robot, rgb, scenario, TURN_S)
                memory = robot.resident_megabytes()
        except TimeoutError as error:
            typer.secho(f"error: {error}\n{log.read_text(errors='replace')}", err=True, fg="red")
            raise typer.Exit(1) from error
    summary = {
        name: {
            "shown": scenario.shown,
            "dropped": scenario.shown - len(scenario.latencies),
            "cores": scenario.cpu_seconds / scenario.wall_seconds,
        }
        for name, scenario in scenarios.items()
    }
    facts = {"weights": load_weights(weights).embedding_space, "resident_mib": memory, "scenarios": summary}
    seconds_of = {name: np.array(scenario.latencies) for name, scenario in scenarios.items() if scenario.latencies}
    report(f"node on {SIZE[1]}x{SIZE[0]} images: stamp to answer", seconds_of, out, facts)
    table = Table("", "images", "dropped", "processor cores", title="Load")
    for name, row in summary.items():
        table.add_row(name, str(row["shown"]), str(row["dropped"]), f"{row['cores']:.2f}")
    Console().print(table)
    Console().print(f"{memory:.0f} MiB resident")


if __name__ == "__main__":
    typer.run(main)
