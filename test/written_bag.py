"""Bags with chosen contents, written as `ros2 bag record` lays them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from openseg_ros.bags.message_types import installed_types

STORE = installed_types()
TYPES = STORE.types
SECOND = 10**9
START = 1_700_000_000 * SECOND  # recording time of the first message, ns


def header(stamp: int) -> Any:
    time = TYPES["builtin_interfaces/msg/Time"](stamp // SECOND, stamp % SECOND)
    return TYPES["std_msgs/msg/Header"](time, "camera")


@dataclass(frozen=True)
class Seen:
    """One region of a RegionArray."""

    vector: np.ndarray
    roi: tuple[int, int, int, int] = (0, 0, 8, 8)
    label: int = 1
    phrase: str = "thing"
    quality: float = 0.8


def regions(stamp: int, seen: Sequence[Seen], space: str, version: int = 1, status: int = 0) -> Any:
    """An openseg_ros/msg/RegionArray."""
    nowhere = TYPES["geometry_msgs/msg/Point"](float("nan"), float("nan"), float("nan"))
    no_mask = TYPES["sensor_msgs/msg/Image"](header(stamp), 0, 0, "", 0, 0, np.zeros(0, np.uint8))
    messages = [
        TYPES["openseg_ros/msg/Region"](
            id=number,
            track_id="",
            label=region.label,
            phrase=region.phrase,
            score=0.9,
            margin=0.9,
            mask_quality=region.quality,
            roi=TYPES["sensor_msgs/msg/RegionOfInterest"](*region.roi[:2], region.roi[3], region.roi[2], False),
            area=10,
            centroid=nowhere,
            mask=no_mask,
        )
        for number, region in enumerate(seen, start=1)
    ]
    vectors = np.concatenate([region.vector for region in seen]).astype(np.float32) if seen else np.zeros(0, np.float32)
    return TYPES["openseg_ros/msg/RegionArray"](
        header=header(stamp),
        height=60,
        width=80,
        vocabulary_version=version,
        query="thing",
        target_id=0,
        status=status,
        embedding_space=space,
        embedding_dim=len(vectors) // max(1, len(seen)),
        embeddings=vectors,
        regions=messages,
    )


def image(stamp: int, rgb: np.ndarray) -> Any:
    return TYPES["sensor_msgs/msg/Image"](
        header(stamp), rgb.shape[0], rgb.shape[1], "rgb8", 0, rgb.shape[1] * 3, np.ascontiguousarray(rgb).ravel()
    )


def png(stamp: int, pixels: np.ndarray, encoding: str) -> Any:
    data = cv2.imencode(".png", pixels)[1].ravel()
    return TYPES["sensor_msgs/msg/CompressedImage"](header(stamp), f"{encoding}; png compressed ", data)


def query_state(version: int, *phrases: tuple[str, ...], background: Sequence[str] = ()) -> Any:
    """An openseg_ros/msg/QueryState in which each phrase (text, alias, …) is active."""

    def query(text: str, aliases: Sequence[str], is_background: bool) -> Any:
        return TYPES["openseg_ros/msg/Query"](text, list(aliases), -1.0, False, is_background)

    active = [query(text, (), True) for text in background] + [query(text, names, False) for text, *names in phrases]
    return TYPES["openseg_ros/msg/QueryState"](header(START), version, 2, active, [], [], "", "minilm")


def string(text: str) -> Any:
    return TYPES["std_msgs/msg/String"](text)


Message = tuple[str, int, Any]  # topic, recording time in ns, message or Raw


@dataclass(frozen=True)
class Raw:
    """A message as it went over the wire: damaged ones cannot be written otherwise."""

    __msgtype__: str
    content: bytes


def cut(message: Any, length: int) -> Raw:
    """The first `length` bytes of a message."""
    return Raw(message.__msgtype__, bytes(STORE.serialize_cdr(message, message.__msgtype__))[:length])


COMPRESSIONS: dict[str, CompressionMode] = {
    "none": CompressionMode.NONE,
    "file": CompressionMode.FILE,
    "message": CompressionMode.MESSAGE,
}


def write_bag(
    path: Path,
    messages: Iterable[Message],
    storage: Literal["mcap", "sqlite3"] = "mcap",
    compression: Literal["none", "file", "message"] = "none",
) -> Path:
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    writer.set_compression(COMPRESSIONS[compression], CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, time, message in sorted(messages, key=lambda item: item[1]):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            content = message.content if isinstance(message, Raw) else STORE.serialize_cdr(message, kind)
            writer.write(connections[topic], time, content)
    return path
