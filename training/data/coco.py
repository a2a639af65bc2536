"""Reader of the COCO panoptic + captions layout: official COCO, the tabletop world, any folder like them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data.broken_records import BrokenRecords, DatasetError
from training.data.json_file import read_json
from training.data.records import FolderListing, Record, Segment
from training.data.stored_masks import read_masks

if TYPE_CHECKING:
    from training.data.sources import DataSource


def read_coco(source: DataSource, problems: BrokenRecords) -> tuple[list[Record], dict[int, str]]:
    """The images of `source` and the names of its categories.

    An image comes with whatever is known of it: an id map, captions, both, or nameless masks of `masks_json`. Crowd
    segments are left out, as in training, but an image of a crowd shows its class (`without`). An image
    with one broken part is left out as a whole.

    Raises:
        DatasetError: a file is missing or not in the layout, or too many records are broken.
    """
    folder = Path(source.folder).expanduser()
    on_disk = FolderListing()
    drawn = _Panoptic({}, {}, {}, set())
    if source.panoptic_json:
        drawn = _read_panoptic(folder, source, on_disk, problems)
    captions: dict[str, list[str]] = {}
    if source.captions_json:
        captions = _read_captions(folder / source.captions_json, drawn.file_names, problems)
    masks = read_masks(folder / source.masks_json, problems) if source.masks_json else {}
    records = []
    for name in dict.fromkeys([*drawn.segments, *captions, *masks]):
        if name in drawn.left_out:
            continue
        with problems.record(f"{folder}: image {name}"):
            panoptic_file, segments = drawn.segments.get(name, (None, ()))
            records.append(
                Record(
                    image_file=on_disk.require(folder / source.images / name),
                    panoptic_file=panoptic_file,
                    segments=segments,
                    captions=tuple(captions.get(name, ())[: source.max_captions]),
                    masks=None if panoptic_file else masks.get(name),
                )
            )
    return records, drawn.categories


class _Panoptic:
    """Content of a panoptic file."""

    def __init__(
        self,
        categories: dict[int, str],
        file_names: dict[Any, str],
        segments: dict[str, tuple[Path, tuple[Segment, ...]]],
        left_out: set[str],
    ) -> None:
        self.categories = categories
        self.file_names = file_names  # by image id
        self.segments = segments  # id map and its segments, by the image's file name
        self.left_out = left_out  # file names: broken, too many things, or a class of `without`


def _read_panoptic(folder: Path, source: DataSource, on_disk: FolderListing, problems: BrokenRecords) -> _Panoptic:
    path = folder / source.panoptic_json
    content = read_json(path)
    try:
        categories = {category["id"]: category["name"] for category in content["categories"]}
        things = {category["id"] for category in content["categories"] if category.get("isthing", 1)}
        annotations = content["annotations"]
        file_names = _file_names(path, content["images"], problems)
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path} is not in the COCO panoptic layout: missing {error}") from error
    panoptic = _Panoptic(categories, file_names, {}, set())
    for index, annotation in enumerate(annotations):
        with problems.record(f"{path}: annotations[{index}]"):
            name = _file_name(file_names, annotation["image_id"])
            panoptic.left_out.add(name)  # until it is known to be good
            segments = tuple(
                Segment(
                    segment["id"],
                    segment["category_id"],
                    segment.get("phrase", categories[segment["category_id"]]),
                )
                for segment in annotation["segments_info"]
                if not segment.get("iscrowd", 0)
            )
            file = on_disk.require(folder / source.panoptic_images / annotation["file_name"])
            count = sum(segment.category in things for segment in segments)
            classes = {categories[segment["category_id"]] for segment in annotation["segments_info"]}
            if (source.max_things is None or count <= source.max_things) and classes.isdisjoint(source.without):
                panoptic.segments[name] = (file, segments)
                panoptic.left_out.remove(name)
    return panoptic


def _read_captions(path: Path, file_names: dict[Any, str], problems: BrokenRecords) -> dict[str, list[str]]:
    """Captions by file name; `file_names` are those of the panoptic file, which the captions' own list may lack."""
    content = read_json(path)
    try:
        annotations = content["annotations"]
    except KeyError as error:
        raise DatasetError(f"{path} is not in the COCO captions layout: missing {error}") from error
    known = {**file_names, **_file_names(path, content.get("images", ()), problems)}
    captions: dict[str, list[str]] = {}
    for index, annotation in enumerate(annotations):
        with problems.record(f"{path}: annotations[{index}]"):
            caption = annotation["caption"]
            if not isinstance(caption, str):
                raise ValueError(f"the caption is {caption!r}, not a text")
            captions.setdefault(_file_name(known, annotation["image_id"]), []).append(caption)
    return captions


def _file_names(path: Path, images: Any, problems: BrokenRecords) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for index, image in enumerate(images):
        with problems.record(f"{path}: images[{index}]"):
            names[image["id"]] = image["file_name"]
    return names


def _file_name(names: dict[Any, str], image_id: Any) -> str:
    if image_id not in names:
        raise ValueError(f"image {image_id} is not in images")
    return names[image_id]
