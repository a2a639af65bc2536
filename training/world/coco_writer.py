"""The official COCO panoptic and captions layout on disk.

    images/000000000001.jpg   panoptic/000000000001.png   panoptic.json   captions.json   world.json

A panoptic PNG holds segment ids as colour, id = R + 256 G + 65536 B; 0 is unlabelled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from training.world.room import STUFF_NAMES
from training.world.view import View

JPEG_QUALITY = 92


@dataclass(frozen=True)
class Record:
    """What the annotation files say about one image. `segments` still carry names; ids come when all are
    known.
    """

    image_id: int
    height: int
    width: int
    intrinsics: list[list[float]]
    pose: list[list[float]]
    segments: list[dict[str, Any]]
    captions: list[str]


def file_stem(image_id: int) -> str:
    """File name without its ending, as COCO names its files."""
    return f"{image_id:012d}"


def make_folders(out: Path) -> None:
    """Makes the two picture folders, and `out` itself, where they are missing."""
    for name in ("images", "panoptic"):
        (out / name).mkdir(parents=True, exist_ok=True)


def write_view(out: Path, image_id: int, view: View, captions: Sequence[str]) -> Record:
    """Writes the two pictures of a view and returns its record. Raises OSError where the disk refuses."""
    stem = file_stem(image_id)
    ids = view.instances
    coded = np.stack([ids & 255, (ids >> 8) & 255, (ids >> 16) & 255], axis=-1).astype(np.uint8)
    jpeg_options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _save(out / "images" / f"{stem}.jpg", view.rgb, jpeg_options)
    _save(out / "panoptic" / f"{stem}.png", coded, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    segments = []
    for segment in view.segments:
        rows = np.flatnonzero((ids == segment.id).any(axis=1))
        columns = np.flatnonzero((ids == segment.id).any(axis=0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        segments.append(
            {
                "id": segment.id,
                "name": segment.name,
                "area": segment.area,
                "bbox": [int(v) for v in box],
                "iscrowd": 0,
                "phrase": segment.phrase,
                "nouns": list(segment.nouns),
                "attributes": segment.attributes(),
            }
        )
    return Record(
        image_id=image_id,
        height=ids.shape[0],
        width=ids.shape[1],
        intrinsics=np.round(view.intrinsics, 4).tolist(),
        pose=np.round(view.pose, 6).tolist(),
        segments=segments,
        captions=list(captions),
    )


def _save(path: Path, rgb: np.ndarray, options: list[int]) -> None:
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(rgb[..., ::-1]), options)
    if not done:
        raise OSError(f"{path} could not be encoded")
    path.write_bytes(data.tobytes())


def write_annotations(
    out: Path, records: Iterable[Record], thing_names: Iterable[str], world: Mapping[str, Any]
) -> None:
    """Writes panoptic.json, captions.json and world.json.

    Categories are all `thing_names` in alphabetical order and then the stuff, whether they occur or not, so
    that two sets made from the same sources share their category ids.
    """
    things = sorted(set(thing_names))
    names = [*things, *STUFF_NAMES]
    categories = [
        {
            "id": i + 1,
            "name": name,
            "supercategory": "object" if i < len(things) else "room",
            "isthing": int(i < len(things)),
        }
        for i, name in enumerate(names)
    ]
    category_ids = {name: i + 1 for i, name in enumerate(names)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for record in sorted(records, key=lambda r: r.image_id):
        stem = file_stem(record.image_id)
        images.append(
            {
                "id": record.image_id,
                "file_name": f"{stem}.jpg",
                "height": record.height,
                "width": record.width,
                "intrinsics": record.intrinsics,
                "camera_to_world": record.pose,
            }
        )
        infos = [
            {
                "id": s["id"],
                "category_id": category_ids[s["name"]],
                **{k: v for k, v in s.items() if k not in ("id", "name")},
            }
            for s in record.segments
        ]
        annotations.append({"image_id": record.image_id, "file_name": f"{stem}.png", "segments_info": infos})
        for caption in record.captions:
            captions.append({"id": len(captions) + 1, "image_id": record.image_id, "caption": caption})
    info = {"description": "rendered tabletop world", "version": "1.0"}
    plain_images = [{k: v for k, v in image.items() if k in ("id", "file_name", "height", "width")} for image in images]
    _dump(
        out / "panoptic.json",
        {"info": info, "images": images, "annotations": annotations, "categories": categories},
    )
    _dump(out / "captions.json", {"info": info, "images": plain_images, "annotations": captions})
    _dump(out / "world.json", dict(world))


def write_views(
    out: Path, views: Iterable[tuple[View, Sequence[str]]], thing_names: Iterable[str], world: Mapping[str, Any]
) -> int:
    """Writes a whole data set: views with their captions, numbered from 1. Returns how many there are."""
    make_folders(out)
    records = [write_view(out, number, view, captions) for number, (view, captions) in enumerate(views, 1)]
    write_annotations(out, records, thing_names, world)
    return len(records)


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
