"""Ctrl-C ends the node with exit code 0 and no traceback, in every lifecycle state."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from lifecycle_msgs.srv import ChangeState
from ros.ros_peer import START_TIMEOUT_S, NodeStarter, Peer, wait_until


@pytest.fixture(autouse=True)
def leave_nothing_behind(start_node: NodeStarter) -> Iterator[None]:
    """A test that fails must not leave its node to the next one."""
    yield
    start_node.stop()


WAY_TO = {
    "unconfigured": (),
    "inactive": ("configure",),
    "active": ("configure", "activate"),
    "finalized": ("configure", "activate", "shutdown"),
}


@pytest.mark.parametrize("state", WAY_TO)
def test_interrupt_in_a_state(start_node: NodeStarter, options: list[str], peer: Peer, state: str) -> None:
    node = start_node(*options, "--no-autostart", "--queries", "cup")
    wait_until(lambda: peer.state() == "unconfigured", "the node", START_TIMEOUT_S)
    for transition in WAY_TO[state]:
        assert peer.change_state(transition)
    assert peer.state() == state
    assert node.interrupt() == 0, node.output()
    assert "Traceback" not in node.output() and "[ERROR]" not in node.output(), node.output()


def test_interrupt_while_configuring(start_node: NodeStarter, options: list[str], peer: Peer) -> None:
    node = start_node(*options, "--no-autostart", "--queries", "cup")
    wait_until(lambda: peer.state() == "unconfigured", "the node", START_TIMEOUT_S)
    client = peer.node.create_client(ChangeState, f"{peer.target}/change_state")
    wait_until(client.service_is_ready, "the service")
    request = ChangeState.Request()
    request.transition.label = "configure"
    answer = client.call_async(request)
    time.sleep(0.1)
    assert not answer.done(), "the node must still be configuring"
    assert node.interrupt() == 0, node.output()
    assert "Traceback" not in node.output(), node.output()
    peer.node.destroy_client(client)


def test_a_signal_between_look_and_wait_ends_spinning_quietly() -> None:
    """A context that ends after rclpy looked at it and before rclpy makes a wait set of it."""
    script = """
import rclpy, rclpy.executors
from openseg_ros.nodes.interrupt import spin
rclpy.init()
executor = rclpy.executors.SingleThreadedExecutor()
executor.add_node(rclpy.create_node("waiting"))
real = rclpy.executors._rclpy.WaitSet
rclpy.executors._rclpy.WaitSet = lambda *sizes: (rclpy.shutdown(), real(*sizes))
spin(executor)
print("ended")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr
