"""Pascal VOC 2012: 20 classes, or 20 and background by the paper's rule (paper 4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.broken_records import DatasetError
from training.evaluation.class_list import ClassList, Variant, load_class_list
from training.evaluation.data_set import EvaluationSet, Item
from training.evaluation.data_sets.value_labels import value_label_reader
from training.evaluation.label_files import find_root, read_values

SPLIT = "ImageSets/Segmentation/val.txt"
BORDER = 255  # the line around things, and things that are hard to tell
# The one class that Pascal Context calls differently. Without it "table" would stay a name for the background.
CONTEXT_NAMES = {"diningtable": "table"}


def open_voc_20(folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open VOCdevkit/VOC2012 with 20 classes; background and borders do not count.

    Raises:
        DatasetError: a file is missing.
    """
    classes = load_class_list("voc_20", names)
    return _open(folder, "voc_20", classes, classes.titles, np.arange(20), classes.rows_of_values(21), "")


def open_voc_21(folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open VOCdevkit/VOC2012 with 20 classes and background, the paper's PASCAL-20.

    The word "background" means little, so nobody is asked for it: of the 59 classes of Pascal Context, the 39 that VOC
    does not have are background. For Grounding mIoU they are asked for where the image has background.

    Raises:
        DatasetError: a file is missing.
    """
    voc = load_class_list("voc_20", names)
    context = load_class_list("pascal_context_59", names)
    shared = {CONTEXT_NAMES.get(key, key) for key in voc.keys}
    others = [row for row, key in enumerate(context.keys) if key not in shared]
    queries = voc + context.subset(others)
    label_of_query = np.minimum(np.arange(len(queries)), 20)
    table = voc.rows_of_values(21)
    table[0] = 20
    labels = (*voc.titles, "background")
    rule = "Queries are the 59 classes of Pascal Context; the 39 that are not in VOC count as background."
    return _open(folder, "voc_21", queries, labels, label_of_query, table, rule)


def read_split(path: Path) -> list[str]:
    """The names of a split file, one a line.

    Raises:
        DatasetError: the file is missing or empty.
    """
    try:
        names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    if not names:
        raise DatasetError(f"{path} lists no image")
    return names


def _open(
    folder: Path,
    name: str,
    queries: ClassList,
    labels: tuple[str, ...],
    label_of_query: np.ndarray,
    table: np.ndarray,
    rule: str,
) -> EvaluationSet:
    # Not SegmentationClassAug: its files come from another archive and differ.
    root = find_root(folder, ("VOC2012", "VOCdevkit/VOC2012"), SPLIT)
    items = tuple(
        Item(root / "JPEGImages" / f"{stem}.jpg", (root / "SegmentationClass" / f"{stem}.png",))
        for stem in read_split(root / SPLIT)
    )

    return EvaluationSet(
        name=name,
        folder=root,
        queries=queries,
        labels=labels,
        label_of_query=label_of_query,
        items=items,
        read=value_label_reader(items, read_values, table, ignored=(BORDER,)),
        tables=(root / SPLIT,),
        official_images=(1449,),
        notes=tuple(filter(None, (rule, "Recall is of class masks."))),
    )
