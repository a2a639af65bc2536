"""COCO panoptic val2017 read as semantic segmentation of 133 classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.data.broken_records import DatasetError
from training.data.json_file import read_json
from training.data.pixels import check_size, read_ids, read_image
from training.evaluation.class_list import ClassList, Variant, load_class_list
from training.evaluation.data_set import AnnotatedImage, EvaluationSet, Item, label_of_segments
from training.evaluation.label_files import find_root

JSON = "annotations/panoptic_val2017.json"
PNG_FOLDERS = (
    "annotations/panoptic_val2017",
    "panoptic_val2017",
)  # beside the archive, or moved up as detectron2 wants


def open_coco_panoptic(folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open the folder that holds annotations/ and val2017/.

    Crowd segments count as pixels of their class, but no proposal has to find them. Unlabelled pixels (id 0) do not
    count.

    Raises:
        DatasetError: a file is missing, or the categories are not COCO's 133.
    """
    root = find_root(folder, ("coco",), JSON)
    content = read_json(root / JSON)
    classes = load_class_list("coco_panoptic", names)
    _check_categories(root / JSON, content, classes)
    png_folder = next((root / name for name in PNG_FOLDERS if (root / name).is_dir()), None)
    if png_folder is None:
        raise DatasetError(
            f"{root} has neither {' nor '.join(PNG_FOLDERS)}: unpack annotations/panoptic_val2017.zip, which comes "
            "inside panoptic_annotations_trainval2017.zip"
        )
    row_of_category = {category: row for row, category in enumerate(classes.ids)}
    try:
        file_names = {image["id"]: image["file_name"] for image in content["images"]}
        annotations = content["annotations"]
        items = tuple(
            Item(root / "val2017" / file_names[entry["image_id"]], (png_folder / entry["file_name"],))
            for entry in annotations
        )
        segments = [_segments(entry, row_of_category) for entry in annotations]
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{root / JSON} is not in the COCO panoptic layout: missing {error}") from error

    def read(index: int) -> AnnotatedImage:
        item = items[index]
        image, ids = read_image(item.image), read_ids(item.annotations[0])
        check_size(image, item.image, ids.shape, item.annotations[0])
        segment_ids, rows, crowd = segments[index]
        found = np.unique(ids)
        strangers = found[~np.isin(found, [0, *segment_ids])]
        if len(strangers):
            raise DatasetError(f"{item.annotations[0]} has ids {strangers[:5].tolist()} that {JSON} does not list")
        masks = ids[None] == segment_ids[:, None, None]
        label = label_of_segments(ids, segment_ids, rows)
        return AnnotatedImage(image, label, masks, crowd)

    return EvaluationSet(
        name="coco_panoptic",
        folder=root,
        queries=classes,
        labels=classes.titles,
        label_of_query=np.arange(len(classes)),
        items=items,
        read=read,
        tables=(root / JSON,),
        official_images=(5000,),
        notes=("Crowd segments count in mIoU and not in recall; id 0 does not count.",),
    )


def _segments(entry: dict[str, Any], row_of_category: dict[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, rows of the class list, crowd) of one image's segments."""
    infos = entry["segments_info"]
    return (
        np.array([info["id"] for info in infos], np.int32),
        np.array([row_of_category[info["category_id"]] for info in infos], np.int32),
        np.array([bool(info.get("iscrowd", 0)) for info in infos], bool),
    )


def _check_categories(path: Path, content: dict[str, Any], classes: ClassList) -> None:
    try:
        found = {category["id"]: category["name"] for category in content["categories"]}
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{path} is not in the COCO panoptic layout: missing {error}") from error
    expected = dict(zip(classes.ids, classes.keys, strict=True))
    if found != expected:
        differing = sorted(set(found.items()) ^ set(expected.items()))[:4]
        raise DatasetError(
            f"{path} has other categories than COCO panoptic's 133, for example {differing}: ids of one list must not "
            "be read with the names of another"
        )
