"""The record of an evaluation: what was measured, on what, by what, with which numbers."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import openseg_ros
from openseg_ros.runtime.weights import write_atomically
from training.data.broken_records import DatasetError
from training.evaluation.data_set import EvaluationSet, Item
from training.evaluation.protocol import ClassFigures, Figure

PACKAGES = (
    "numpy",
    "opencv-contrib-python-headless",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "scipy",
    "torch",
    "transformers",
)


@dataclass(frozen=True)
class Result:
    """Everything in result.json."""

    system: str
    weights: str
    weights_sha256: str
    engine: str
    data_set: str
    data_folder: str
    data_sha256: str  # of the names of all files used and the bytes of the annotations
    official_images: tuple[int, ...]  # of the whole split, for comparison with `figures["images"]`
    notes: tuple[str, ...]
    config: dict[str, str | int | None]  # the command's options
    seed: int
    software: dict[str, str]
    figures: dict[str, Figure]
    intervals: dict[str, tuple[float, float]]  # of 95 %, from drawing the images again
    per_class: list[ClassFigures]

    @property
    def whole_split(self) -> bool:
        """Whether the figures are of as many images as the official split has."""
        return not self.official_images or self.figures["images"] in self.official_images


def write_result(path: Path, result: Result) -> None:
    """Write result.json; the same run gives the same bytes.

    Raises:
        OSError: no space, no permission.
    """
    write_atomically(path, (json.dumps(asdict(result), indent=1, allow_nan=False) + "\n").encode())


def hash_data(data: EvaluationSet, items: Iterable[Item]) -> str:
    """sha256 over file names relative to the data set's folder, and the bytes of annotation files.

    Raises:
        DatasetError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for table in data.tables:
        _add(digest, data.folder, table)
    for item in items:
        digest.update(_relative(item.image, data.folder))
        for annotation in item.annotations:
            _add(digest, data.folder, annotation)
    return digest.hexdigest()


def software_versions() -> dict[str, str]:
    """Versions of what the figures may depend on; a package that is not installed is left out."""
    versions = {"openseg_ros": openseg_ros.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _add(digest: hashlib._Hash, folder: Path, file: Path) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {file}: {error.strerror}") from error
    digest.update(_relative(file, folder))
    digest.update(len(content).to_bytes(8, "little"))
    digest.update(content)


def _relative(file: Path, folder: Path) -> bytes:
    """The name in the hash: not absolute, so that the same data elsewhere has the same hash."""
    return file.relative_to(folder).as_posix().encode() + b"\n"
