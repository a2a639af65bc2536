"""Where training and test images come from: one configuration for every layout, and one function that reads it.

Official COCO 2017, as its archives unpack (paper 4.1):

    folder: coco
    images: train2017
    panoptic_json: annotations/panoptic_train2017.json
    panoptic_images: annotations/panoptic_train2017
    captions_json: annotations/captions_train2017.json

Localized Narratives with masks of a teacher (paper 3.3; folders below `images`: localized_narratives.py):

    folder: localized_narratives
    kind: localized_narratives
    masks_json: masks.json        # python -m training.pseudo_label --images localized_narratives/images --out ...

The rendered tabletop world has the default names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from training.data.broken_records import BrokenRecords, DatasetError
from training.data.coco import read_coco
from training.data.localized_narratives import read_localized_narratives
from training.data.records import AnnotatedImages, Record


@dataclass(frozen=True)
class DataSource:
    """Where one data set lies. Paths are relative to `folder`; the defaults are the tabletop world's names."""

    folder: str
    kind: Literal["coco", "localized_narratives"] = "coco"
    images: str = "images"
    panoptic_json: str = "panoptic.json"  # coco; "" where nobody has drawn masks
    panoptic_images: str = "panoptic"  # coco
    captions_json: str = "captions.json"  # coco; "" where there are none
    narratives: tuple[str, ...] = ("narratives/*_train*.jsonl",)  # localized_narratives; patterns of file names
    # Nameless masks in COCO's instances format, as training.pseudo_label writes them; file names relative to `images`.
    # Used for images without a panoptic annotation. "" trains them on words alone (paper table 8, second row).
    masks_json: str = ""
    # Leave out images with more things than this; None takes all. A caption of three things says far more about each of
    # them than one of nine, so a network without a pretrained backbone learns its first words from simple images
    # (measured: training/EXPERIMENTS.md). coco only.
    max_things: int | None = None
    # Leave out images that show one of these classes, crowds too, to test on kinds that were never trained on. coco
    # only, where every image has a panoptic annotation.
    without: tuple[str, ...] = ()
    # Use only the first captions of each image; None uses all. The tabletop world's first caption names every visible
    # thing. "A photo of a fork" among nine things is true of many images of a batch, which eq. 4 then takes for wrong.
    max_captions: int | None = None
    # Broken records that are skipped, each with a line in the log, before the run ends. 0 because an evaluation must
    # not lose images; training on half a million downloaded files needs some.
    skip_limit: int = 0


def sources_below(sources: Sequence[DataSource], data: Path) -> tuple[DataSource, ...]:
    """`sources` with their relative folders below `data`.

    Raises:
        DatasetError: there are none.
    """
    if not sources:
        raise DatasetError("'sources' is empty: name at least one folder of training images")
    return tuple(replace(source, folder=str(data / source.folder)) for source in sources)


def read_source(source: DataSource) -> AnnotatedImages:
    """Read the annotations of `source`.

    Raises:
        DatasetError: a file is missing or not in the layout, more records are broken than `skip_limit`, nothing is
            left, or nobody knows which images to leave out (`without`).
    """
    problems = BrokenRecords(source.skip_limit)
    if source.kind == "coco":
        records, categories = read_coco(source, problems)
        if source.without:
            _check_without(source, records, categories)
        if not records:
            raise DatasetError(f"{source.folder} has no annotations (max_things: {source.max_things})")
    else:
        if source.without:
            raise DatasetError(f"{source.folder}: narratives have no classes to be left out (without)")
        records, categories = read_localized_narratives(source, problems), {}
        if not records:
            raise DatasetError(f"{source.folder} has no narrative that trains: {', '.join(source.narratives)}")
    return AnnotatedImages(source.folder, tuple(records), categories, tuple(problems.found), source.skip_limit)


def _check_without(source: DataSource, records: Sequence[Record], categories: Mapping[int, str]) -> None:
    unknown = sorted(set(source.without) - set(categories.values()))
    if unknown:
        raise DatasetError(f"{source.folder} has no class {', '.join(map(repr, unknown))} to be left out (without)")
    unseen = [record.image_file for record in records if record.panoptic_file is None]
    if unseen:
        raise DatasetError(
            f"{source.folder}: nobody has drawn the classes of {len(unseen)} images, such as {unseen[0].name}, so they "
            "may show those to be left out (without); take these images out of captions_json and masks_json"
        )
