"""Reader of the COCO panoptic + captions layout: official COCO, the tabletop world, any folder like them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np


class DatasetError(RuntimeError):
    """A data set is missing or broken; the message names the file and the record."""


@dataclass(frozen=True)
class CocoSource:
    """Where one data set lies. The defaults are the tabletop world's names below `folder`."""

    folder: str
    images: str = "images"
    panoptic_json: str = "panoptic.json"
    panoptic_images: str = "panoptic"
    captions_json: str = "captions.json"
    # Leave out images with more things than this; None takes all. A caption of three things says far more about each of
    # them than one of nine, so a network without a pretrained backbone learns its first words from simple images
    # (measured: training/EXPERIMENTS.md).
    max_things: int | None = None


@dataclass(frozen=True)
class Segment:
    """One annotated region of an image."""

    id: int  # value in the id map
    category: int
    phrase: str  # "red mug" where the data set knows it, else the category's name


@dataclass(frozen=True)
class Record:
    """One image with what is known of it; pixels are read on demand."""

    image_file: Path
    panoptic_file: Path
    segments: tuple[Segment, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CocoPanoptic:
    """An annotated data set in memory, pixels on disk."""

    records: tuple[Record, ...]
    categories: dict[int, str]


def read_coco(source: CocoSource) -> CocoPanoptic:
    """Read the annotations of `source`; crowd segments are left out, as in training (research C1).

    Raises:
        DatasetError: a file is missing or not in the layout.
    """
    folder = Path(source.folder).expanduser()
    panoptic = _read_json(folder / source.panoptic_json)
    captions: dict[int, list[str]] = defaultdict(list)
    try:
        for annotation in _read_json(folder / source.captions_json)["annotations"]:
            captions[annotation["image_id"]].append(annotation["caption"])
        categories = {category["id"]: category["name"] for category in panoptic["categories"]}
        things = {category["id"] for category in panoptic["categories"] if category.get("isthing", 1)}
        file_names = {image["id"]: image["file_name"] for image in panoptic["images"]}
        records = []
        for annotation in panoptic["annotations"]:
            segments = tuple(
                Segment(
                    segment["id"],
                    segment["category_id"],
                    segment.get("phrase", categories[segment["category_id"]]),
                )
                for segment in annotation["segments_info"]
                if not segment.get("iscrowd", 0)
            )
            count = sum(segment.category in things for segment in segments)
            if source.max_things is not None and count > source.max_things:
                continue
            image_id = annotation["image_id"]
            records.append(
                Record(
                    folder / source.images / file_names[image_id],
                    folder / source.panoptic_images / annotation["file_name"],
                    segments,
                    tuple(captions[image_id]),
                )
            )
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{folder}: not the COCO panoptic + captions layout, missing {error}") from error
    if not records:
        raise DatasetError(f"{folder / source.panoptic_json} has no annotations (max_things: {source.max_things})")
    return CocoPanoptic(tuple(records), categories)


def read_pixels(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """The image (H, W, 3) uint8 RGB and its id map (H, W) int32, id = R + 256 G + 65536 B.

    Raises:
        DatasetError: a file is missing or damaged, or the sizes differ.
    """
    image = cv2.imread(str(record.image_file), cv2.IMREAD_COLOR_RGB)
    panoptic = cv2.imread(str(record.panoptic_file), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DatasetError(f"{record.image_file} is missing or not an image")
    if panoptic is None:
        raise DatasetError(f"{record.panoptic_file} is missing or not an image")
    if image.shape != panoptic.shape:
        raise DatasetError(f"{record.image_file} is {image.shape[:2]}, its panoptic image {panoptic.shape[:2]}")
    return image, panoptic.astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    return content
