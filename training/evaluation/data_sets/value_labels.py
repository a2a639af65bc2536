"""Data sets whose annotation is one label value per pixel, in a file for each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.data.pixels import check_size, read_image
from training.evaluation.data_set import AnnotatedImage, Item, class_masks
from training.evaluation.label_files import rows_of


def value_label_reader(
    items: tuple[Item, ...],
    read_values: Callable[[Path], np.ndarray],
    table: np.ndarray,
    ignored: tuple[int, ...] = (),
) -> Callable[[int], AnnotatedImage]:
    """What reads the image of items[index] and its label, with class masks in the place of segments.

    Args:
        items: one annotation file each.
        read_values: the values (H, W) int of such a file.
        table: (V,) int32, row of each value.
        ignored: values outside the table that mean "not labelled".

    Returns:
        A function of the index, which raises DatasetError.
    """

    def read(index: int) -> AnnotatedImage:
        item = items[index]
        (file,) = item.annotations
        image, values = read_image(item.image), read_values(file)
        check_size(image, item.image, values.shape, file)
        label = rows_of(values, table, file, ignored)
        return AnnotatedImage(image, label, *class_masks(label))

    return read
