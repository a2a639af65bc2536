"""Reader of Localized Narratives (JSON Lines): long spoken captions of COCO, Flickr30k and Open Images.

Expected below a source's folder; the files of captions alone suffice, and are a hundredth of those with mouse traces:

    narratives/coco_train_captions.jsonl, flickr30k_train_captions.jsonl, open_images_train_v6_captions.jsonl
    images/coco/train2017/000000000009.jpg
    images/flickr30k/1000092795.jpg
    images/open_images/train/000002b66c9c498e.jpg

An image folder may be a link to where the data set lies. ADE20k's narratives are left out, so that its images stay
unseen (paper 4.1); validation files are left out by the default pattern of file names.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from training.data.broken_records import BrokenRecords, DatasetError
from training.data.records import FolderListing, Record
from training.data.stored_masks import read_masks

if TYPE_CHECKING:
    from training.data.sources import DataSource

_log = logging.getLogger(__name__)


def read_localized_narratives(source: DataSource, problems: BrokenRecords) -> list[Record]:
    """One record for each image; several narratives of an image are its captions.

    Raises:
        DatasetError: a file is missing or unreadable, or too many lines are broken.
    """
    folder = Path(source.folder).expanduser()
    images = folder / source.images
    on_disk = FolderListing()
    captions: dict[str, list[str]] = {}
    left_out = 0
    for path in _narrative_files(folder, source.narratives):
        try:
            with path.open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    with problems.record(f"{path}:{number}"):
                        narrative = json.loads(line.decode().strip())
                        name = image_file_name(narrative["dataset_id"], narrative["image_id"])
                        caption = narrative["caption"]
                        if name is None:
                            left_out += 1
                            continue
                        if not isinstance(caption, str):
                            raise ValueError(f"the caption is {caption!r}, not a text")
                        on_disk.require(images / name)
                        captions.setdefault(name, []).append(caption)
        except OSError as error:
            raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    if left_out:
        _log.info("%d narratives of ADE20k left out", left_out)
    masks = read_masks(folder / source.masks_json, problems) if source.masks_json else {}
    # The same narrative stands in the file with traces and in that without.
    return [
        Record(images / name, captions=tuple(dict.fromkeys(texts))[: source.max_captions], masks=masks.get(name))
        for name, texts in captions.items()
    ]


def image_file_name(dataset_id: str, image_id: str) -> str | None:
    """Path below the image folder, or None for ADE20k.

    Args:
        dataset_id: such as "mscoco_train2017"; spelling differs between the files ("Flick30k_train").
        image_id: as the data set names it; COCO's lacks the leading zeros of the file name.

    Raises:
        ValueError: an unknown data set.
    """
    name = re.sub("[^a-z0-9]", "", dataset_id.lower())
    if match := re.fullmatch(r"(?:ms)?coco((?:train|val|test)\d*)", name):
        return f"coco/{match[1]}/{int(image_id):012d}.jpg"
    if name.startswith("flick"):
        return f"flickr30k/{image_id}.jpg"
    if match := re.fullmatch(r"openimages(?:v\d)?(train|validation|val|test)(?:v\d)?", name):
        return f"open_images/{'validation' if match[1] == 'val' else match[1]}/{image_id}.jpg"
    if name.startswith("ade"):
        return None
    raise ValueError(f"unknown dataset_id '{dataset_id}'; known are COCO, Flickr30k, Open Images and ADE20k")


def _narrative_files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Files of all patterns, sorted, each once.

    Raises:
        DatasetError: a pattern matches nothing.
    """
    files: set[Path] = set()
    for pattern in patterns:
        matching = list(folder.glob(pattern))
        if not matching:
            raise DatasetError(f"no file {pattern} in {folder}")
        files.update(matching)
    return sorted(files)
