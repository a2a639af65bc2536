"""The data sets that `--dataset` knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.data.broken_records import DatasetError
from training.evaluation.class_list import Variant
from training.evaluation.data_set import EvaluationSet
from training.evaluation.data_sets.ade20k import open_ade20k_150, open_ade20k_847
from training.evaluation.data_sets.coco_panoptic import open_coco_panoptic
from training.evaluation.data_sets.pascal_context import open_pascal_context_59, open_pascal_context_459
from training.evaluation.data_sets.pascal_voc import open_voc_20, open_voc_21
from training.evaluation.data_sets.tabletop import open_tabletop

_BY_LIST: dict[str, Callable[[Path, Variant], EvaluationSet]] = {
    "coco_panoptic": open_coco_panoptic,
    "ade20k_150": open_ade20k_150,
    "ade20k_847": open_ade20k_847,
    "pascal_context_59": open_pascal_context_59,
    "pascal_context_459": open_pascal_context_459,
    "voc_20": open_voc_20,
    "voc_21": open_voc_21,
}
DATA_SETS = ("tabletop", *_BY_LIST)


def open_data_set(name: str, folder: Path, names: Variant = "plain") -> EvaluationSet:
    """Open a data set.

    Args:
        name: one of DATA_SETS.
        folder: where its official download was unpacked.
        names: class names, the data set's own or ours.

    Raises:
        DatasetError: an unknown name, a missing file, or names that the data set does not have.
    """
    if name == "tabletop":
        if names != "plain":
            raise DatasetError("the tabletop world names its classes itself: only plain names, no engineered ones")
        return open_tabletop(folder)
    if name not in _BY_LIST:
        raise DatasetError(f"unknown data set '{name}'; there are {', '.join(DATA_SETS)}")
    return _BY_LIST[name](folder, names)
