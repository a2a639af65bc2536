"""What the size of the vocabulary costs the whole node: 1, 10, 100 and 1000 phrases, and the bare engine beside them.

python -m benchmark.vocabulary --weights tabletop

Four nodes run at once, each with its own vocabulary; every round shows each of them one image and waits for the answer,
so that only one works at a time and all meet the same machine. The first rival is the engine alone, in this process, on
an image of its own size.

Every region that is reported costs time too, and more words find more. So all vocabularies begin with the phrase that
most regions answer, and `max_regions` cuts all answers to the same number.
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
from benchmark.options import OutOption, WeightsOption
from benchmark.queries import phrases
from benchmark.robot import Robot
from benchmark.timing import measure, report
from demo.isolation import isolate
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.vocabulary import Query, build_vocabulary

SIZE = (480, 640)
COUNTS = (1, 10, 100, 1000)
SETTINGS = SegmenterSettings(score_threshold=0.2)
BACKGROUND = [Query(phrase, background=True) for phrase in ("table", "wall", "floor")]  # the node's default
MAX_REGIONS = 16


def main(
    weights: WeightsOption = "tabletop",
    rounds: Annotated[int, typer.Option(min=1, help="Images for every node.")] = 50,
    out: OutOption = None,
) -> None:
    """Compare nodes with vocabularies of different size."""
    isolate()
    model, encoder, engine = load_model(weights)
    rgb = cv2.resize(skimage.data.coffee(), SIZE[::-1], interpolation=cv2.INTER_AREA)
    height, width = model.description.model.input_size
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)[None]
    valid = np.ones((1, *model.description.model.grid), np.float32)
    rivals: dict[str, Callable[[], object]] = {"bare engine": partial(engine.infer, small, valid)}
    segmenter = Segmenter(engine=engine, calibration=model.calibration, settings=SETTINGS)
    proposals = segmenter.propose(rgb)
    answers = {
        phrase: len(segmenter.segment(proposals, build_vocabulary([Query(phrase), *BACKGROUND], encoder, 1)).regions)
        for phrase in phrases()
    }
    most_found = max(answers, key=lambda phrase: answers[phrase])
    if not answers[most_found]:
        typer.secho(f"error: these weights find none of {len(answers)} phrases in the image", err=True, fg="red")
        raise typer.Exit(1)
    texts = [most_found, *(phrase for phrase in phrases() if phrase != most_found)]
    names = {count: f"node, {count} phrase{'s' if count > 1 else ''}" for count in COUNTS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        parameters = Path(folder) / "parameters.yaml"
        parameters.write_text(
            f"/**:\n  ros__parameters:\n    score_threshold: {SETTINGS.score_threshold}\n"
            f"    max_regions: {min(answers[most_found], MAX_REGIONS)}\n",
            encoding="utf-8",
        )
        options = ("--weights", weights, "--params-file", str(parameters))
        robots: dict[int, Robot] = {}
        try:
            for count in COUNTS:
                log = Path(folder) / f"node_{count}.log"
                robots[count] = robot = stack.enter_context(Robot(f"bench_{count}", log, *options))
                robot.wait_for_first_answer(rgb)
                robot.ask(texts[:count])
                rivals[names[count]] = partial(robot.answer, rgb)
            seconds = measure(rivals, rounds)
            regions = {names[count]: robot.regions for count, robot in robots.items()}
        except TimeoutError as error:
            typer.secho(f"error: {error}", err=True, fg="red")
            raise typer.Exit(1) from error
    report(
        f"{model.embedding_space} ({engine.name}): image to answer through the node, {SIZE[1]}x{SIZE[0]}",
        seconds,
        out,
        {"rounds": rounds, "regions": regions},
    )


if __name__ == "__main__":
    typer.run(main)
