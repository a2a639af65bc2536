"""Labels of many images by many processes, written so that a kill at any time loses and doubles nothing.

Each process appends finished images to a file of its own, one JSON line each, below one folder. After a kill all files
are read again, by any number of processes; a line that was being written is cut off. When everything is done, the lines
become one file in COCO's instances format.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from openseg_ros.runtime.weights import write_atomically
from training.data.broken_records import DatasetError
from training.data.json_file import read_json

RUN_FILE = "run.json"
CATEGORY = {"id": 1, "name": "region"}


def open_parts(folder: Path, run: Mapping[str, Any]) -> None:
    """Prepare `folder` for this run: one process does it before the others look.

    Args:
        folder: made if missing.
        run: what decides the labels; a folder of another run is refused.

    Raises:
        DatasetError: the folder belongs to another run, another process is still writing, or it is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run_file = folder / RUN_FILE
        if run_file.exists():
            before = read_json(run_file)
            changed = [
                f"{key} was {before.get(key)}, is {value}" for key, value in run.items() if before.get(key) != value
            ]
            if changed:
                raise DatasetError(
                    f"{folder} holds labels of another run ({'; '.join(changed)}): delete it, or choose another --out"
                )
        else:
            write_atomically(run_file, json.dumps(dict(run), indent=1).encode())
        for path in _parts(folder):
            with path.open("r+b") as stream:
                _lock(stream.fileno(), path)
                _cut_torn_line(stream.fileno())
    except OSError as error:
        raise DatasetError(f"cannot write in {folder}: {error.strerror}") from error


def finished_images(folder: Path) -> set[str]:
    """Names of the images that have a line, labelled or failed."""
    return {label["image"] for label, _, _ in _lines(folder)}


class PartWriter:
    """Appends the labels of one process."""

    def __init__(self, folder: Path, process: int) -> None:
        """Open the part of `process` (its number), which no other process may have open.

        Raises:
            DatasetError: another process writes it, or it is not writable.
        """
        self._path = folder / f"part-{process:05d}.jsonl"
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise DatasetError(f"cannot write {self._path}: {error.strerror}") from error
        _lock(self._file, self._path)

    def append(self, labels: list[dict[str, Any]]) -> None:
        """Add finished images; they are on the disk when this returns.

        Raises:
            DatasetError: the disk is full; the part is as it was before.
        """
        size = os.fstat(self._file).st_size
        content = "".join(json.dumps(label) + "\n" for label in labels).encode()
        try:
            written = 0
            while written < len(content):
                written += os.write(self._file, content[written:])
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise DatasetError(
                f"cannot write {self._path}: {error.strerror}; finished labels are kept, run the command again to go on"
            ) from error

    def close(self) -> None:
        """Let others write the part."""
        os.close(self._file)


def merge_parts(folder: Path, out: Path, wanted: Collection[str], info: Mapping[str, Any]) -> dict[str, int]:
    """Write the labels to `out` in COCO's instances format, sorted by image; the old file stays until it is whole.

    The parts stay too: with them the command goes on with images that come later.

    Args:
        folder: of the parts.
        out: JSON file.
        wanted: names of the images; labels of others, which are no longer there, are left out.
        info: stored with the labels.

    Returns:
        Numbers of `images` and `masks` written, and of images that `failed`.

    Raises:
        DatasetError: a part is damaged, or the disk is full.
    """
    # Only places are kept in memory: the labels of half a million images are gigabytes.
    places: dict[str, tuple[Path, int]] = {}
    failed = []
    left = set(wanted)
    for label, path, offset in _lines(folder):
        if label["image"] not in left:
            continue
        left.remove(label["image"])
        places[label["image"]] = path, offset
        if "failed" in label:
            failed.append({"file_name": label["image"], "error": label["failed"]})
    names = sorted(places.keys() - {failure["file_name"] for failure in failed})
    failed.sort(key=lambda failure: failure["file_name"])
    count = 0

    def document() -> Iterator[str]:
        nonlocal count
        yield f'{{"info": {json.dumps(dict(info))},\n"categories": {json.dumps([CATEGORY])},\n'
        yield f'"failed": {json.dumps(failed)},\n"images": ['
        for number, label in enumerate(_read_again(names, places), start=1):
            image = {"id": number, "file_name": label["image"], "height": label["height"], "width": label["width"]}
            yield (",\n" if number > 1 else "\n") + json.dumps(image)
        yield '],\n"annotations": ['
        for number, label in enumerate(_read_again(names, places), start=1):
            for mask in label["masks"]:
                count += 1
                annotation = {
                    "id": count,
                    "image_id": number,
                    "category_id": CATEGORY["id"],
                    "iscrowd": 0,
                    "segmentation": {"size": [label["height"], label["width"]], "counts": mask["counts"]},
                    "area": mask["area"],
                    "bbox": mask["bbox"],
                    "score": mask["score"],
                }
                yield (",\n" if count > 1 else "\n") + json.dumps(annotation)
        yield "]}\n"

    try:
        write_atomically(out, map(str.encode, document()))
    except OSError as error:
        raise DatasetError(
            f"cannot write {out}: {error.strerror}; the labels are kept in {folder}, run the command again to go on"
        ) from error
    return {"images": len(names), "masks": count, "failed": len(failed)}


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.jsonl"))


def _lines(folder: Path) -> Iterator[tuple[dict[str, Any], Path, int]]:
    """Every label with its part and the line's offset in bytes."""
    for path in _parts(folder):
        offset = 0
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    label = json.loads(line)
                    label["image"]
                except (ValueError, KeyError, TypeError) as error:
                    raise DatasetError(f"{path}:{number} is damaged ({error}); delete this line") from error
                yield label, path, offset
                offset += len(line)


def _read_again(names: list[str], places: Mapping[str, tuple[Path, int]]) -> Iterator[dict[str, Any]]:
    streams: dict[Path, Any] = {}
    try:
        for name in names:
            path, offset = places[name]
            if path not in streams:
                streams[path] = path.open("rb")
            streams[path].seek(offset)
            yield json.loads(streams[path].readline())
    finally:
        for stream in streams.values():
            stream.close()


def _lock(file: int, path: Path) -> None:
    """Hold `file` until it is closed; the system lets go of it when the process dies."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DatasetError(f"{path} is being written by another process; wait for it, or end it") from error


def _cut_torn_line(file: int) -> None:
    """Cut off what stands behind the last end of line."""
    end = size = os.fstat(file).st_size
    while end:
        start = max(0, end - (1 << 16))
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
