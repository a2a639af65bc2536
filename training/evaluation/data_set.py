"""What an evaluation reads: images whose pixels are labelled with rows of a class list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.evaluation.class_list import ClassList

NO_LABEL = -1  # a pixel that no metric counts


@dataclass(frozen=True)
class AnnotatedImage:
    """One image with its truth."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    label: np.ndarray  # (H, W) int32, row of the data set's `labels`; NO_LABEL = not counted
    masks: (
        np.ndarray
    )  # (M, H, W) bool, what proposals should find: segments, or one mask per class where there are none
    crowd: np.ndarray  # (M,) bool, masks of several things at once: no proposal has to find them
    phrases: tuple[str, ...] = ()  # (M,) or empty: "red mug" for each mask


@dataclass(frozen=True)
class Item:
    """Files of one image."""

    image: Path
    annotations: tuple[Path, ...]


@dataclass(frozen=True)
class EvaluationSet:
    """A data set, pixels on disk.

    What is asked and what is counted may differ: VOC-21 asks for 59 classes and counts 39 of them as background.
    """

    name: str
    folder: Path
    queries: ClassList  # Q classes that the system is asked for
    labels: tuple[str, ...]  # L classes that are counted
    label_of_query: np.ndarray  # (Q,) int64 rows of `labels`
    items: tuple[Item, ...]
    read: Callable[[int], AnnotatedImage]  # the image of items[index]; raises DatasetError
    tables: tuple[Path, ...] = ()  # annotation files of the whole set: lists, JSON
    official_images: tuple[int, ...] = ()  # how many the official split has; several where the field counts differently
    notes: tuple[str, ...] = ()  # rules of this protocol that a reader of the figures should know


def class_masks(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One mask per labelled class, for data sets without segments: (M, H, W) bool and (M,) crowd, all False."""
    present = np.unique(label[label != NO_LABEL])
    return label[None] == present[:, None, None], np.zeros(len(present), bool)


def label_of_segments(ids: np.ndarray, segment_ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Label (H, W) int32 of an id map; NO_LABEL where no segment has the id.

    Args:
        ids: (H, W) int32.
        segment_ids: (M,) int32, each once.
        rows: (M,) int, row of each segment.
    """
    if not len(segment_ids):
        return np.full(ids.shape, NO_LABEL, np.int32)
    order = np.argsort(segment_ids)
    place = np.searchsorted(segment_ids[order], ids).clip(max=len(order) - 1)
    label: np.ndarray = np.where(ids == segment_ids[order][place], rows[order][place], NO_LABEL).astype(np.int32)
    return label
