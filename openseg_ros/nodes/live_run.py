"""Plays a recorded camera into a node and records what it answers: a run of today on images of then."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from openseg_ros.bags.bag_format import Compression, Storage
from openseg_ros.bags.message_types import COMPRESSED_IMAGE, IMAGE
from openseg_ros.bags.reading import open_bag
from openseg_ros.bags.recorded_images import camera_topics
from openseg_ros.bags.writing import BagWriter
from openseg_ros.nodes.bag_player import BagPlayer
from openseg_ros.nodes.bag_recorder import BagRecorder, inputs_of_node, topics_of_node
from openseg_ros.nodes.interrupt import let_rclpy_end, spin

START_TIMEOUT_S = 900.0  # the first start may compile an engine
CONNECT_TIMEOUT_S = 20.0
QUIET_S = 3.0  # without an answer after the last image: there will be no more
MATCHING_S = 0.5  # until publishers know a new subscriber; outputs that nobody listens to are not computed
END_TIMEOUT_S = 20.0
POLL_S = 0.1
CANNOT_CONFIGURE = "cannot configure: "  # what the node's log says then


class LiveRunError(RuntimeError):
    """There is no node to play to, or it does not answer; the message says what to do."""


@dataclass(frozen=True)
class OwnNode:
    """A node to start for the run."""

    weights: str
    queries: str  # as `openseg run --queries` takes them; empty: the bag has queries


def run_live(bag: Path, recording: Path, node_name: str, own: OwnNode | None, camera: str | None) -> None:
    """Play what the node listens to, and record that together with its answers.

    Args:
        bag: has the camera's topics.
        recording: bag folder to write.
        node_name: full name of the node, for example "/openseg"; "/openseg/wrist" for one of its several cameras.
        own: start this one under that name; None: one is running.
        camera: topic of the images, if a node is started and the bag has several.

    Raises:
        BagError: a bag cannot be read or written.
        LiveRunError: no node, nothing that it listens to in the bag, or no answers.
    """
    signal.signal(signal.SIGINT, let_rclpy_end)
    rclpy.init()
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        node = rclpy.create_node("openseg_evaluation", start_parameter_services=False, enable_rosout=False)
        stack.callback(node.destroy_node)
        check = stack.enter_context(_started(own, node, node_name, bag, camera)) if own is not None else _nothing
        played = _wait_for_inputs(node, node_name, bag, check, CONNECT_TIMEOUT_S if own is None else START_TIMEOUT_S)
        asked = node_name if inputs_of_node(node, node_name) else _parent(node_name)
        writer = stack.enter_context(BagWriter(recording, Storage.MCAP, Compression.NONE))
        recorder = BagRecorder(node, writer, topics_of_node(asked), say=lambda text: None)
        stack.enter_context(_spinning(node))
        player = BagPlayer(bag, node, played, say=lambda text: None)
        answers, states = f"{node_name}/regions", f"{asked}/query_state"
        _wait(
            node,
            lambda: (
                answers in recorder.counts
                and recorder.counts[states] > 0
                and all(topic.get_subscription_count() > 1 for topic in player.publishers.values())
            ),
            CONNECT_TIMEOUT_S,
            f"{node_name} listens to {', '.join(played)}, but it could not be connected with them",
        )
        time.sleep(MATCHING_S)
        player.play()
        count, since = 0, time.monotonic()
        while node.context.ok() and time.monotonic() - since < QUIET_S:
            check()
            if recorder.counts[answers] != count:
                count, since = recorder.counts[answers], time.monotonic()
            time.sleep(POLL_S)
        if not node.context.ok():
            raise LiveRunError("interrupted")
        player.close()
        if not count:
            raise LiveRunError(f"{node_name} has answered none of the images on {', '.join(played)}")


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _inputs(node: Node, name: str) -> set[str]:
    """What a node listens to, or the node whose camera has this name."""
    return inputs_of_node(node, name) or inputs_of_node(node, _parent(name))


def _nothing() -> None:
    """A node that somebody else has started is not watched."""


def _wait(node: Node, condition: Callable[[], bool], timeout: float, failure: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if not node.context.ok():
            raise LiveRunError("interrupted")
        if time.monotonic() > deadline:
            raise LiveRunError(failure)
        time.sleep(POLL_S)


def _wait_for_inputs(node: Node, name: str, bag: Path, check: Callable[[], None], timeout: float) -> list[str]:
    """The topics of the bag that the node listens to, as soon as these are all that it will listen to."""
    with open_bag(bag) as reader:
        recorded = {connection.topic: connection.msgtype for connection in reader.connections if connection.msgcount}
    found: set[str] = set()

    def is_complete() -> bool:
        nonlocal found
        check()
        before, found = found, _inputs(node, name) & set(recorded)
        return before == found and any(recorded[topic] in (IMAGE, COMPRESSED_IMAGE) for topic in found)

    _wait(
        node,
        is_complete,
        timeout,
        f"no active node {name} listens to images of '{bag}', which has {', '.join(sorted(recorded))}: start one with "
        "`openseg run --image TOPIC`, or let this command start one by --weights",
    )
    return sorted(found)


@contextmanager
def _spinning(node: Node) -> Iterator[None]:
    """Run the node's callbacks in a thread."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=spin, args=(executor,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join()


@contextmanager
def _started(own: OwnNode, node: Node, name: str, bag: Path, camera: str | None) -> Iterator[Callable[[], None]]:
    """Start `openseg run`, and end it; what is yielded raises if the node has failed."""
    namespace, _, own_name = name.rpartition("/")
    time.sleep(MATCHING_S)  # until the names of other nodes are known
    if (own_name, namespace or "/") in node.get_node_names_and_namespaces():
        raise LiveRunError(f"a node {name} is running: leave --weights out to evaluate it, or choose another --node")
    options = ["--name", own_name, "--namespace", namespace, "--weights", own.weights, "--queries", own.queries]
    options += _camera_options(bag, name, camera)
    command = [sys.executable, "-c", "from openseg_ros.cli.main import app; app()", "run", *options]
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

        def check() -> None:
            said = Path(log.name).read_text(encoding="utf-8", errors="replace")
            _, found, reason = said.partition(CANNOT_CONFIGURE)
            if found:
                raise LiveRunError(f"the node cannot be configured: {reason.splitlines()[0]}")
            if process.poll() is not None:
                raise LiveRunError(f"the node has ended with {process.returncode}; it said:\n{said[-2000:]}")

        try:
            yield check
        finally:
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _camera_options(bag: Path, node_name: str, camera: str | None) -> list[str]:
    """What tells `openseg run` where the bag's colour images will be."""
    with open_bag(bag) as reader:
        images = {connection.topic: connection.msgtype for connection in camera_topics(reader, f"{node_name}/regions")}
    if camera is None and len(images) != 1:
        names = ", ".join(sorted(images)) or "none"
        raise LiveRunError(f"choose one topic with colour images by --camera; '{bag}' has {names}")
    topic = next(iter(images)) if camera is None else camera
    if topic not in images:
        raise LiveRunError(f"'{bag}' has no colour images on {topic}; it has them on {', '.join(sorted(images))}")
    if images[topic] == IMAGE:
        return ["--image", topic]
    if not topic.endswith("/compressed"):
        raise LiveRunError(f"{topic} has compressed images, but its name does not end with /compressed")
    return ["--image", topic.removesuffix("/compressed"), "--image-transport", "compressed"]
