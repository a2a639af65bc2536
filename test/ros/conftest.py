"""Process fixtures: the real node in a process of its own, spoken to over real DDS from the test's process.

The network is real, its weights are random (fixed seed), so that these tests need no training. Expected results are
computed with the same library in the test's process.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

pytest.importorskip("rclpy", reason="these tests need the ROS 2 wheels: make setup")
pytest.importorskip("openseg_ros.msg", reason="these tests need the compiled messages: make setup")

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
from openseg_ros.cli.run import use_large_shared_memory  # noqa: E402

use_large_shared_memory()  # the sender's segment counts, and the test sends the images

import numpy as np  # noqa: E402
import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header, String  # noqa: E402

from openseg_ros.msg import QueryState  # noqa: E402
from openseg_ros.nodes.image_codec import encode_image  # noqa: E402

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 15.0

BEST_EFFORT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=50,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


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
    log: IO[bytes]

    def output(self) -> str:
        """Everything that the process has written."""
        return Path(self.log.name).read_text(errors="replace")

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20.0)


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

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except Exception:
            if self.context.ok():
                raise

    def close(self) -> None:
        """Leave the ROS graph."""
        self.context.try_shutdown()
        self._thread.join(5.0)

    def publisher(self, message_type: type, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        """A publisher that is connected to one subscriber."""
        publisher = self.node.create_publisher(message_type, topic, qos)
        wait_until(lambda: publisher.get_subscription_count() > 0, f"a subscriber of {topic}")
        return publisher

    def record(self, message_type: type, topic: str, qos: QoSProfile = RELIABLE) -> Recorder:
        """A recorder that is connected to one publisher."""
        recorder = Recorder()
        subscription = self.node.create_subscription(message_type, topic, recorder.messages.append, qos)
        name = subscription.topic_name
        wait_until(lambda: self.node.count_publishers(name) > 0, f"a publisher of {topic}")
        return recorder

    def destroy_subscriptions(self) -> None:
        """Unsubscribe from everything that `record` subscribed to."""
        for subscription in list(self.node.subscriptions):
            self.node.destroy_subscription(subscription)

    def call(self, service_type: type, name: str, request: Any, timeout: float = ANSWER_TIMEOUT_S) -> Any:
        """The answer of a service."""
        client = self.node.create_client(service_type, name)
        try:
            wait_until(client.service_is_ready, f"service {name}")
            future = client.call_async(request)
            wait_until(future.done, f"answer of {name}", timeout)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def change_state(self, label: str) -> bool:
        """Ask for a lifecycle transition; whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = label
        response = self.call(ChangeState, f"{self.target}/change_state", request, START_TIMEOUT_S)
        return bool(response.success)

    def state(self) -> str:
        """Label of the node's lifecycle state."""
        response = self.call(GetState, f"{self.target}/get_state", GetState.Request(), START_TIMEOUT_S)
        return str(response.current_state.label)

    def stamp(self) -> Header:
        """A header that no other image has."""
        self._stamp += 1
        header = Header(frame_id="camera_color_optical_frame")
        header.stamp.sec, header.stamp.nanosec = self._stamp, 123_456_789
        return header

    def image(self, rgb: np.ndarray, header: Header | None = None) -> Image:
        """An rgb8 message."""
        return encode_image(rgb, "rgb8", header if header is not None else self.stamp())

    def status(self, recorder: Recorder) -> dict[str, str]:
        """Keys and values of the newest diagnostics of the node; "level" and "message" are added."""
        name = f"{self.target.lstrip('/')}: segmentation"
        for array in reversed(recorder.messages):
            for status in array.status:
                if status.name == name:
                    values = {pair.key: pair.value for pair in status.values}
                    return values | {"level": str(status.level[0]), "message": status.message}
        return {}

    def fresh_status(self, recorder: Recorder) -> dict[str, str]:
        """Diagnostics that began after this call."""
        seen = len(recorder.messages)
        wait_until(lambda: len(recorder.messages) >= seen + 2, "diagnostics")
        return self.status(recorder)


