"""Writes bags that `ros2 bag` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.bag_format import Compression, Storage
from openseg_ros.bags.message_types import add_installed_type, installed_types


class BagWriter:
    """An open bag; messages are written as they came over the wire. A context manager that finishes the bag."""

    def __init__(
        self, path: Path, storage: Storage = Storage.MCAP, compression: Compression = Compression.NONE
    ) -> None:
        """Open `path`.

        Raises:
            BagError: it exists already, or cannot be written.
        """
        self._types = installed_types()
        try:
            self._writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.name])
            self._writer.set_compression(CompressionMode[compression.name], CompressionFormat.ZSTD)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise BagError(f"cannot write the bag '{path}': {error}") from error

    def add_topic(self, topic: str, message_type: str, qos: Sequence[Qos] = ()) -> Connection:
        """Announce a topic; `qos` is what its publishers offer, which a player then offers too.

        Raises:
            BagError: the definition of the message type is not installed.
        """
        add_installed_type(self._types, message_type)
        return self._writer.add_connection(topic, message_type, typestore=self._types, offered_qos_profiles=qos)

    def write(self, connection: Connection, time: int, content: bytes | memoryview) -> None:
        """Write a serialised message (CDR) with its time of arrival in ns.

        Raises:
            BagError: no space, no permission.
        """
        try:
            self._writer.write(connection, time, content)
        except OSError as error:
            raise BagError(f"cannot write to the bag '{self._writer.path}': {error}") from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Also after an error: what was recorded until then can be read.
        try:
            self._writer.close()
        except OSError as failure:
            raise BagError(f"cannot finish the bag '{self._writer.path}': {failure}") from failure
