"""Renders many scenes, on several processes, into one data set."""

from __future__ import annotations

import functools
import multiprocessing
import platform
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.world.camera import sample_camera
from training.world.captions import write_captions
from training.world.coco_writer import Record, make_folders, write_annotations, write_view
from training.world.errors import WorldError
from training.world.graphics_backend import mujoco
from training.world.kinds import KINDS
from training.world.renderer import Renderer
from training.world.room import TABLE
from training.world.scene import Scene, Sources
from training.world.view import View, take

WALL_CLEARANCE = 0.2  # metres that the camera keeps from the walls


@dataclass(frozen=True)
class RenderSettings:
    """What a data set is made of; height and width in pixels."""

    seed: int
    views: int
    height: int
    width: int
    sources: Sources
    things: tuple[int, int] = (3, 9)  # least and largest number of objects in a scene
    ground: str = TABLE  # what they lie on, table or floor


def render_scene(settings: RenderSettings, index: int) -> Iterator[tuple[View, list[str]]]:
    """The views of scene `index` with their captions; depends on nothing but (settings, index)."""
    scene = Scene(
        settings.seed,
        index,
        settings.sources,
        height=settings.height,
        width=settings.width,
        things=settings.things,
        ground=settings.ground,
    )
    middle, radius = scene.middle_and_radius()
    with Renderer(scene.model, settings.height, settings.width) as renderer:
        for number in range(settings.views):
            rng = np.random.default_rng([settings.seed, index, number + 1])
            camera = sample_camera(rng, middle, radius, scene.room.wall_distance - WALL_CLEARANCE)
            view = take(scene, renderer, camera, rng)
            yield view, write_captions(view, rng)


def _render_to_disk(settings: RenderSettings, out: Path, index: int) -> list[Record]:
    records = []
    for number, (view, captions) in enumerate(render_scene(settings, index)):
        records.append(write_view(out, index * settings.views + number + 1, view, captions))
    return records


def render_dataset(settings: RenderSettings, out: Path, scenes: int, workers: int, arguments: dict[str, Any]) -> None:
    """Renders `scenes` scenes into `out` with a progress bar; `arguments` are kept in world.json.

    Raises:
        WorldError: a rendering process was killed.
    """
    make_folders(out)
    work = functools.partial(_render_to_disk, settings, out)
    records: list[Record] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(f"scenes -> {out}", total=scenes)
        if workers == 1:
            for index in range(scenes):
                records += work(index)
                progress.advance(task)
        else:
            # An OpenGL context does not survive fork(). Not multiprocessing.Pool: it waits for ever for the scene of
            # a process that was killed, for example for its memory.
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                try:
                    for done in pool.map(work, range(scenes), chunksize=4):
                        records += done
                        progress.advance(task)
                except (BrokenProcessPool, OSError) as error:
                    # A pool that breaks while work is submitted says "handle is closed", without a number (3.11).
                    if isinstance(error, OSError) and error.errno is not None:
                        raise  # a full disk, for example
                    raise WorldError(
                        f"one of {workers} rendering processes was killed from outside, perhaps for its memory; "
                        "start again, with fewer --workers if it happens again"
                    ) from error
    names = [*KINDS, *(scan.name for scan in settings.sources.scans)]
    versions = {"python": platform.python_version(), "mujoco": mujoco.__version__, "numpy": np.__version__}
    write_annotations(out, records, names, {"seed": settings.seed, "arguments": arguments, "versions": versions})
