"""The pixels of sensor_msgs images as numpy arrays, without cv_bridge (which breaks with NumPy 2 and needs C++).

Decoding trusts nothing: a message that does not hold the image that it announces raises `ImageError` with a
fault that diagnostics counts. It needs the message's fields only, so that images come from a topic (rclpy's classes) or
out of a bag (rosbags' classes) alike.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

MAX_SIDE = 16384  # pixels; above the widest line camera that publishes colour images
MAX_PIXELS = 1 << 26  # 67 megapixels; bounds the memory that one message can make us take (0.2 GB as RGB)


class ImageMessage(Protocol):
    """A sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any  # rclpy: int, rosbags: int or bool
    step: int
    data: Any  # bytes, in anything that has the buffer protocol


class CompressedImageMessage(Protocol):
    """A sensor_msgs/CompressedImage."""

    format: str
    data: Any  # bytes, in anything that has the buffer protocol


class ImageFault(enum.Enum):
    """What is wrong with an image message; the value is the cause's name in diagnostics."""

    ENCODING = "unsupported_encoding"
    SIZE = "absurd_size"
    STEP = "step_too_small"
    SHORT_DATA = "short_data"
    CORRUPT = "corrupt_compressed_data"


class ImageError(ValueError):
    """An image message that cannot be used."""

    def __init__(self, fault: ImageFault, message: str) -> None:
        """Keep `fault` for counting and `message` for the person who reads the log."""
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True)
class _ColourLayout:
    channels: int
    to_rgb: int | None  # OpenCV conversion code; None: already RGB


