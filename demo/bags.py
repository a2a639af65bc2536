"""Playing a bag into ROS and recording topics into one, without decoding a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from openseg_ros.share_directory import share_directory


def play(bag: Path, node: Node, types: Mapping[str, type], on_message: Callable[[str, int], None]) -> None:
    """Publish the topics in `types` at the pace at which they were recorded; returns when the bag ends.

    Args:
        bag: bag folder, mcap or sqlite3.
        node: publishes from the calling thread.
        types: message class for every topic that is played.
        on_message: told topic and recorded time (ns) after each message.
    """
    publishers = {topic: node.create_publisher(kind, topic, 5) for topic, kind in types.items()}
    try:
        wait_for_subscribers(publishers.values())
        with Reader(bag) as reader:
            connections = [connection for connection in reader.connections if connection.topic in publishers]
            start, first = time.monotonic(), reader.start_time
            for connection, stamp, content in reader.messages(connections):
                time.sleep(max(0.0, start + (stamp - first) * 1e-9 - time.monotonic()))
                publishers[connection.topic].publish(bytes(content))
                on_message(connection.topic, stamp)
    finally:
        for publisher in publishers.values():
            node.destroy_publisher(publisher)


def wait_for_subscribers(publishers: Iterable[Publisher], timeout: float = 10.0) -> None:
    """Wait until somebody listens to every publisher.

    Raises:
        TimeoutError: nobody does after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    for publisher in publishers:
        while publisher.get_subscription_count() == 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody subscribes to {publisher.topic_name}")
            time.sleep(0.01)


class Recorder:
    """Writes every message of some topics to an mcap bag, as it came over the wire."""

    def __init__(self, bag: Path, node: Node, topics: Mapping[str, tuple[type, str, QoSProfile]]) -> None:
        """Subscribe and open `bag`, which must not exist; `topics` maps a name to class, type name and QoS."""
        store = get_typestore(Stores.ROS2_JAZZY)
        for file in sorted((share_directory() / "msg").glob("*.msg")):
            store.register(get_types_from_msg(file.read_text(), f"openseg_ros/msg/{file.stem}"))
        self._writer = Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self.count = 0
        for topic, (kind, type_name, qos) in topics.items():
            connection = self._writer.add_connection(topic, type_name, typestore=store)
            node.create_subscription(kind, topic, partial(self._write, connection), qos, raw=True)

    def _write(self, connection: Connection, content: bytes) -> None:
        self._writer.write(connection, time.time_ns(), content)
        self.count += 1

    def close(self) -> None:
        """Finish the bag."""
        self._writer.close()
