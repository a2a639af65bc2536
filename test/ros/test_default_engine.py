"""The default engine in the node, with the shipped weights."""

from __future__ import annotations

import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from ros.ros_peer import BEST_EFFORT, NodeStarter, Peer, picture, wait_until, wait_until_active
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
    assert 0.5 < median <= worst < 5000
    assert node.interrupt() == 0
