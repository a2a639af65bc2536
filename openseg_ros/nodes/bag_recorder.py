"""Records topics into a bag as they come over the wire: the node's inputs and answers, chosen topics, or all."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosbags.interfaces import Connection

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.bag_format import Compression, Storage
from openseg_ros.bags.writing import BagWriter
from openseg_ros.nodes.bag_topics import listening_qos, message_class, recorded_qos
from openseg_ros.nodes.interrupt import Interruption

LOOK_EVERY_S = 0.2  # for topics that appear
LAST_MESSAGES_S = 0.2  # what came before the end is still written
# What the search and the evaluation read. The other outputs are large, and computed only while somebody listens.
ANSWERS = ("regions", "mask/compressed", "query_state", "label_info")
EVERYWHERE = ("/rosout", "/parameter_events")  # what every node listens to or says; of no use here

Choice = Callable[[Node], Collection[str]]  # the names of the topics to record, of those that exist now


class BagRecorder:
    """Subscribes to topics as they appear, with the quality of service that their publishers offer."""

    def __init__(self, node: Node, bag: BagWriter, choose: Choice, say: Callable[[str], None]) -> None:
        """Look for topics now and from then on.

        Args:
            node: spun by the caller; its callbacks write.
            bag: open; stays open until no callback can come any more.
            choose: which topics to record.
            say: told of every topic that is recorded, and why one is not.
        """
        self.counts: Counter[str] = Counter()
        self._node, self._bag, self._choose, self._say = node, bag, choose, say
        self._seen: set[str] = set()
        self._timer = node.create_timer(LOOK_EVERY_S, self._look)
        self._look()

    def _look(self) -> None:
        chosen = set(self._choose(self._node)) - self._seen
        for topic, types in sorted(self._node.get_topic_names_and_types()):
            offered = self._node.get_publishers_info_by_topic(topic) if topic in chosen else []
            if not offered:
                continue  # a type and a quality of service are known only when somebody publishes
            self._seen.add(topic)
            try:
                if len(types) > 1:
                    raise BagError(f"it has several types: {', '.join(types)}")
                kind = message_class(types[0])
                connection = self._bag.add_topic(topic, types[0], recorded_qos(offered))
            except BagError as error:
                self._say(f"{topic} is not recorded: {error}")
                continue
            self.counts[topic] = 0
            self._node.create_subscription(
                kind, topic, partial(self._write, connection), listening_qos(offered), raw=True
            )
            self._say(f"recording {topic} ({types[0]})")

    def _write(self, connection: Connection, content: bytes, information: dict[str, Any]) -> None:
        # When DDS got it; this callback may come later. 0 where the middleware does not tell.
        self._bag.write(connection, information["received_timestamp"] or time.time_ns(), content)
        self.counts[connection.topic] += 1


def named_topics(topics: Collection[str]) -> Choice:
    """Exactly these, relative names in the root namespace."""
    absolute = {topic if topic.startswith("/") else f"/{topic}" for topic in topics}
    return lambda node: absolute


def all_topics(node: Node) -> Collection[str]:
    """All but hidden ones."""
    names = [name for name, _ in node.get_topic_names_and_types()]
    return [name for name in names if not any(part.startswith("_") for part in name.split("/"))]


def topics_of_node(name: str) -> Choice:
    """What a node listens to (camera, depth, queries), and the answers that search and evaluation read.

    Args:
        name: full name of the node, for example "/openseg".
    """
    # With several cameras the name of one stands between the node's name and the answer's.
    answer = re.compile(rf"{re.escape(name)}/(\w+/)?({'|'.join(ANSWERS)})")

    def choose(node: Node) -> Collection[str]:
        answers = {topic for topic, _ in node.get_topic_names_and_types() if answer.fullmatch(topic)}
        return answers | inputs_of_node(node, name)

    return choose


def inputs_of_node(node: Node, name: str) -> set[str]:
    """What the node with this full name listens to, as far as `node` sees it now."""
    namespace, _, own_name = name.rpartition("/")
    if (own_name, namespace or "/") not in node.get_node_names_and_namespaces():
        return set()
    inputs = node.get_subscriber_names_and_types_by_node(own_name, namespace or "/")
    return {topic for topic, _ in inputs} - set(EVERYWHERE)


def record(
    path: Path, choose: Choice, *, storage: Storage, compression: Compression, duration: float | None
) -> Counter[str]:
    """Record until Ctrl-C, SIGTERM or the end of `duration` seconds.

    Returns:
        Messages per topic.

    Raises:
        BagError: the bag cannot be written.
    """
    interruption = Interruption()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # rclpy's would end the subscriptions at once
    end = None if duration is None else time.monotonic() + duration
    with BagWriter(path, storage, compression) as bag:
        node = rclpy.create_node("openseg_recorder", start_parameter_services=False, enable_rosout=False)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        recorder = BagRecorder(node, bag, choose, lambda text: print(text, file=sys.stderr, flush=True))
        try:
            while not interruption.came and (end is None or time.monotonic() < end):
                executor.spin_once(timeout_sec=LOOK_EVERY_S)
            drained = time.monotonic() + LAST_MESSAGES_S
            while time.monotonic() < drained:
                executor.spin_once(timeout_sec=LAST_MESSAGES_S)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()
    return recorder.counts
