"""Divide a folder of COCO photos into one for training and one for validation, in the tabletop world's layout.

    python -m training.split_photos --coco coco_train --validation 30 --seed 1 --out DATA

writes DATA/photos_train and DATA/photos_val, each with panoptic.json, captions.json, instances.json and links to its
own photos and id maps, so that nothing is copied, and what reads a folder of pictures (training.pseudo_label, --photos
of training.world.render) sees no photo of the other part. Only photos with an id map can validate; everything known of
the others trains.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from openseg_ros.runtime.weights import write_atomically
from training.data.broken_records import DatasetError
from training.data.json_file import read_json

TABLES = ("panoptic", "captions", "instances")


def split(tables: dict[str, dict[str, Any]], validation: int, seed: int) -> tuple[set[int], set[int]]:
    """Image ids for training and for validation; the draw depends on nothing but the ids and the seed.

    Args:
        tables: content of COCO's panoptic, captions and instances files.
        validation: how many images validate.
        seed: of the draw.

    Raises:
        DatasetError: fewer images have an id map.
    """
    everything = {image["id"] for table in tables.values() for image in table["images"]}
    mapped = sorted({annotation["image_id"] for annotation in tables["panoptic"]["annotations"]})
    if validation > len(mapped):
        raise DatasetError(f"{validation} photos are to validate, but only {len(mapped)} have an id map")
    chosen = set(np.random.default_rng(seed).permutation(mapped)[:validation].tolist())
    return everything - chosen, chosen


def _write(out: Path, coco: Path, tables: dict[str, dict[str, Any]], kept: set[int]) -> None:
    out.mkdir(parents=True)
    files: set[str] = set()
    for name, table in tables.items():
        part = {
            **table,
            "images": [image for image in table["images"] if image["id"] in kept],
            "annotations": [entry for entry in table["annotations"] if entry["image_id"] in kept],
        }
        write_atomically(out / f"{name}.json", json.dumps(part).encode())
        files.update(f"images/{image['file_name']}" for image in part["images"])
        if name == "panoptic":
            files.update(f"panoptic/{entry['file_name']}" for entry in part["annotations"])
    for file in files:
        original = (coco / file).resolve()
        if original.exists():  # a reader says better what is missing than a link to nowhere
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (out / file).symlink_to(original)


def main(
    coco: Annotated[Path, typer.Option(help="images/, panoptic/ and the three *_train2017.json of COCO.")],
    out: Annotated[Path, typer.Option(help="Folder in which photos_train and photos_val are made.")],
    validation: Annotated[int, typer.Option(min=1, help="How many photos validate.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 1,
) -> None:
    """Make two data sets of one folder of photos."""
    try:
        tables = {name: read_json(coco / f"{name}_train2017.json") for name in TABLES}
        parts = dict(zip(("photos_train", "photos_val"), split(tables, validation, seed), strict=True))
        for name, kept in parts.items():
            _write(out / name, coco, tables, kept)
            Console().print(f"{out / name}: {len(kept)} photos")
    except (DatasetError, OSError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    except (KeyError, TypeError) as error:
        typer.secho(f"error: a file of {coco} is not in the COCO layout: missing {error}", err=True, fg="red")
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
