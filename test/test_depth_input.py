"""Which depth belongs to an image, however long its answer takes."""

from __future__ import annotations

import time
from threading import Timer

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from ros.depth_rig import intrinsics, metres
from std_msgs.msg import Header

from openseg_ros.nodes.counters import ImageCounters
from openseg_ros.nodes.depth_input import DepthInput, DepthOfImage

SIZE = (4, 6)
SLOP_S = 0.02
LONG_S = 20.0  # nobody waits so long where nothing is to come


def at(seconds: float) -> Header:
    header = Header()
    header.stamp.sec, header.stamp.nanosec = int(seconds), round(seconds % 1 * 1e9)
    return header


class Camera:
    """Sends depth whose value in metres is its number."""

    def __init__(self) -> None:
        self.counters = ImageCounters(lambda text: None)
        self.depth = DepthInput(self.counters)
        self.depth.on_camera_info(intrinsics(SIZE, 5.0))

    def send(self, number: int, seconds: float) -> None:
        self.depth.on_depth(serialize_message(metres(np.full(SIZE, number, np.float32), at(seconds))))


@pytest.fixture
def camera() -> Camera:
    return Camera()


def number(depth: DepthOfImage, slop_s: float = SLOP_S) -> int | None:
    """Of the depth image that was chosen; None for none."""
    points = depth.points(SIZE, slop_s=slop_s, scale=0.001)
    return None if points is None else int(points.z[0, 0])


@pytest.mark.parametrize("hertz", [30, 90])
def test_an_answer_that_takes_seconds_still_has_its_depth(camera: Camera, hertz: int) -> None:
    camera.send(1, 10.0)
    early = camera.depth.of(at(10.0))
    late = camera.depth.of(at(10.1))  # its depth comes after it
    for index in range(5 * hertz):
        camera.send(100 + index, 10.0 + (index + 1) / hertz)
    assert number(early) == 1
    assert number(late) == 100 + hertz // 10 - 1
    assert not camera.counters.counts().bad_input


def test_the_nearest_is_chosen_and_nothing_is_waited_for_once_a_later_one_is_there(camera: Camera) -> None:
    for index, seconds in enumerate((9.97, 10.004, 10.037)):
        camera.send(index, seconds)
    begun = time.monotonic()
    assert number(camera.depth.of(at(10.0)), slop_s=LONG_S) == 1
    assert time.monotonic() - begun < LONG_S / 2


def test_depth_that_is_late_is_waited_for(camera: Camera) -> None:
    camera.send(1, 9.967)
    depth = camera.depth.of(at(10.0))
    Timer(0.2, camera.send, (2, 10.0)).start()
    assert number(depth, slop_s=LONG_S) == 2


def test_after_a_bag_has_looped_depth_of_the_lap_before_is_not_taken(camera: Camera) -> None:
    camera.send(1, 10.0)
    camera.send(2, 69.9)
    depth = camera.depth.of(at(10.0))
    camera.send(3, 10.0)
    assert number(depth) == 3


def test_depth_of_another_time_is_counted_and_missing_depth_is_not(camera: Camera) -> None:
    assert number(camera.depth.of(at(10.0))) is None
    assert not camera.counters.counts().bad_input, "no depth camera is no fault"
    depth = camera.depth.of(at(10.0))
    camera.send(1, 10.5)
    assert number(depth) is None
    counts = camera.counters.counts()
    assert counts.bad_input == {"depth_other_time": 1} and counts.depth_images == 1
