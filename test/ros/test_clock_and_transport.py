"""Simulated time that jumps, images that are too old, the compressed transport, names and remapping."""

from __future__ import annotations

import array
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from ros.ros_peer import (
    BEST_EFFORT,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    parameter_file,
    picture,
    wait_until,
    wait_until_active,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from openseg_ros.msg import RegionArray
from openseg_ros.nodes.image_codec import encode_jpeg

AGE_LIMIT_S = 0.5


@pytest.fixture(scope="module")
def peer(domain: int) -> Iterator[Peer]:
    other = Peer(domain, node_name="/arm/eye")
    yield other
    other.close()


@pytest.fixture(scope="module")
def node(
    start_node: NodeStarter,
    model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    peer: Peer,
) -> NodeProcess:
    parameters = parameter_file(tmp_path_factory.mktemp("parameters"), max_image_age_s=AGE_LIMIT_S)
    process = start_node(
        *("--weights", str(model_folder), "--backend", "torch", "--params-file", parameters),
        *("--image-transport", "compressed", "--use-sim-time", "--queries", "cup", "--no-overlay"),
        *("--namespace", "arm", "--name", "eye", "--image", "/camera/color/image_raw"),
    )
    wait_until_active(peer, process)
    return process


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> Any:
    return peer.publisher(CompressedImage, "/camera/color/image_raw/compressed")


@pytest.fixture(scope="module")
def clock(node: NodeProcess, peer: Peer) -> Any:
    return peer.publisher(Clock, "/clock")


@pytest.fixture(scope="module")
def regions(node: NodeProcess, peer: Peer) -> Recorder:
    return peer.record(RegionArray, "/arm/eye/regions")


def test_compressed_images_are_read_as_raw_ones_are(peer: Peer, node: NodeProcess) -> None:
    (found,) = peer.node.get_subscriptions_info_by_topic("/camera/color/image_raw/compressed")
    assert found.topic_type == "sensor_msgs/msg/CompressedImage"
    assert found.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
    assert found.qos_profile.durability is DurabilityPolicy.VOLATILE
    assert peer.node.count_subscribers("/camera/color/image_raw") == 0


def set_clock(peer: Peer, clock: Any, diagnostics: Recorder, seconds: int) -> None:
    """Publish /clock and wait until the node lives in that time (diagnostics are stamped with it)."""
    message = Clock()
    message.clock.sec = seconds

    def arrived() -> bool:
        clock.publish(message)
        return bool(diagnostics.messages) and diagnostics.messages[-1].header.stamp.sec == seconds

    wait_until(arrived, f"the node's time is {seconds}")


def stamped(seconds: float) -> Header:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = int(seconds), round(seconds % 1 * 1e9)
    return header


def test_old_images_are_dropped_and_young_ones_answered(
    peer: Peer, camera: Any, clock: Any, regions: Recorder, diagnostics: Recorder
) -> None:
    set_clock(peer, clock, diagnostics, 100)
    camera.publish(encode_jpeg(picture(), stamped(98.0)))
    wait_until(lambda: peer.status(diagnostics).get("images_dropped.too_old") == "1", "the old image is counted")
    assert not regions.messages
    young = stamped(99.75)
    camera.publish(encode_jpeg(picture(), young))
    wait_until(lambda: regions.with_stamp(young), "an answer to the young image")


def test_clock_jumps_back(
    peer: Peer, node: NodeProcess, camera: Any, clock: Any, regions: Recorder, diagnostics: Recorder
) -> None:
    set_clock(peer, clock, diagnostics, 1000)
    for seconds in (1000, 1001, 1002, 10, 11, 12):
        set_clock(peer, clock, diagnostics, seconds)
        header = stamped(seconds)
        camera.publish(encode_jpeg(picture(), header))
        wait_until(lambda: regions.with_stamp(header), f"an answer at {seconds} s")  # noqa: B023
    future = stamped(500.0)  # the camera's clock has not jumped yet
    camera.publish(encode_jpeg(picture(), future))
    wait_until(lambda: regions.with_stamp(future), "an answer to an image from the future")
    unstamped = Header()
    camera.publish(encode_jpeg(picture(), unstamped))
    wait_until(lambda: regions.with_stamp(unstamped), "an answer to an image without a stamp")
    assert node.is_alive() and "[ERROR]" not in node.output()


@pytest.mark.parametrize(
    ("name", "data", "cause"),
    [
        ("jpeg", b"", "unsupported_encoding"),
        ("jpeg", b"not a picture", "unsupported_encoding"),
        ("jpeg", b"\xff\xd8\xff\xe0", "short_data"),
        ("16UC1; png compressed ", None, "unsupported_encoding"),
        ("jpeg", "cut", "short_data"),
    ],
)
def test_bad_compressed_images(
    peer: Peer,
    node: NodeProcess,
    camera: Any,
    regions: Recorder,
    diagnostics: Recorder,
    name: str,
    data: bytes | str | None,
    cause: str,
) -> None:
    key = f"bad_input.{cause}"
    before = int(peer.fresh_status(diagnostics).get(key, 0))
    whole = bytes(encode_jpeg(picture(), Header()).data)
    content = whole if data is None else whole[: len(whole) // 2] if data == "cut" else data
    assert isinstance(content, bytes)
    camera.publish(CompressedImage(header=Header(), format=name, data=array.array("B", content)))
    wait_until(lambda: int(peer.status(diagnostics).get(key, 0)) == before + 1, f"{key} rises")
    header = peer.stamp()
    header.stamp.sec = 2_000_000_000  # from the future: never too old
    camera.publish(encode_jpeg(picture(), header))
    wait_until(lambda: regions.with_stamp(header), "an answer after the bad image")
    assert node.is_alive()


def test_png_pictures_are_read(peer: Peer, camera: Any, regions: Recorder) -> None:
    _, png = cv2.imencode(".png", np.ascontiguousarray(picture()[..., ::-1]))
    header = peer.stamp()
    header.stamp.sec = 2_000_000_001
    message = CompressedImage(header=header, format="rgb8; png compressed bgr8", data=array.array("B", png.tobytes()))
    camera.publish(message)
    answer = wait_until(lambda: regions.with_stamp(header), "an answer")[0]
    assert (answer.height, answer.width) == (120, 160)


def test_without_overlay_none_is_drawn(peer: Peer, camera: Any, regions: Recorder) -> None:
    overlay = peer.record(Image, "/arm/eye/overlay", BEST_EFFORT)
    time.sleep(0.3)
    header = peer.stamp()
    header.stamp.sec = 2_000_000_002
    camera.publish(encode_jpeg(picture(), header))
    wait_until(lambda: regions.with_stamp(header), "an answer")
    time.sleep(0.3)
    assert not overlay.messages


def test_termination_is_clean(node: NodeProcess) -> None:
    """The last test."""
    assert node.interrupt(signal.SIGTERM) == 0, node.output()
    assert "Traceback" not in node.output()
