"""An output that nobody subscribes to costs nothing. A module of its own: here nobody has subscribed to any before."""

from __future__ import annotations

import time

from ros.ros_peer import RELIABLE, NodeProcess, Peer, Recorder, picture, wait_until
from sensor_msgs.msg import Image

IDLE = "images_dropped.nobody_subscribes"


def test_without_subscribers_nothing_is_computed(node: NodeProcess, peer: Peer, diagnostics: Recorder) -> None:
    camera = peer.publisher(Image, "/image", RELIABLE)

    def five_are_idle() -> bool:
        camera.publish(peer.image(picture()))
        time.sleep(0.05)
        return bool(diagnostics.messages) and int(peer.status(diagnostics).get(IDLE, 0)) >= 5

    wait_until(five_are_idle, "images that nobody wants are counted")
    idle = peer.fresh_status(diagnostics)
    assert idle["images_processed"] == "0"
    target_only = peer.record(Image, "/openseg/target_mask")
    message = peer.image(picture())
    camera.publish(message)
    wait_until(lambda: target_only.with_stamp(message.header), "the one output that is subscribed to")
    status = peer.fresh_status(diagnostics)
    assert status["images_processed"] == "1"
    assert int(status["network_runs"]) == int(idle["network_runs"]) + 1  # which ran before only to warm up
