"""Publishes a bag's messages at the pace at which they were recorded, without decoding them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock

from openseg_ros.bags.bag_error import BagError
from openseg_ros.bags.reading import open_bag
from openseg_ros.nodes.bag_topics import message_class, replayed_qos
from openseg_ros.nodes.interrupt import let_rclpy_end

CLOCK_PERIOD_S = 0.01  # 100 Hz, as simulators do
DELIVERY_TIMEOUT_S = 5.0  # for what reliable subscribers have not taken when the bag ends


class BagPlayer:
    """The publishers of a bag's topics, in a node that need not be spun."""

    def __init__(
        self, bag: Path, node: Node, topics: Collection[str] = (), *, clock: bool = False, say: Callable[[str], None]
    ) -> None:
        """Create the publishers, with the recorded quality of service.

        Args:
            bag: bag folder or file.
            node: gets the publishers.
            topics: those to play; empty: all.
            clock: publish /clock, for nodes with use_sim_time.
            say: told which topics cannot be played, and why.

        Raises:
            BagError: no readable bag, a topic that it does not have, or nothing to play.
        """
        self._bag, self._node = bag, node
        self.publishers: dict[str, Publisher] = {}
        with open_bag(bag) as reader:
            recorded = {connection.topic for connection in reader.connections}
            missing = sorted(set(topics) - recorded)
            if missing:
                raise BagError(f"'{bag}' has no topic {', '.join(missing)}; it has {', '.join(sorted(recorded))}")
            for connection in _played(reader, topics or recorded):
                try:
                    kind = message_class(connection.msgtype)
                except BagError as error:
                    say(f"{connection.topic} is not played: {error}")
                    continue
                qos = replayed_qos(connection.ext.offered_qos_profiles)  # type: ignore[union-attr]
                self.publishers[connection.topic] = node.create_publisher(kind, connection.topic, qos)
        if not self.publishers:
            raise BagError(f"'{bag}' has no message to play")
        self._clock = node.create_publisher(Clock, "/clock", 1) if clock and "/clock" not in self.publishers else None

    def wait_for_subscribers(self, timeout: float) -> list[str]:
        """Wait until somebody listens to every topic; the topics to which nobody does after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (lonely := _without_subscriber(self.publishers.values())) and time.monotonic() < deadline:
            if not self._node.context.ok():
                break
            time.sleep(0.01)
        return lonely

    def play(self, rate: float = 1.0, on_message: Callable[[str, int], None] | None = None) -> int:
        """Play the bag once.

        Args:
            rate: 2.0 plays twice as fast as recorded.
            on_message: told topic and recording time (ns) after each message.

        Returns:
            The number of messages published; fewer than the bag has if the ROS context ended.

        Raises:
            BagError: the bag is damaged.
        """
        count = 0
        with open_bag(self._bag) as reader:
            connections = _played(reader, self.publishers)
            began: float | None = None
            first = 0
            for connection, recorded, content in reader.messages(connections):
                if began is None:
                    began, first = time.monotonic(), recorded
                if not self._wait(began, first, recorded, rate):
                    return count
                self.publishers[connection.topic].publish(bytes(content))
                count += 1
                if on_message is not None:
                    on_message(connection.topic, recorded)
        return count

    def _wait(self, began: float, first: int, recorded: int, rate: float) -> bool:
        """Sleep until a message is due, and say the time meanwhile; whether the ROS context still lives."""
        due = began + (recorded - first) * 1e-9 / rate
        while self._node.context.ok():
            left = due - time.monotonic()
            if self._clock is not None:
                now = recorded - round(max(0.0, left) * rate * 1e9)
                message = Clock()
                message.clock.sec, message.clock.nanosec = divmod(now, 10**9)
                self._clock.publish(message)
            if left <= 0:
                return True
            time.sleep(min(left, CLOCK_PERIOD_S))
        return False

    def close(self) -> None:
        """Let reliable subscribers take what is still on its way, and remove the publishers."""
        for publisher in self.publishers.values():
            if self._node.context.ok():
                publisher.wait_for_all_acked(Duration(seconds=DELIVERY_TIMEOUT_S))
            self._node.destroy_publisher(publisher)
        if self._clock is not None:
            self._node.destroy_publisher(self._clock)


def replay(
    bag: Path,
    topics: Collection[str],
    *,
    rate: float,
    loop: bool,
    clock: bool,
    wait: float,
    say: Callable[[str], None],
) -> int:
    """Play a bag in a node of its own, once or (`loop`) until Ctrl-C; the number of messages published.

    Raises:
        BagError: see `BagPlayer`.
    """
    signal.signal(signal.SIGINT, let_rclpy_end)
    rclpy.init()
    node = rclpy.create_node("openseg_player", start_parameter_services=False, enable_rosout=False)
    count = 0
    try:
        player = BagPlayer(bag, node, topics, clock=clock, say=say)
        lonely = player.wait_for_subscribers(wait)
        if lonely:
            say(f"nobody listens to {', '.join(sorted(lonely))}")
        while rclpy.ok():
            count += player.play(rate)
            if not loop:
                break
            time.sleep(CLOCK_PERIOD_S)  # a bag of one message has no duration, and must not flood the network
        player.close()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return count


def _played(reader: Reader, topics: Collection[str]) -> list[Connection]:
    return [connection for connection in reader.connections if connection.topic in topics and connection.msgcount]


def _without_subscriber(publishers: Iterable[Publisher]) -> list[str]:
    return [publisher.topic_name for publisher in publishers if publisher.get_subscription_count() == 0]
