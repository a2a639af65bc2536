"""ADE20K: the 150 classes of the scene parsing challenge and the 847 classes of the full release."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.data.broken_records import DatasetError
from training.data.json_file import read_json
from training.data.pixels import check_size, read_image
from training.evaluation.class_list import Variant, load_class_list
from training.evaluation.data_set import AnnotatedImage, EvaluationSet, Item, class_masks
from training.evaluation.data_sets.value_labels import value_label_reader
from training.evaluation.label_files import find_root, read_values, rows_of

CHALLENGE = "ADEChallengeData2016"
FULL = "ADE20K_2021_17_01"
VALIDATION_IMAGES = 2000
SHORTER_SIDE = 512  # images of the full release are reduced to it; the challenge's already are
OBJECTS = 65536  # (R // 10) * 256 + G is below it


def open_ade20k_150(folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open ADEChallengeData2016: images/validation and annotations/validation.

    Raises:
        DatasetError: a folder is missing or empty, or holds training images.
    """
    root = find_root(folder, (CHALLENGE,), "annotations/validation")
    classes = load_class_list("ade20k_150", names)
    table = classes.rows_of_values(len(classes) + 1)  # 0 is "not labelled", 255 exists only after a script wrapped it
    files = sorted((root / "annotations/validation").glob("*.png"))
    _check_split(files, root / "annotations/validation")
    items = tuple(Item(root / "images/validation" / f"{file.stem}.jpg", (file,)) for file in files)

    return EvaluationSet(
        name="ade20k_150",
        folder=root,
        queries=classes,
        labels=classes.titles,
        label_of_query=np.arange(len(classes)),
        items=items,
        read=value_label_reader(items, read_values, table),
        official_images=(VALIDATION_IMAGES,),
        notes=("Recall is of class masks: the annotation has no segments.",),
    )


def open_ade20k_847(folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open ADE20K_2021_17_01: images/ADE/validation with ADE_val_*.jpg, _seg.png and .json beside each other.

    The class of a pixel is (R // 10) * 256 + G of the _seg.png. What that number means depends on the release; the
    .json beside it names every object with its number, and a name with another number than ours is refused.
    index_ade20k.pkl is not read, because it is a pickle.

    Raises:
        DatasetError: a folder is missing or empty, or holds training images.
    """
    root = find_root(folder, (FULL,), "images/ADE/validation")
    classes = load_class_list("ade20k_847", names)
    table = classes.rows_of_values(OBJECTS)
    ids = dict(zip(classes.keys, classes.ids, strict=True))
    files = sorted((root / "images/ADE/validation").rglob("*_seg.png"))
    _check_split(files, root / "images/ADE/validation")
    stems = [file.with_name(file.name.removesuffix("_seg.png")) for file in files]
    items = tuple(
        Item(stem.with_name(f"{stem.name}.jpg"), (file, stem.with_name(f"{stem.name}.json")))
        for stem, file in zip(stems, files, strict=True)
    )

    def read(index: int) -> AnnotatedImage:
        item = items[index]
        file, description = item.annotations
        _check_release(description, ids)
        image, colours = read_image(item.image), read_image(file)
        check_size(image, item.image, colours.shape[:2], file)
        # As int32: in the file's uint8 the product with 256 would be 0.
        values = colours[..., 0].astype(np.int32) // 10 * 256 + colours[..., 1]
        label = rows_of(values, table, file)
        size = reduced_size((label.shape[0], label.shape[1]))
        if size != label.shape:
            image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
            label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)
        return AnnotatedImage(image, label, *class_masks(label))

    return EvaluationSet(
        name="ade20k_847",
        folder=root,
        queries=classes,
        labels=classes.titles,
        label_of_query=np.arange(len(classes)),
        items=items,
        read=read,
        official_images=(VALIDATION_IMAGES,),
        notes=(
            f"Images with a shorter side above {SHORTER_SIDE} pixels are reduced to it, as the field does.",
            "Recall is of class masks.",
        ),
    )


def reduced_size(size: tuple[int, int]) -> tuple[int, int]:
    """(H, W) with the shorter side at most SHORTER_SIDE, the ratio kept."""
    shorter = min(size)
    if shorter <= SHORTER_SIDE:
        return size
    height, width = (round(side * SHORTER_SIDE / shorter) for side in size)
    return height, width


def _check_split(files: list[Path], folder: Path) -> None:
    """The split is in the name of every file: a folder alone may have been renamed or mixed."""
    if not files:
        raise DatasetError(f"{folder} has no annotations")
    others = [file.name for file in files if not file.name.startswith("ADE_val_")]
    if others:
        raise DatasetError(
            f"{folder} holds {len(others)} files that are not of the validation split, such as {others[0]}"
        )


def _check_release(path: Path, ids: dict[str, int]) -> None:
    content = read_json(path)
    try:
        named = {entry["name"]: int(entry["name_ndx"]) for entry in content["annotation"]["object"]}
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not an annotation of {FULL}: missing {error}") from error
    for name, number in named.items():
        if ids.get(name, number) != number:
            raise DatasetError(
                f"{path} gives '{name}' the number {number}, release {FULL} gives it {ids[name]}: another release "
                "cannot be read with this class list"
            )
