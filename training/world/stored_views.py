"""Views of a rendered data set, read back from its files to make other images of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from training.data.json_file import read_json
from training.data.pixels import read_ids, read_image
from training.world.room import STUFF_NAMES, TABLE
from training.world.view import Segment, View


@dataclass(frozen=True)
class StoredWorld:
    """What the files of a rendered data set say."""

    folder: Path
    annotations: list[dict[str, Any]]
    names: dict[int, str]  # of the categories, by id
    ground: str  # what the things lie on

    @classmethod
    def read(cls, folder: Path) -> StoredWorld:
        """The data set in `folder`.

        Raises:
            DatasetError: a file is missing or damaged.
        """
        table, world = read_json(folder / "panoptic.json"), read_json(folder / "world.json")
        names = {category["id"]: category["name"] for category in table["categories"]}
        return cls(folder, table["annotations"], names, world["arguments"].get("ground", TABLE))

    @property
    def thing_names(self) -> list[str]:
        """Of all its categories but the surfaces."""
        return [name for name in self.names.values() if name not in STUFF_NAMES]

    def views(self, doing: str, seed: int) -> Iterator[tuple[StoredView, np.random.Generator]]:
        """Every image, with a generator that depends on nothing but `seed` and its id.

        Args:
            doing: what is done with them, for the progress bar.
            seed: of the generators.

        Raises:
            DatasetError: a picture is missing or damaged.
        """
        for annotation in track(self.annotations, f"{doing} {self.folder.name}", console=Console(stderr=True)):
            yield StoredView.read(self, annotation), np.random.default_rng([seed, annotation["image_id"]])


@dataclass(frozen=True)
class StoredView:
    """One image and its annotation."""

    rgb: np.ndarray  # (H, W, 3) uint8
    ids: np.ndarray  # (H, W) int32
    segments: tuple[Segment, ...]
    boxes: np.ndarray  # (S, 4) x y width height

    @classmethod
    def read(cls, world: StoredWorld, annotation: dict[str, Any]) -> StoredView:
        """The image of one of `world.annotations`.

        Raises:
            DatasetError: a picture is missing or damaged.
        """
        infos = annotation["segments_info"]
        stem = Path(annotation["file_name"]).stem
        return cls(
            read_image(world.folder / "images" / f"{stem}.jpg"),
            read_ids(world.folder / "panoptic" / annotation["file_name"]),
            tuple(_segment(info, world.names) for info in infos),
            np.array([info["bbox"] for info in infos], np.int64).reshape(-1, 4),
        )


def view_of(rgb: np.ndarray, ids: np.ndarray, segments: tuple[Segment, ...], ground: str) -> View:
    """A view that only its picture and its names are known of, for captions and the annotation files.

    Args:
        rgb: (H, W, 3) uint8.
        ids: (H, W) int32; those that no segment has become 0.
        segments: what is named.
        ground: what the things lie on.
    """
    ids = np.where(np.isin(ids, [segment.id for segment in segments]), ids, 0)
    table = next((segment.phrase for segment in segments if segment.name == TABLE), TABLE)
    nowhere = np.zeros(ids.shape, np.float32)
    return View(rgb, ids, nowhere, np.eye(3), np.eye(4), segments, ground, table.removesuffix(TABLE).strip() or None)


def _segment(info: dict[str, Any], names: dict[int, str]) -> Segment:
    name = names[info["category_id"]]
    words = info["attributes"]
    return Segment(
        id=info["id"],
        name=name,
        is_thing=name not in STUFF_NAMES,
        phrase=info["phrase"],
        area=info["area"],
        nouns=tuple(info["nouns"]),
        colour=words.get("colour"),
        pattern=words.get("pattern"),  # no size: "big" was said of two in the whole image
    )
