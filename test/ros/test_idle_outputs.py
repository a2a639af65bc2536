"""An output that nobody subscribes to costs nothing. A module of its own: here nobody has subscribed to any before."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray
from ros.ros_peer import BEST_EFFORT, RELIABLE, NodeProcess, Peer, Recorder, picture, wait_until
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


def test_for_pictures_alone_the_network_runs_once_each(node: NodeProcess, peer: Peer, diagnostics: Recorder) -> None:
    """Images come all the time, also while a picture is drawn: only those that become pictures are processed."""
    peer.destroy_subscriptions()
    diagnostics = peer.record(DiagnosticArray, "/diagnostics")
    before = peer.fresh_status(diagnostics)
    camera = peer.publisher(Image, "/image", RELIABLE)
    pictures = peer.record(Image, "/openseg/overlay", BEST_EFFORT)

    def five_are_drawn() -> bool:
        camera.publish(peer.image(picture()))
        time.sleep(0.01)
        return len(pictures.messages) >= 5

    wait_until(five_are_drawn, "five pictures")
    drawn = len(pictures.messages)
    ran = int(peer.fresh_status(diagnostics)["network_runs"]) - int(before["network_runs"])
    assert drawn <= ran <= drawn + 1, f"{ran} runs for {drawn} pictures"
