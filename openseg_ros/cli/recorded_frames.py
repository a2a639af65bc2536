"""Recorded images, from a folder or a bag, as a network takes them: for calibrating and for comparing engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.message_types import types_of
from openseg_ros.bags.reading import open_bag
from openseg_ros.bags.recorded_images import decode_picture, picture_topics
from openseg_ros.cli.image_file import ImageFileError, read_image
from openseg_ros.runtime.frames import Frames
from openseg_ros.segmenter.letterbox import Letterbox

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class RecordingError(ValueError):
    """There are no usable images; the message says why."""


def read_frames(source: Path, topic: str | None, limit: int, input_size: tuple[int, int], stride: int) -> Frames:
    """At most `limit` images of `source`, evenly spread, letterboxed to `input_size`.

    Args:
        source: a folder of image files, or the folder of a bag (with metadata.yaml).
        topic: of the bag's images; None takes the only one with pictures.
        limit: most images.
        input_size: (H, W) of the network's input, pixels.
        stride: input pixels per grid cell.

    Raises:
        RecordingError: no such folder, no image in it, or several topics to choose from.
    """
    if not source.is_dir():
        raise RecordingError(f"{source} is not a folder: give one with image files, or a bag")
    in_bag = (source / "metadata.yaml").is_file()
    images, valid = [], []
    for image in _bag_images(source, topic, limit) if in_bag else _file_images(source, limit):
        letterbox = Letterbox((image.shape[0], image.shape[1]), input_size, stride)
        images.append(letterbox.apply(image))
        valid.append(letterbox.valid)
    if not images:
        raise RecordingError(f"no colour image could be read from {source}")
    return Frames(np.stack(images), np.stack(valid))


def _file_images(folder: Path, limit: int) -> Iterator[np.ndarray]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    for index in _spread(len(files), limit):
        try:
            yield read_image(files[index])
        except ImageFileError as error:
            raise RecordingError(f"{files[index]}: {error}") from error


def _bag_images(bag: Path, topic: str | None, limit: int) -> Iterator[np.ndarray]:
    try:
        with open_bag(bag) as reader:
            store = types_of(reader)
            found = picture_topics(reader)
            named = [connection for connection in found if topic in (None, connection.topic)]
            if len({connection.topic for connection in named}) != 1:
                names = ", ".join(connection.topic for connection in found) or "none"
                raise RecordingError(f"{bag}: choose one topic with colour images by --topic; it has them on {names}")
            wanted = set(_spread(sum(connection.msgcount for connection in named), limit))
            for number, (connection, _, content) in enumerate(reader.messages(named)):
                picture = decode_picture(store, connection, content) if number in wanted else None
                if picture is not None:
                    yield picture
    except BagError as error:
        raise RecordingError(str(error)) from error


def _spread(count: int, limit: int) -> list[int]:
    """`limit` numbers below `count`, evenly spread; all if there are no more."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(count, limit))}) if count else []
