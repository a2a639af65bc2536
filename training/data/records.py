"""What is known of annotated images: records in memory, pixels on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from training.data.stored_masks import StoredMasks


@dataclass(frozen=True, slots=True)
class Segment:
    """One annotated region of an image."""

    id: int  # value in the id map
    category: int
    phrase: str  # "red mug" where the data set knows it, else the category's name


@dataclass(frozen=True, slots=True)
class Record:
    """One image with what is known of it; pixels are read on demand.

    Masks come as an id map of named segments, or nameless as `masks`, or not at all; then the image trains words only.
    """

    image_file: Path
    panoptic_file: Path | None = None
    segments: tuple[Segment, ...] = ()
    captions: tuple[str, ...] = ()
    masks: StoredMasks | None = None


@dataclass(frozen=True)
class AnnotatedImages:
    """One source of training or test images."""

    folder: str
    records: tuple[Record, ...]
    categories: dict[int, str]  # id: name; empty where nothing is named
    problems: tuple[str, ...] = ()  # broken records that were skipped, each with its place
    skip_limit: int = 0  # broken records that are tolerated, those of `problems` included


class FolderListing:
    """Answers whether files exist with one look at each folder, not one at each file: network disks are slow."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, path: Path) -> bool:
        folder = str(path.parent)
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return path.name in self._names[folder]

    def require(self, path: Path) -> Path:
        """`path` itself.

        Raises:
            ValueError: there is no such file.
        """
        if path not in self:
            raise ValueError(f"there is no file {path}")
        return path
