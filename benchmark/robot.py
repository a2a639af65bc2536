"""A robot that talks to the real node, which runs in a process of its own: what the benchmarks of the node share."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from openseg_ros.msg import Query, QueryArray, QueryState, RegionArray
from openseg_ros.nodes.image_codec import encode_image
from openseg_ros.nodes.interrupt import spin
from openseg_ros.nodes.qos import camera_qos, query_qos, result_qos, state_qos
from openseg_ros.nodes.stamp import nanoseconds

START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 20.0
END_TIMEOUT_S = 20.0
COMMAND = "from openseg_ros.cli.main import app; app()"  # `openseg`, of the source that the benchmark itself imports


class Robot:
    """Starts `openseg run`, shows it images and waits for ~/mask and ~/regions. A context manager.

    `demo.isolation.isolate` must have been called. An image counts as answered when both of its outputs have arrived.
    """

    def __init__(self, name: str, log: Path, *options: str) -> None:
        """Start the node as `name` with more `options` of `openseg run`; it writes its log to `log`."""
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(f"robot_of_{name}", context=self._context)
        self._arrived: dict[int, set[type]] = {}  # by stamp in ns, which outputs have come
        self._answered: dict[int, int] = {}  # by stamp in ns, when the last output arrived, ns on the same clock
        self._state: QueryState | None = None  # the newest
        self.regions = 0  # reported in the newest answer
        self._change = threading.Condition()
        self._images = self._node.create_publisher(Image, f"/{name}/camera", camera_qos())
        self._queries = self._node.create_publisher(QueryArray, f"/{name}/query_array", query_qos())
        for message_type, topic in ((Image, "mask"), (RegionArray, "regions")):
            self._node.create_subscription(message_type, f"/{name}/{topic}", self._on_output, result_qos())
        self._node.create_subscription(QueryState, f"/{name}/query_state", self._on_state, state_qos())
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=spin, args=(self._executor,), daemon=True)
        self._thread.start()
        self._started = time.time_ns()
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                COMMAND,
                "run",
                f"--name={name}",
                f"--image=/{name}/camera",
                *options,
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._usage = psutil.Process(self._process.pid)

    def __enter__(self) -> Robot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._context.try_shutdown()
        self._thread.join()
        self._log.close()

    def wait_for_first_answer(self, rgb: np.ndarray) -> float:
        """Show (H, W, 3) uint8 RGB until it is answered; seconds from the start of the process to the answer.

        Raises:
            TimeoutError: there was none within START_TIMEOUT_S, or the process has ended.
        """
        while True:
            self.show(rgb)
            with self._change:
                if self._change.wait_for(lambda: len(self._answered) > 0, 0.05):
                    return (next(iter(self._answered.values())) - self._started) * 1e-9
            if self._process.poll() is not None or time.time_ns() - self._started > START_TIMEOUT_S * 1e9:
                raise TimeoutError(f"the node gave no answer; its log is {self._log.name}")

    def show(self, rgb: np.ndarray) -> int:
        """Publish an image and return its stamp in ns, which is the present time."""
        now = self._node.get_clock().now()
        self._images.publish(encode_image(rgb, "rgb8", Header(stamp=now.to_msg(), frame_id="camera")))
        return int(now.nanoseconds)

    def answer(self, rgb: np.ndarray) -> None:
        """Publish an image and wait for its answer.

        Raises:
            TimeoutError: there was none.
        """
        stamp = self.show(rgb)
        with self._change:
            if not self._change.wait_for(lambda: stamp in self._answered, ANSWER_TIMEOUT_S):
                raise TimeoutError(f"an image got no answer; the node's log is {self._log.name}")

    def ask(self, phrases: Sequence[str], *, wait: bool = True) -> None:
        """Ask for `phrases` instead of what was asked before; with `wait` until the node looks for them.

        Raises:
            TimeoutError: the node did not take them.
        """
        self._queries.publish(
            QueryArray(queries=[Query(text=phrase, threshold=-1.0) for phrase in phrases], replace=True)
        )
        if not wait:
            return
        wanted = set(phrases)

        def is_asked() -> bool:
            state = self._state
            return state is not None and state.status == QueryState.ACTIVE and _texts(state) == wanted

        with self._change:
            if not self._change.wait_for(is_asked, ANSWER_TIMEOUT_S):
                raise TimeoutError(f"the node did not take {len(phrases)} phrases; its log is {self._log.name}")

    def latencies(self, stamps: Sequence[int]) -> np.ndarray:
        """(A,) seconds from stamp to the arrival of the answer, of those images of `stamps` that have one."""
        with self._change:
            return np.array([(self._answered[stamp] - stamp) * 1e-9 for stamp in stamps if stamp in self._answered])

    def cpu_seconds(self) -> float:
        """Processor time of the node's process so far."""
        times = self._usage.cpu_times()
        return float(times.user + times.system)

    def resident_megabytes(self) -> float:
        """Memory of the node's process that is in RAM, MiB."""
        return float(self._usage.memory_info().rss / 2**20)

    def _on_output(self, message: Image | RegionArray) -> None:
        arrival = time.time_ns()
        stamp = nanoseconds(message.header.stamp)
        with self._change:
            if isinstance(message, RegionArray):
                self.regions = len(message.regions)
            arrived = self._arrived.setdefault(stamp, set())
            arrived.add(type(message))
            if len(arrived) == 2:
                self._answered[stamp] = arrival
                self._change.notify_all()

    def _on_state(self, message: QueryState) -> None:
        with self._change:
            self._state = message
            self._change.notify_all()


def _texts(state: QueryState) -> set[str]:
    return {query.text for query in state.active if not query.background}
