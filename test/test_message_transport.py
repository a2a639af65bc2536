"""Our messages over real DDS, from one process to another."""

import array
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from openseg_ros.msg import Region, RegionArray

ROOT = Path(__file__).resolve().parent.parent

SEND_REGIONS = """
import array, time, rclpy
from openseg_ros.msg import Region, RegionArray
rclpy.init()
node = rclpy.create_node("sender")
publisher = node.create_publisher(RegionArray, "regions", 2)
message = RegionArray(height=480, width=640, vocabulary_version=2**32 - 1, query="tasse à café")
message.status = RegionArray.AMBIGUOUS
message.embedding_space, message.embedding_dim = "tabletop/1a2b3c4d5e6f", 384
message.header.stamp.sec, message.header.stamp.nanosec = 1700000000, 999999999
message.header.frame_id = "camera_optical_frame"
message.embeddings = array.array("f", [i / 768 for i in range(768)])
first = Region(id=65534, label=3, phrase="red mug", score=0.75, margin=-0.25, mask_quality=0.5, area=12)
first.roi.x_offset, first.roi.y_offset, first.roi.width, first.roi.height = 630, 470, 4, 3
first.centroid.x = float("nan")
first.mask.height, first.mask.width, first.mask.step, first.mask.encoding = 3, 4, 4, "mono8"
first.mask.data = array.array("B", [0, 255] * 6)
message.regions = [first, Region(id=2)]
while True:
    publisher.publish(message)
    time.sleep(0.1)
"""


@pytest.fixture
def profile(domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which our launch file and command run."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds_shm.xml"))


@pytest.fixture
def node(profile: None) -> Iterator[Node]:
    """A node in a context of its own, so that it reads the profile."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("receiver", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def spin(node: Node, seconds: float, until: Callable[[], bool]) -> None:
    """Let `node` work until something is true, for `seconds` at most."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()


def start(script: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=os.environ)


def test_region_array_arrives_unchanged_from_another_process(node: Node) -> None:
    received: list[RegionArray] = []
    node.create_subscription(RegionArray, "regions", received.append, 2)
    sender = start(SEND_REGIONS)
    try:
        spin(node, 30, until=lambda: bool(received))
    finally:
        sender.kill()
        sender.wait()
    message = received[0]
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1700000000, 999999999)
    assert message.header.frame_id == "camera_optical_frame"
    assert (message.height, message.width, message.vocabulary_version) == (480, 640, 2**32 - 1)
    assert (message.query, message.status) == ("tasse à café", RegionArray.AMBIGUOUS)
    assert (message.embedding_space, message.embedding_dim) == ("tabletop/1a2b3c4d5e6f", 384)
    assert isinstance(message.embeddings, array.array)
    embeddings = np.frombuffer(message.embeddings, np.float32)
    np.testing.assert_array_equal(embeddings, (np.arange(768) / 768).astype(np.float32))
    first, second = message.regions
    assert (first.id, first.label, first.phrase, first.area) == (65534, 3, "red mug", 12)
    assert (first.score, first.margin, first.mask_quality) == (0.75, -0.25, 0.5)
    assert (first.roi.x_offset, first.roi.y_offset, first.roi.width, first.roi.height) == (630, 470, 4, 3)
    assert np.isnan(first.centroid.x)
    assert bytes(first.mask.data) == bytes([0, 255] * 6)
    assert (second.id, second.phrase, second.mask.height) == (2, "", 0)


def test_status_numbers_are_those_of_the_contract() -> None:
    names = ("OK", "NO_QUERY", "NOT_FOUND", "AMBIGUOUS", "DEGRADED")
    assert [getattr(RegionArray, name) for name in names] == [0, 1, 2, 3, 4]
    assert Region().score == 0.0
