"""Decoding of image files, for training, evaluation and pseudo labels alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.data.broken_records import DatasetError
from training.data.records import Record


def read_image(path: Path, *, upright: bool = False) -> np.ndarray:
    """The image (H, W, 3) uint8 RGB as its pixels are stored: annotations are drawn over those.

    Args:
        path: any format of OpenCV's.
        upright: turn it where its EXIF header says so; for pictures that nobody has drawn over.

    Raises:
        DatasetError: the file is missing, or not a whole image.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    try:
        flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error as error:  # more pixels than OpenCV takes
        raise DatasetError(f"{path} cannot be decoded: {error}") from error
    if image is None:
        raise DatasetError(f"{path} is not a whole image")
    decoded: np.ndarray = image
    return decoded


def read_ids(path: Path) -> np.ndarray:
    """The id map (H, W) int32 of a panoptic PNG, id = R + 256 G + 65536 B.

    Raises:
        DatasetError: as `read_image`.
    """
    quadruples = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2RGBA)
    ids: np.ndarray = quadruples.view("<i4")[..., 0] & 0xFFFFFF  # the bytes of a pixel are its id, lowest first
    return ids


def read_pixels(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """The image (H, W, 3) uint8 RGB and its id map (H, W) int32.

    Raises:
        DatasetError: a file is missing or damaged, the record has no id map, or the sizes differ.
    """
    if record.panoptic_file is None:
        raise DatasetError(f"{record.image_file} has no panoptic annotation")
    image, ids = read_image(record.image_file), read_ids(record.panoptic_file)
    check_size(image, record.image_file, ids.shape, record.panoptic_file)
    return image, ids


def check_size(image: np.ndarray, image_file: Path, size: tuple[int, ...], annotation: Path | str) -> None:
    """Raise a DatasetError unless what `annotation` names, of `size` (H, W), fits `image`."""
    if image.shape[:2] != size:
        raise DatasetError(
            f"{image_file} has {image.shape[1]}x{image.shape[0]} pixels, {annotation} {size[1]}x{size[0]}"
        )
