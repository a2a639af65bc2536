"""The test's side of the conversation with the node: a process handle and a ROS node of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from openseg_ros.msg import QueryState
from openseg_ros.nodes.image_codec import encode_image

RUN = "import typer; from openseg_ros.cli.run import run; typer.run(run)"
OPENSEG = "from openseg_ros.cli.main import app; app()"
START_TIMEOUT_S = 120.0  # a loaded machine needs half a minute to import torch
END_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 15.0
MATCHING_S = 0.2
ASK_AGAIN_S = 5.0
DIAGNOSTICS_PERIOD_S = 0.1

BEST_EFFORT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=50,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def parameter_file(folder: Path, **parameters: object) -> str:
    """Path of a parameter file; diagnostics come ten times as often as by default, because tests wait for them."""
    file = folder / "openseg.yaml"
    values = {"diagnostics_period_s": DIAGNOSTICS_PERIOD_S, **parameters}
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    return str(file)


def wait_until(condition: Callable[[], Any], what: str, timeout: float = ANSWER_TIMEOUT_S) -> Any:
    """The first true value of `condition`; fails the test with `what` if there is none in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    pytest.fail(f"not within {timeout} s: {what}")


@dataclass
class NodeProcess:
    """The node as a child process; its log goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """Everything that the process has written."""
        return self.log.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def resident_megabytes(self) -> float:
        """Resident memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def count(self, what: str) -> int:
        """How many threads ("task") or open files ("fd") the process has."""
        return len(os.listdir(f"/proc/{self.process.pid}/{what}"))

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait(END_TIMEOUT_S)

    def wait(self, timeout: float) -> int:
        """The exit code; fails the test, saying where each thread of the process was, if there is none in time."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler writes the stacks
            self.process.wait()
            pytest.fail(f"not ended within {timeout} s:\n{self.output()}")


class NodeStarter:
    """Starts nodes in a ROS domain; `stop` ends those that still run."""

    def __init__(self, domain: int, log_folder: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """`environment` is added to that of the test."""
        python = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
        self._environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), **python, **environment}
        self._log_folder = log_folder
        self._started: list[NodeProcess] = []

    def __call__(self, *options: str, program: str = RUN) -> NodeProcess:
        """Start `openseg run`, or another Python program, with `options`."""
        log = self._log_folder / f"node_{len(self._started)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *options],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=Path(__file__).resolve().parents[2],
            )
        self._started.append(NodeProcess(process, log))
        return self._started[-1]

    def stop(self) -> None:
        """End what a test has left running; asked politely first, so that other nodes learn of it."""
        for node in self._started:
            if node.is_alive():
                node.process.terminate()
                try:
                    node.process.wait(10.0)
                except subprocess.TimeoutExpired:
                    node.process.kill()
                    node.process.wait()


CommandStarter = Callable[..., NodeProcess]  # of `openseg` with any arguments, in the tests' ROS domain


@dataclass
class Recorder:
    """Keeps the messages of one topic."""

    messages: list[Any] = field(default_factory=list)

    def with_stamp(self, header: Header) -> list[Any]:
        """The messages with the stamp of `header`."""
        return [message for message in self.messages if message.header.stamp == header.stamp]


class Peer:
    """The test's own ROS node: publishes images and queries, records answers. Spins in a thread."""

    def __init__(self, domain: int, name: str = "test_peer", node_name: str = "/openseg") -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node(name, context=self.context)
        self.target = node_name
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self._stamp = 1_000
        self._clients: dict[str, Any] = {}
        self._senders: dict[str, Any] = {}

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except Exception:
            if self.context.ok():
                raise

    def close(self) -> None:
        """Leave the ROS graph: a node that is only forgotten stays subscribed, and the next module meets it."""
        self.context.try_shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()

    def publisher(self, message_type: type, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        """A publisher that is connected to one subscriber."""
        publisher = self.node.create_publisher(message_type, topic, qos)
        wait_until(lambda: publisher.get_subscription_count() > 0, f"a subscriber of {topic}")
        # The subscriber learns of us a moment later; until then it throws best-effort data away.
        time.sleep(MATCHING_S)
        return publisher

    def sender(self, message_type: type, topic: str) -> Any:
        """The publisher that the peer keeps for `topic`."""
        if topic not in self._senders:
            self._senders[topic] = self.publisher(message_type, topic)
        sender = self._senders[topic]
        wait_until(lambda: sender.get_subscription_count() > 0, f"a subscriber of {topic}")
        return sender

    def record(self, message_type: type, topic: str, qos: QoSProfile = RELIABLE) -> Recorder:
        """A recorder that is connected to one publisher."""
        recorder = Recorder()
        subscription = self.node.create_subscription(message_type, topic, recorder.messages.append, qos)
        name = subscription.topic_name
        wait_until(lambda: self.node.count_publishers(name) > 0, f"a publisher of {topic}", START_TIMEOUT_S)
        time.sleep(MATCHING_S)  # until the publisher knows us, to which an output without subscribers is no work
        return recorder

    def destroy_subscriptions(self) -> None:
        """Unsubscribe from everything that `record` subscribed to."""
        for subscription in list(self.node.subscriptions):
            self.node.destroy_subscription(subscription)

    def call(self, service_type: type, name: str, request: Any, timeout: float = ANSWER_TIMEOUT_S) -> Any:
        """The answer of a service."""
        client = self._client(service_type, name)
        future = client.call_async(request)
        wait_until(future.done, f"answer of {name}", timeout)
        return future.result()

    def _client(self, service_type: type, name: str) -> Any:
        """One client per service: Fast DDS loses answers to a client that the server has not discovered yet."""
        if name not in self._clients:
            client = self._clients[name] = self.node.create_client(service_type, name)
            wait_until(client.service_is_ready, f"service {name}", START_TIMEOUT_S)
            time.sleep(MATCHING_S)
        wait_until(self._clients[name].service_is_ready, f"service {name}", START_TIMEOUT_S)
        return self._clients[name]

    def change_state(self, label: str) -> bool:
        """Ask for a lifecycle transition; whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = label
        response = self.call(ChangeState, f"{self.target}/change_state", request, START_TIMEOUT_S)
        return bool(response.success)

    def state(self) -> str:
        """Label of the node's lifecycle state.

        Asks again every few seconds, because it is mostly the first question to a node that has just started.
        """
        answers: list[Any] = []
        asked = float("-inf")

        def answered() -> Any:
            nonlocal asked
            if time.monotonic() - asked > ASK_AGAIN_S:
                answers.append(self._client(GetState, f"{self.target}/get_state").call_async(GetState.Request()))
                asked = time.monotonic()
            return next((answer for answer in answers if answer.done()), None)

        future = wait_until(answered, f"the state of {self.target}", START_TIMEOUT_S)
        return str(future.result().current_state.label)

    def set_parameter(self, name: str, value: object) -> str:
        """Set one parameter of the node; the reason of a refusal, or an empty text."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, f"{self.target}/set_parameters", request).results[0]
        return "" if result.successful else str(result.reason)

    def stamp(self) -> Header:
        """A header that no other image has."""
        self._stamp += 1
        header = Header(frame_id="camera_color_optical_frame")
        header.stamp.sec, header.stamp.nanosec = self._stamp, 123_456_789
        return header

    def image(self, rgb: np.ndarray, header: Header | None = None) -> Image:
        """An rgb8 message."""
        return encode_image(rgb, "rgb8", header if header is not None else self.stamp())

    def status(self, recorder: Recorder, title: str = "segmentation") -> dict[str, str]:
        """Keys and values of the newest diagnostics of the node or, by title, of a camera, with "level", "message"."""
        name = f"{self.target.lstrip('/')}: {title}"
        for array in reversed(recorder.messages):
            for status in array.status:
                if status.name == name:
                    values = {pair.key: pair.value for pair in status.values}
                    return values | {"level": str(status.level[0]), "message": status.message}
        return {}

    def fresh_status(self, recorder: Recorder, title: str = "segmentation") -> dict[str, str]:
        """Diagnostics that began after this call."""
        seen = len(recorder.messages)
        wait_until(lambda: len(recorder.messages) >= seen + 2, "diagnostics")
        return self.status(recorder, title)


def picture(seed: int = 0, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """(H, W, 3) uint8: coloured rectangles on grey, so that a network sees edges and areas."""
    random = np.random.default_rng(seed)
    rgb = np.full((*size, 3), 90, np.uint8)
    for _ in range(6):
        y, x = (int(random.integers(0, side * 3 // 4)) for side in size)
        height, width = (int(random.integers(side // 8, side // 3)) for side in size)
        rgb[y : y + height, x : x + width] = random.integers(0, 256, 3)
    return rgb


def wait_until_active(peer: Peer, node: NodeProcess) -> None:
    """Wait until the node processes images; fails with its log if it died."""
    end = time.monotonic() + START_TIMEOUT_S
    while peer.state() != "active":
        if not node.is_alive() or time.monotonic() > end:
            pytest.fail(f"the node is not active; its log:\n{node.output()}")
        time.sleep(0.1)


def ask(peer: Peer, states: Recorder, text: str) -> QueryState:
    """Publish `text` on ~/query and return the state that answers it (ACTIVE or REJECTED)."""
    seen = len(states.messages)
    peer.sender(String, f"{peer.target}/query").publish(String(data=text))
    settled = (QueryState.ACTIVE, QueryState.REJECTED)
    answer: QueryState = wait_until(
        lambda: next((state for state in states.messages[seen:] if state.status in settled), None),
        f"an answer to the query {text[:40]!r}",
    )
    return answer
