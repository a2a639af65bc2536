"""Paste things out of photos onto rendered tables (Ghiasi et al., Simple Copy-Paste, CVPR 2021), with their names.

    python -m training.world.paste --data DATA/few --photos DATA/photos_train --out DATA/pasted --seed 7

A rendered cup looks rendered. A cup cut out of a photo brings a real surface, real light and a real camera to a table
whose every pixel is known, and one photo makes many images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from pycocotools import mask as rle_codec  # type: ignore[import-untyped]
from rich.console import Console
from rich.progress import track

from training.data.broken_records import DatasetError
from training.data.json_file import read_json
from training.data.pixels import read_image
from training.world.captions import write_captions
from training.world.coco_writer import write_views
from training.world.stored_views import StoredView, StoredWorld, view_of
from training.world.view import Segment, View

SUPERCATEGORIES = ("kitchen", "food", "indoor", "electronic")  # of COCO: what lies on tables
TOO_LARGE = ("tv",)
LEAST_PIXELS = 1500  # of a thing in its photo; what has fewer shows little of its surface
BORDER = 2  # pixels of a photo; a thing that comes nearer may be cut off
LENGTH = (0.1, 0.4)  # of a pasted thing's longer side, as a share of the image's height; even in the logarithm
ENLARGED = 1.2  # at most, or the picture is soft
MOST = 4  # things that are pasted into one image
LIGHT = (0.65, 1.1)  # factor of its brightness
SOFT_EDGE = 0.7  # standard deviation of the outline's blur, pixels
SEEN_SHARE = 0.4  # of a thing that must be left of it to be named


@dataclass(frozen=True)
class CutOut:
    """One thing of a photo."""

    name: str
    rgb: np.ndarray  # (h, w, 3) uint8
    mask: np.ndarray  # (h, w) uint8, 0 or 255


def cut_outs(photos: Path) -> list[CutOut]:
    """The whole things of the right kinds in `photos`, which has COCO's instances.json and a folder images.

    Raises:
        DatasetError: a file is missing or not in the layout, or nothing can be used.
    """
    table = read_json(photos / "instances.json")
    try:
        names = {
            category["id"]: category["name"]
            for category in table["categories"]
            if category["supercategory"] in SUPERCATEGORIES and category["name"] not in TOO_LARGE
        }
        images = {image["id"]: image for image in table["images"]}
        found = []
        for annotation in track(table["annotations"], "cutting out", console=Console(stderr=True)):
            image = images[annotation["image_id"]]
            size = image["height"], image["width"]
            if annotation["category_id"] not in names or not _is_whole(annotation, size):
                continue
            parts = rle_codec.frPyObjects(annotation["segmentation"], *size)
            mask = rle_codec.decode(rle_codec.merge(parts)) * np.uint8(255)
            x, y, width, height = cv2.boundingRect(mask)
            inside = np.s_[y : y + height, x : x + width]
            rgb = read_image(photos / "images" / image["file_name"])[inside]
            found.append(CutOut(names[annotation["category_id"]], rgb, mask[inside]))
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{photos / 'instances.json'} is not in COCO's layout: {error!r}") from error
    if not found:
        raise DatasetError(f"{photos} has no whole thing of {', '.join(SUPERCATEGORIES)}")
    return found


def _is_whole(annotation: dict, size: tuple[int, int]) -> bool:
    x, y, width, height = annotation["bbox"]
    return bool(
        not annotation["iscrowd"]
        and annotation["area"] >= LEAST_PIXELS
        and min(x, y, size[1] - x - width, size[0] - y - height) >= BORDER
    )


def paste(source: StoredView, ground: str, cuts: Sequence[CutOut], random: np.random.Generator) -> View:
    """`source` with one to `MOST` things of `cuts`, which stand on its ground; those nearer hide those farther."""
    rgb, ids = source.rgb.astype(np.float32), source.ids.copy()
    surface = next((segment.id for segment in source.segments if segment.name == ground), None)
    places = np.argwhere(ids == surface)
    chosen = [cuts[int(i)] for i in random.integers(0, len(cuts), random.integers(1, MOST + 1))]
    feet = sorted(places[int(i)].tolist() for i in random.integers(0, len(places), len(chosen))) if len(places) else []
    segments = list(source.segments)
    for cut, (bottom, middle) in zip(chosen, feet, strict=False):
        thing = _fitted(cut, ids.shape[0], random)
        height, width = thing.mask.shape
        top, left = bottom - height + 1, middle - width // 2
        if top < 0 or left < 0 or left + width > ids.shape[1]:
            continue
        here = np.s_[top : top + height, left : left + width]
        opacity = cv2.GaussianBlur(thing.mask, (0, 0), SOFT_EDGE)[..., None] / np.float32(255)
        light = random.uniform(*LIGHT)
        rgb[here] += opacity * (thing.rgb * np.float32(light) - rgb[here])
        number = max((segment.id for segment in segments), default=0) + 1
        ids[here][thing.mask > 127] = number
        segments.append(Segment(number, thing.name, True, thing.name, 0, (thing.name,)))
    left_over = np.bincount(ids.ravel(), minlength=1 + max(segment.id for segment in segments))
    named = tuple(
        replace(segment, area=int(left_over[segment.id]))
        for segment in segments
        if left_over[segment.id] > SEEN_SHARE * segment.area
    )
    return view_of(np.clip(np.rint(rgb), 0, 255).astype(np.uint8), ids, named, ground)


def _fitted(cut: CutOut, image_height: int, random: np.random.Generator) -> CutOut:
    """The thing in a size that is drawn, and mirrored half of the time."""
    longer = max(cut.mask.shape)
    low, high = np.log(LENGTH)
    scale = min(float(np.exp(random.uniform(low, high))) * image_height / longer, ENLARGED)
    size = tuple(max(1, round(side * scale)) for side in cut.mask.shape[::-1])
    rgb, mask = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (cut.rgb, cut.mask))
    if random.random() < 0.5:
        rgb, mask = rgb[:, ::-1], np.ascontiguousarray(mask[:, ::-1])
    return CutOut(cut.name, rgb, mask)


def _pasted(world: StoredWorld, cuts: Sequence[CutOut], seed: int) -> Iterator[tuple[View, list[str]]]:
    """Views with one caption each, which names everything in them; an image depends on nothing but its id and seed."""
    for source, random in world.views("pasting into", seed):
        view = paste(source, world.ground, cuts, random)
        yield view, write_captions(view, random, count=1)


def main(
    data: Annotated[Path, typer.Option(help="A data set of training.world.render.")],
    photos: Annotated[Path, typer.Option(help="A folder of training.split_photos.")],
    out: Annotated[Path, typer.Option(help="Folder to write, in the layout of `data`.")],
    seed: Annotated[int, typer.Option(help="Of things, places and sizes.")] = 0,
) -> None:
    """Make a data set of rendered tables with things of photos on them."""
    try:
        world, cuts = StoredWorld.read(data), cut_outs(photos)
        things = {*world.thing_names, *(cut.name for cut in cuts)}
        arguments = {"data": data.name, "photos": photos.name, "ground": world.ground}
        count = write_views(out, _pasted(world, cuts, seed), things, {"seed": seed, "arguments": arguments})
    except (DatasetError, OSError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    Console().print(f"{out}: {count} views with {len(cuts)} things of photos")


if __name__ == "__main__":
    typer.run(main)