def picture(seed: int = 0, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """(H, W, 3) uint8: coloured rectangles on grey, so that a network sees edges and areas."""
    random = np.random.default_rng(seed)
    rgb = np.full((*size, 3), 90, np.uint8)
    for _ in range(6):
        y, x = (int(random.integers(0, side * 3 // 4)) for side in size)
        height, width = (int(random.integers(side // 8, side // 3)) for side in size)
        rgb[y : y + height, x : x + width] = random.integers(0, 256, 3)
    return rgb


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real network with random weights whose masks and scores depend on the image.

    Random networks give all regions nearly one embedding. Taking the mean away (by the bias of the embedding
    head, which is linear) and a steep calibration make some regions answer a phrase and others not.
    """
    import torch

    from openseg_ros.model.config import ModelConfig
    from openseg_ros.model.openseg import OpenSeg
    from openseg_ros.runtime.weights import Calibration, ModelDescription, save_weights

    torch.manual_seed(3)
    config = ModelConfig(
        backbone="resnet18",
        backbone_width=0.25,
        input_size=(128, 160),
        hidden_dim=32,
        embedding_dim=384,
        num_queries=24,
        attention_heads=4,
        attention_blocks=1,
        head_convs=1,
        position_embedding="factored",
        mask_logit_scale=1.0,
        mask_logit_bias=0.0,
    )
    network = OpenSeg(config).eval()
    with torch.no_grad():
        pixels = (torch.from_numpy(picture()).permute(2, 0, 1)[None].float() - 128) / 128
        pixels = torch.nn.functional.pad(pixels, (0, 0, 4, 4))
        projection, network.projection = network.projection, torch.nn.Identity()
        embeddings = network(pixels, torch.ones(1, *config.grid))["embeddings"]
        network.projection = projection
        last_bias = [parameter for name, parameter in network.embedding_head.named_parameters() if "bias" in name][-1]
        last_bias -= embeddings.mean((0, 1))
    folder = tmp_path_factory.mktemp("models") / "random"
    description = ModelDescription(config, calibration=Calibration(scale=30.0, bias=0.0))
    save_weights(folder, network.state_dict(), description)
    return folder


@pytest.fixture(scope="module")
def domain() -> Iterator[int]:
    """A ROS domain that no other test process on this machine uses, guarded by a lock file."""
    for number in range(20, 100):
        stream = open(Path(tempfile.gettempdir()) / f"openseg_test_domain_{number}.lock", "w")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            continue
        yield number
        stream.close()
        return
    pytest.fail("no free ROS domain between 20 and 99")


@pytest.fixture(scope="module")
def start_node(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NodeProcess]]:
    """Starts `openseg run` with the given options, or any other command of this Python."""
    started: list[NodeProcess] = []

    def start(*options: str, command: tuple[str, ...] = ("-c", RUN), **environment: str) -> NodeProcess:
        log = open(tmp_path_factory.mktemp("log") / "node.log", "wb")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, *command, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONUNBUFFERED": "1", **environment},
            cwd=Path(__file__).resolve().parents[2],
        )
        started.append(NodeProcess(process, log))
        return started[-1]

    yield start
    for node in started:
        if node.is_alive():
            node.process.kill()
            node.process.wait()
        node.log.close()


RUN = "import typer; from openseg_ros.cli.run import run; typer.run(run)"


@pytest.fixture(scope="module")
def peer(domain: int) -> Iterator[Peer]:
    """The test's side of the conversation."""
    other = Peer(domain)
    yield other
    other.close()


@pytest.fixture(scope="module")
def options(model_folder: Path) -> list[str]:
    """Options of `openseg run` for the random network on the quickly started engine."""
    return ["--weights", str(model_folder), "--backend", "torch"]


def wait_until_active(peer: Peer, node: NodeProcess) -> None:
    """Wait until the node processes images; fails with its log if it died."""

    def active() -> bool:
        if not node.is_alive():
            pytest.fail(f"the node ended:\n{node.output()}")
        return peer.state() == "active"

    wait_until(active, f"state active; log:\n{node.output()}", START_TIMEOUT_S)


def ask(peer: Peer, states: Recorder, text: str) -> QueryState:
    """Publish `text` on ~/query and return the state that answers it (ACTIVE or REJECTED)."""
    seen = len(states.messages)
    publisher = peer.publisher(String, f"{peer.target}/query")
    publisher.publish(String(data=text))
    settled = (QueryState.ACTIVE, QueryState.REJECTED)
    answer = wait_until(
        lambda: next((state for state in states.messages[seen:] if state.status in settled), None),
        f"an answer to the query {text[:40]!r}",
    )
    peer.node.destroy_publisher(publisher)
    return answer


__all__ = ["DiagnosticArray", "DiagnosticStatus"]
