"""Opens bags: folders and single files of `ros2 bag record`, mcap or sqlite3, compressed or not."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from openseg_ros.bags.bag_error import BagError

_STAMP = {b"\x00\x01": "<iI", b"\x00\x00": ">iI"}  # by the CDR encapsulation, little or big endian


@contextmanager
def open_bag(path: Path) -> Iterator[Reader]:
    """An open reader.

    Args:
        path: bag folder, or one .mcap or .db3 file of an interrupted recording, which has no metadata.yaml.

    Raises:
        BagError: no bag there, or a damaged one.
    """
    if not path.exists():
        raise BagError(f"there is no bag '{path}'")
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        files = sorted(file.name for file in path.iterdir() if file.suffix in (".mcap", ".db3"))
        advice = f"give the file {path / files[0]} itself" if files else "it is not a bag"
        raise BagError(f"'{path}' has no metadata.yaml, which a finished recording leaves: {advice}")
    try:
        with Reader(path) as reader:
            yield reader
    except (ReaderError, sqlite3.Error, struct.error, OSError, EOFError) as error:
        raise BagError(f"cannot read the bag '{path}': {error}") from error


def connections_of(reader: Reader, message_type: str) -> list[Connection]:
    """The bag's topics of a message type, with at least one message, in the order of their names."""
    found = [connection for connection in reader.connections if connection.msgtype == message_type]
    return sorted((connection for connection in found if connection.msgcount), key=lambda connection: connection.topic)


def decode(store: Typestore, connection: Connection, content: bytes | memoryview) -> Any:
    """A serialised message as an object.

    Raises:
        BagError: the message is cut off, or not what its type says.
    """
    try:
        return store.deserialize_cdr(content, connection.msgtype)
    except SerdeError as error:
        raise BagError(f"{connection.topic} has a damaged message of type {connection.msgtype}: {error}") from error


def header_stamp(content: bytes | memoryview) -> int:
    """Stamp in ns of a serialised message that begins with a std_msgs/Header, without decoding the rest.

    Raises:
        BagError: the message is too short, or not CDR.
    """
    order = _STAMP.get(bytes(content[:2]))
    if order is None or len(content) < 12:
        raise BagError("a message of the bag is not in the format CDR, or it is cut off")
    seconds, nanoseconds = struct.unpack_from(order, content, 4)
    return int(seconds) * 10**9 + int(nanoseconds)


def files_of(path: Path) -> list[Path]:
    """The files that hold a bag's messages."""
    return [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
