"""The default engine in the node, with the shipped weights."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.time import Time
from ros.ros_peer import BEST_EFFORT, RELIABLE, NodeStarter, Peer, picture, wait_until, wait_until_active
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import RegionArray
from openseg_ros.runtime.weights import load_weights
from openseg_ros.share_directory import share_directory

RATE_HZ = 5.0
IMAGES = 25


def test_default_engine_at_camera_size(start_node: NodeStarter, peer: Peer, model_folder: Path) -> None:
    """With the shipped weights where they exist; all defaults of the engine; figures in diagnostics are plausible."""
    shipped = share_directory() / "models" / "tabletop"
    source = "tabletop" if (shipped / "model.safetensors").is_file() else str(model_folder)
    node = start_node("--weights", source, "--queries", "red mug; bowl")
    wait_until_active(peer, node)
    camera = peer.publisher(Image, "/image", BEST_EFFORT)
    regions = peer.record(RegionArray, "/openseg/regions")
    mask = peer.record(Image, "/openseg/mask")
    delays: list[float] = []  # milliseconds from the stamp to the last output

    def arrived(message: Image) -> None:
        delays.append((peer.node.get_clock().now() - Time.from_msg(message.header.stamp)).nanoseconds / 1e6)

    peer.node.create_subscription(Image, "/openseg/mask", arrived, RELIABLE)
    diagnostics = peer.record(DiagnosticArray, "/diagnostics")
    frame = picture(0, (480, 640))
    for _ in range(IMAGES):
        header = Header(stamp=peer.node.get_clock().now().to_msg())
        camera.publish(peer.image(frame, header))
        time.sleep(1 / RATE_HZ)
    wait_until(lambda: len(regions.messages) > IMAGES // 2, "most images are answered")
    wait_until(lambda: len(mask.messages) == len(regions.messages), "as many masks as region arrays")
    answer = regions.messages[-1]
    assert (answer.height, answer.width, answer.query) == (480, 640, "red mug")
    assert answer.embedding_space == load_weights(source).embedding_space
    assert decode_ids(mask.messages[-1]).shape == (480, 640)
    status = peer.fresh_status(diagnostics)
    assert status["backend"].startswith("openvino")
    median, worst = (float(status[f"latency_stamp_to_publish_ms.p{part}"]) for part in (50, 99))
    # What a message needs on its way, and until this process reads it, is in one of the two only.
    assert median == pytest.approx(np.percentile(delays, 50), rel=0.2, abs=20)
    assert worst == pytest.approx(np.percentile(delays, 99), rel=0.2, abs=100)
    stamps = [Time.from_msg(message.header.stamp).nanoseconds / 1e9 for message in diagnostics.messages]
    assert len(stamps) > 4 and np.median(np.diff(stamps)) == pytest.approx(1.0, abs=0.1), "1 Hz by default (REP 107)"
    assert node.interrupt() == 0
