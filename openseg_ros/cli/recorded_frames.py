"""Recorded images, from a folder or a bag, as a network takes them: for calibrating and for comparing engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from openseg_ros.cli.image_file import ImageFileError, read_image
from openseg_ros.runtime.frames import Frames
from openseg_ros.segmenter.letterbox import Letterbox

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
# Of raw images; of compressed ones the same names stand at the end of the format: "rgb8; jpeg compressed bgr8".
TO_RGB = {
    "rgb8": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
}


class RecordingError(ValueError):
    """There are no usable images; the message says why."""


def read_frames(source: Path, topic: str | None, limit: int, input_size: tuple[int, int], stride: int) -> Frames:
    """At most `limit` images of `source`, evenly spread, letterboxed to `input_size`.

    Args:
        source: a folder of image files, or a bag folder (metadata.yaml) of ros2 bag.
        topic: of the bag's images; None takes the only one with colour images.
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
        from rosbags.interfaces import Connection
        from rosbags.rosbag2 import Reader, ReaderError
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise RecordingError(
            f"reading the bag {bag} needs the Python package 'rosbags': pip install 'openseg_ros[compile]'"
        ) from error
    store = get_typestore(Stores.ROS2_JAZZY)

    def decode(connection: Connection, content: bytes) -> np.ndarray | None:
        message = store.deserialize_cdr(content, connection.msgtype)
        return _decoded(message, compressed=connection.msgtype == IMAGE_TYPES[1])

    try:
        with Reader(bag) as reader:
            found = [one for one in reader.connections if one.msgtype in IMAGE_TYPES and topic in (None, one.topic)]
            usable = []
            for connection in found:
                first = next(iter(reader.messages([connection])), None)
                if first is not None and decode(connection, first[2]) is not None:
                    usable.append(connection)
            if len({connection.topic for connection in usable}) != 1:
                names = ", ".join(sorted({connection.topic for connection in usable or found})) or "none"
                raise RecordingError(f"{bag}: choose one topic with colour images by --topic; there are: {names}")
            wanted = set(_spread(sum(connection.msgcount for connection in usable), limit))
            for number, (connection, _, content) in enumerate(reader.messages(usable)):
                image = decode(connection, content) if number in wanted else None
                if image is not None:
                    yield image
    except (ReaderError, OSError) as error:
        raise RecordingError(f"{bag}: {error}") from error


def _decoded(message: object, *, compressed: bool) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, or None if the message holds no colour image."""
    if compressed:
        pixels = cv2.imdecode(message.data, cv2.IMREAD_UNCHANGED)  # type: ignore[attr-defined]
        if pixels is None or pixels.ndim != 3 or pixels.dtype != np.uint8:
            return None
        return cv2.cvtColor(pixels[:, :, :3], cv2.COLOR_BGR2RGB)
    height, width, step = message.height, message.width, message.step  # type: ignore[attr-defined]
    encoding, data = message.encoding, message.data  # type: ignore[attr-defined]
    channels = 4 if "a8" in encoding else 3
    if encoding not in TO_RGB or step < width * channels or len(data) < step * height:
        return None
    pixels = data[: step * height].reshape(height, step)[:, : width * channels].reshape(height, width, channels)
    code = TO_RGB[encoding]
    return np.ascontiguousarray(pixels) if code is None else cv2.cvtColor(np.ascontiguousarray(pixels), code)


def _spread(count: int, limit: int) -> list[int]:
    """`limit` numbers below `count`, evenly spread; all if there are no more."""
    return sorted({int(number) for number in np.linspace(0, count - 1, min(count, limit))}) if count else []
