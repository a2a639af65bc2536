"""Cut close views of the things out of rendered images, with captions of what each shows.

    python -m training.world.zoom --data DATA/train --out DATA/train_zoom --size 96x128 --per-image 4 --seed 5

A thing is 20 to 50 pixels wide in an image of a full table, and its name one of a dozen. In a close view it is as large
as the network will see it at full size, its caption names it and one or two others, and training costs a sixth of the
pixels: words are learned several times as fast (training/EXPERIMENTS.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console

from training.data.broken_records import DatasetError
from training.world.captions import write_captions
from training.world.coco_writer import write_views
from training.world.stored_views import StoredView, StoredWorld, view_of
from training.world.view import View

MAGNIFICATION = (1.0, 2.2)  # output pixels per image pixel, drawn evenly in the logarithm
MOST_OF_WINDOW = 0.85  # of its sides that the thing in the middle may fill
NAMED_SHARE = 0.6  # of a thing's visible pixels that must lie in the window for it to be named
MIN_PIXELS = 40  # of a thing in the image, to be worth a look


def draw_window(
    box: np.ndarray, image_size: tuple[int, int], size: tuple[int, int], random: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a window of the shape of `size` that holds `box` (x y width height), drawn.

    The window lies inside the image, and is the whole image where the thing fills it.
    """
    low, high = np.log(MAGNIFICATION)
    magnification = float(np.exp(random.uniform(low, high)))
    magnification = min(magnification, *(MOST_OF_WINDOW * size[axis] / box[3 - axis] for axis in (0, 1)))
    magnification = max(magnification, *(size[axis] / image_size[axis] for axis in (0, 1)))
    sides = [min(image_size[axis], round(size[axis] / magnification)) for axis in (0, 1)]
    corner = []
    for axis, (start, length) in enumerate(((box[1], box[3]), (box[0], box[2]))):
        least = max(0, min(start, start + length - sides[axis]))
        most = min(image_size[axis] - sides[axis], max(start, start + length - sides[axis]))
        corner.append(int(random.integers(least, max(least, most) + 1)))
    return corner[0], corner[1], sides[0], sides[1]


def _close_view(source: StoredView, window: tuple[int, int, int, int], size: tuple[int, int], ground: str) -> View:
    top, left, height, width = window
    inside = np.s_[top : top + height, left : left + width]
    shrinks = height > size[0]
    rgb = cv2.resize(source.rgb[inside], size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    there = np.bincount(source.ids[inside].ravel(), minlength=source.ids.max() + 1)
    ids = cv2.resize(source.ids[inside], size[::-1], interpolation=cv2.INTER_NEAREST)
    drawn = np.bincount(ids.ravel(), minlength=source.ids.max() + 1)
    named = tuple(
        replace(segment, area=int(drawn[segment.id]))
        for segment in source.segments
        if drawn[segment.id] and (not segment.is_thing or there[segment.id] >= NAMED_SHARE * segment.area)
    )
    return view_of(rgb, ids, named, ground)


def _close_views(
    world: StoredWorld, size: tuple[int, int], per_image: int, seed: int
) -> Iterator[tuple[View, list[str]]]:
    """Views with one caption each, which names everything in them.

    Args:
        world: a rendered data set.
        size: (height, width) of a view, pixels.
        per_image: views of one image at most, each round another thing.
        seed: of windows and words; an image's views depend on nothing but it and the image's id.
    """
    for source, random in world.views("zooming", seed):
        things = [i for i, s in enumerate(source.segments) if s.is_thing and s.area >= MIN_PIXELS]
        for index in random.permutation(things)[:per_image]:
            height, width = source.ids.shape
            window = draw_window(source.boxes[index], (height, width), size, random)
            view = _close_view(source, window, size, world.ground)
            if any(segment.is_thing for segment in view.segments):
                yield view, write_captions(view, random, count=1)


def main(
    data: Annotated[Path, typer.Option(help="A data set of training.world.render.")],
    out: Annotated[Path, typer.Option(help="Folder to write, in the same layout.")],
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of a view, pixels.")] = "96x128",
    per_image: Annotated[int, typer.Option(min=1, help="Views of one image, each round another thing.")] = 4,
    seed: Annotated[int, typer.Option(help="Of windows and words.")] = 0,
) -> None:
    """Make a data set of close views."""
    try:
        height, width = (int(part) for part in size.split("x"))
    except ValueError as error:
        typer.secho(f"error: --size {size}: {error}; it must be HEIGHTxWIDTH", err=True, fg="red")
        raise typer.Exit(2) from error
    try:
        world = StoredWorld.read(data)
        arguments = {"data": data.name, "size": size, "per_image": per_image, "ground": world.ground}
        views = _close_views(world, (height, width), per_image, seed)
        count = write_views(out, views, world.thing_names, {"seed": seed, "arguments": arguments})
    except (DatasetError, OSError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    Console().print(f"{out}: {count} views")


if __name__ == "__main__":
    typer.run(main)