_COLOUR_LAYOUTS = {
    "rgb8": _ColourLayout(3, None),
    "bgr8": _ColourLayout(3, cv2.COLOR_BGR2RGB),
    "rgba8": _ColourLayout(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _ColourLayout(4, cv2.COLOR_BGRA2RGB),
    "mono8": _ColourLayout(1, cv2.COLOR_GRAY2RGB),
}
COLOUR_ENCODINGS = tuple(_COLOUR_LAYOUTS)


def decode_image(message: ImageMessage) -> np.ndarray:
    """The pixels of a colour or grey image as (H, W, 3) uint8 RGB, C-contiguous.

    An rgb8 image without padding is a view of the message's data, not a copy. `is_bigendian` has no meaning
    for one-byte channels and is ignored.

    Raises:
        ImageError: unsupported encoding, zero or absurd size, `step` or `data` too small for the size.
    """
    layout = _COLOUR_LAYOUTS.get(message.encoding)
    if layout is None:
        raise ImageError(
            ImageFault.ENCODING,
            f"encoding '{_shortened(message.encoding)}' is not supported; use one of {', '.join(COLOUR_ENCODINGS)}",
        )
    rows = _rows(message, bytes_per_pixel=layout.channels)
    pixels = _unpadded(rows, message.width * layout.channels).reshape(message.height, message.width, layout.channels)
    return pixels if layout.to_rgb is None else cv2.cvtColor(pixels, layout.to_rgb)


def decode_ids(message: ImageMessage) -> np.ndarray:
    """The ids of a mono8 or 16UC1 image as (H, W) uint8 or uint16 in native byte order.

    Raises:
        ImageError: another encoding, zero or absurd size, `step` or `data` too small for the size.
    """
    if message.encoding not in ("mono8", "16UC1"):
        raise ImageError(
            ImageFault.ENCODING,
            f"an id image is mono8 or 16UC1, not '{_shortened(message.encoding)}'",
        )
    if message.encoding == "mono8":
        return _unpadded(_rows(message, bytes_per_pixel=1), message.width)
    rows = _unpadded(_rows(message, bytes_per_pixel=2), message.width * 2)
    ids = rows.view(np.dtype(">u2" if message.is_bigendian else "<u2"))
    return ids.astype(np.uint16, copy=False)


def decode_depth(message: ImageMessage, scale: float) -> np.ndarray:
    """A depth image as (H, W) float32 metres (REP 118); what was not measured stays 0, NaN or infinite.

    Args:
        message: 32FC1 in metres, or 16UC1.
        scale: metres per unit of 16UC1; 0.001 by REP 118.

    Raises:
        ImageError: another encoding, zero or absurd size, `step` or `data` too small for the size.
    """
    if message.encoding not in ("32FC1", "16UC1"):
        raise ImageError(
            ImageFault.ENCODING,
            f"a depth image is 32FC1 (metres) or 16UC1 (millimetres), not '{_shortened(message.encoding)}'",
        )
    order = ">" if message.is_bigendian else "<"
    if message.encoding == "32FC1":
        metres = _unpadded(_rows(message, bytes_per_pixel=4), message.width * 4).view(f"{order}f4")
        return metres.astype(np.float32, copy=False)
    units = _unpadded(_rows(message, bytes_per_pixel=2), message.width * 2).view(f"{order}u2")
    return units * np.float32(scale)


def decode_compressed(message: CompressedImageMessage) -> np.ndarray:
    """The pixels of a JPEG or PNG image as (H, W, 3) uint8 RGB.

    The EXIF orientation is ignored, so that masks fit the pixels that the camera sent. The size is read from the
    header before anything is decoded, so that a small message cannot claim gigabytes.

    Raises:
        ImageError: not JPEG or PNG, a pixel format that is not colour or grey, absurd size, cut-off or damaged data.
    """
    source_encoding, separator, _ = message.format.partition(";")
    if separator and source_encoding.strip() not in _COLOUR_LAYOUTS:
        raise ImageError(
            ImageFault.ENCODING,
            f"format '{_shortened(message.format)}': the pixels must be one of {', '.join(COLOUR_ENCODINGS)}",
        )
    data = np.frombuffer(message.data, np.uint8)
    width, height = _compressed_size(data.tobytes())
    _check_size(width, height)
    rgb = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if rgb is None or rgb.shape[:2] != (height, width):
        raise ImageError(ImageFault.CORRUPT, f"{data.size} bytes of compressed data cannot be decoded")
    return rgb


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ImageError(
            ImageFault.SIZE,
            f"{width}x{height} pixels: each side must be 1 to {MAX_SIDE}, the area at most {MAX_PIXELS}",
        )


def _rows(message: ImageMessage, *, bytes_per_pixel: int) -> np.ndarray:
    """(H, step) uint8 view of the data; the padding of the last row may be absent, as some drivers leave it out."""
    _check_size(message.width, message.height)
    row_bytes = message.width * bytes_per_pixel
    if message.step < row_bytes:
        raise ImageError(
            ImageFault.STEP,
            f"step {message.step} is smaller than a row: {message.width} pixels of {message.encoding} "
            f"are {row_bytes} bytes",
        )
    data = np.frombuffer(message.data, np.uint8)
    needed = message.step * (message.height - 1) + row_bytes
    if data.size < needed:
        raise ImageError(
            ImageFault.SHORT_DATA,
            f"{data.size} bytes of data, {needed} needed for {message.width}x{message.height} {message.encoding} "
            f"with step {message.step}",
        )
    return np.lib.stride_tricks.as_strided(
        data, shape=(message.height, row_bytes), strides=(message.step, 1), writeable=False
    )


def _unpadded(rows: np.ndarray, row_bytes: int) -> np.ndarray:
    """`rows` cut to `row_bytes` each, C-contiguous; without padding a view."""
    return np.ascontiguousarray(rows[:, :row_bytes])


# PNG: signature, length and "IHDR", width, height (PNG specification 11.2.2).
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# JPEG: start-of-frame markers, which hold the size (ITU T.81 table B.1; C4, C8 and CC are no frames).
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_START_OF_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"


def _compressed_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the file's header announces; also checks that the file's end is there."""
    if data[:8] == _PNG_SIGNATURE:
        if len(data) < 24 or b"IEND" not in data:
            raise ImageError(ImageFault.SHORT_DATA, f"PNG data is cut off after {len(data)} bytes")
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    raise ImageError(ImageFault.ENCODING, "compressed data is neither JPEG nor PNG")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    size = None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _JPEG_FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            size = (width, height)
        if marker == _JPEG_START_OF_SCAN:
            # libjpeg fills a missing rest with grey and says nothing, so the end marker is looked for here.
            if size is None or data.find(_JPEG_END, position) < 0:
                break
            return size
        position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    raise ImageError(ImageFault.SHORT_DATA, f"JPEG data is cut off or damaged ({len(data)} bytes)")
