"""What the size of the vocabulary costs the whole node: 1, 10, 100 and 1000 phrases, and the bare engine beside them.

python -m benchmark.vocabulary --weights tabletop

Four nodes run at once, each with its own vocabulary; every round shows each of them one image and waits for the answer,
so that only one works at a time and all meet the same machine. The first rival is the engine alone, in this process, on
an image of its own size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import skimage.data
import typer

from benchmark.loaded_model import load_model
from benchmark.queries import phrases
from benchmark.robot import Robot
from benchmark.timing import measure, report
from demo.isolation import isolate

SIZE = (480, 640)
COUNTS = (1, 10, 100, 1000)


def main(
    weights: Annotated[str, typer.Option(help="Shipped model or model folder.")] = "tabletop",
    rounds: Annotated[int, typer.Option(min=1, help="Images for every node.")] = 50,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Compare nodes with vocabularies of different size."""
    isolate()
    model, _, engine = load_model(weights)
    rgb = cv2.resize(skimage.data.coffee(), SIZE[::-1], interpolation=cv2.INTER_AREA)
    height, width = model.description.model.input_size
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)[None]
    valid = np.ones((1, *model.description.model.grid), np.float32)
    rivals: dict[str, Callable[[], object]] = {"bare engine": partial(engine.infer, small, valid)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as robots:
        try:
            for count in COUNTS:
                log = Path(folder) / f"node_{count}.log"
                robot = robots.enter_context(Robot(f"bench_{count}", log, "--weights", weights))
                robot.wait_for_first_answer(rgb)
                robot.ask(phrases()[:count])
                rivals[f"node, {count} phrase{'s' if count > 1 else ''}"] = partial(robot.answer, rgb)
            seconds = measure(rivals, rounds)
        except TimeoutError as error:
            typer.secho(f"error: {error}", err=True, fg="red")
            raise typer.Exit(1) from error
    report(
        f"{model.embedding_space} ({engine.name}): image to answer through the node, {SIZE[1]}x{SIZE[0]}",
        seconds,
        out,
        {"rounds": rounds},
    )


if __name__ == "__main__":
    typer.run(main)
