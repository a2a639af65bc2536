"""Pascal Context with its 59 frequent classes or all 459."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from training.data.broken_records import DatasetError
from training.evaluation.class_list import Variant, load_class_list
from training.evaluation.data_set import EvaluationSet, Item
from training.evaluation.data_sets.pascal_voc import read_split
from training.evaluation.data_sets.value_labels import value_label_reader
from training.evaluation.label_files import find_root

LABELS = "trainval"  # the folder that trainval.tar.gz of Pascal Context unpacks to
# The field's list of 5104 images, where a user has it; else VOC 2010's own split, 5105 images. One image more changes
# the third digit at most.
SPLITS = ("ImageSets/SegmentationContext/val.txt", "ImageSets/Main/val.txt")
VALUES = 460  # LabelMap: 0 = not labelled, 1 .. 459


def open_pascal_context_59(folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open VOCdevkit/VOC2010 with trainval/*.mat in it; pixels of the other 400 classes do not count.

    Raises:
        DatasetError: a file is missing.
    """
    return _open(folder, "pascal_context_59", names)


def open_pascal_context_459(folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open VOCdevkit/VOC2010 with trainval/*.mat in it.

    Raises:
        DatasetError: a file is missing.
    """
    return _open(folder, "pascal_context_459", names)


def _open(folder: Path, name: str, names: Variant) -> EvaluationSet:
    root = find_root(folder, ("VOC2010", "VOCdevkit/VOC2010"), "JPEGImages")
    if not (root / LABELS).is_dir():
        raise DatasetError(
            f"{root / LABELS} does not exist: unpack Pascal Context's trainval.tar.gz (10103 .mat files) there"
        )
    split = next((root / path for path in SPLITS if (root / path).is_file()), None)
    if split is None:
        raise DatasetError(f"{root} has neither {' nor '.join(SPLITS)}; the second comes with VOC 2010")
    classes = load_class_list(name, names)
    # By the ids of the 459 classes: both lists are alphabetical, but the row of a class differs between them.
    table = classes.rows_of_values(VALUES)
    items = tuple(
        Item(root / "JPEGImages" / f"{stem}.jpg", (root / LABELS / f"{stem}.mat",)) for stem in read_split(split)
    )

    return EvaluationSet(
        name=name,
        folder=root,
        queries=classes,
        labels=classes.titles,
        label_of_query=np.arange(len(classes)),
        items=items,
        read=value_label_reader(items, read_label_map, table),
        tables=(split,),
        official_images=(5104, 5105),
        notes=("Recall is of class masks, not of their connected parts.",),
    )


def read_label_map(path: Path) -> np.ndarray:
    """The `LabelMap` (H, W) of a .mat file as int32: the file's uint16 has no place for "no label" below 0.

    Raises:
        DatasetError: the file is missing or has no such map.
    """
    try:
        label_map = loadmat(path, variable_names=["LabelMap"])["LabelMap"]
    except (OSError, ValueError, NotImplementedError, MatReadError, zlib.error) as error:
        raise DatasetError(f"{path} is missing or not a MATLAB file: {error}") from error
    except KeyError as error:
        raise DatasetError(f"{path} has no LabelMap: it is not a label file of Pascal Context") from error
    values: np.ndarray = np.asarray(label_map).astype(np.int32)
    return values
