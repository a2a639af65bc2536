"""Names of a data set's classes, read from `training/class_lists` (paper 4.3).

The plain names are the data set's own. The engineered ones are ours: "crane" alone may be a bird, "construction crane"
may not. A class may have several names; its score is the highest of theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from openseg_ros.configuration import ConfigurationError, build_config, read_yaml
from training.data.broken_records import DatasetError

FOLDER = Path(__file__).resolve().parent.parent / "class_lists"
LISTS = (
    "ade20k_150",
    "ade20k_847",
    "coco_panoptic",
    "pascal_context_459",
    "pascal_context_59",
    "voc_20",
)

Variant = Literal["plain", "engineered"]


@dataclass(frozen=True)
class ClassEntry:
    """One class as the file has it."""

    id: int  # the class's value in the data set's annotations
    name: str
    synonyms: tuple[str, ...] = ()  # further names of the data set's own
    official: str = ""  # the data set's spelling where `name` and `synonyms`, joined by ", ", differ from it
    engineered: tuple[str, ...] = ()  # ours, in place of name and synonyms

    @property
    def key(self) -> str:
        """The name by which the data set's own files call the class."""
        return self.official or ", ".join((self.name, *self.synonyms))


@dataclass(frozen=True)
class ClassFile:
    """Content of a class list file."""

    classes: tuple[ClassEntry, ...]


@dataclass(frozen=True)
class ClassList:
    """The classes that a system is asked for, in the order of their rows."""

    ids: tuple[int, ...]  # value of each class in the data set's annotations
    keys: tuple[str, ...]  # what the data set's files call them
    titles: tuple[str, ...]  # what reports call them, each once, whatever the names are
    names: tuple[tuple[str, ...], ...]  # what a system is asked for, at least one for each class

    def __len__(self) -> int:
        """Number of classes, K."""
        return len(self.ids)

    def rows_of_values(self, size: int) -> np.ndarray:
        """Table from annotation value to row, (size,) int32; -1 for values below `size` that name no class.

        int32, so that "no label" stays below every class. In the unsigned types of the files 0 - 1 is 255 or 65535.

        Raises:
            ValueError: an id is negative or not below `size`.
        """
        if min(self.ids) < 0 or max(self.ids) >= size:
            raise ValueError(f"class ids {min(self.ids)} .. {max(self.ids)} do not fit a table of {size}")
        table = np.full(size, -1, np.int32)
        table[np.array(self.ids)] = np.arange(len(self.ids), dtype=np.int32)
        return table

    def subset(self, rows: Sequence[int]) -> ClassList:
        """The classes of `rows`, in that order."""
        return ClassList(
            tuple(self.ids[row] for row in rows),
            tuple(self.keys[row] for row in rows),
            tuple(self.titles[row] for row in rows),
            tuple(self.names[row] for row in rows),
        )

    def __add__(self, other: ClassList) -> ClassList:
        """The classes of this list, then those of `other`."""
        return ClassList(
            self.ids + other.ids,
            self.keys + other.keys,
            self.titles + other.titles,
            self.names + other.names,
        )


def load_class_list(name: str, variant: Variant = "plain") -> ClassList:
    """Read `training/class_lists/<name>.yaml`.

    Raises:
        DatasetError: there is no such list, or the file is broken: the message names it.
    """
    if name not in LISTS:
        raise DatasetError(f"there is no class list '{name}'; there are {', '.join(LISTS)}")
    classes = read_class_file(FOLDER / f"{name}.yaml")
    shared = Counter(entry.name for entry in classes)  # ADE20K has three kinds of "bag"
    return ClassList(
        tuple(entry.id for entry in classes),
        tuple(entry.key for entry in classes),
        tuple(entry.name if shared[entry.name] == 1 else entry.key for entry in classes),
        tuple(
            entry.engineered if variant == "engineered" and entry.engineered else (entry.name, *entry.synonyms)
            for entry in classes
        ),
    )


@lru_cache  # reading 847 classes takes a second
def read_class_file(path: Path) -> tuple[ClassEntry, ...]:
    """The classes in `path`.

    Raises:
        DatasetError: the file is missing or broken, or has an id or a name twice.
    """
    try:
        classes = build_config(ClassFile, read_yaml(path)).classes
    except ConfigurationError as error:
        raise DatasetError(f"{path}: {error}") from error
    if len({entry.id for entry in classes}) != len(classes) or len({entry.key for entry in classes}) != len(classes):
        raise DatasetError(f"{path} has the same id or name twice")
    return classes
