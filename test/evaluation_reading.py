"""Short forms for tests of the data set readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.evaluation.data_set import AnnotatedImage
from training.evaluation.data_sets.catalogue import open_data_set


def grid(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int32)


def read_one(name: str, folder: Path) -> AnnotatedImage:
    data = open_data_set(name, folder)
    assert len(data.items) == 1
    return data.read(0)


def titles(name: str, folder: Path, label: np.ndarray) -> list[list[str]]:
    labels = open_data_set(name, folder).labels
    return [["" if row < 0 else labels[row] for row in line] for line in label]
