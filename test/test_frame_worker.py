"""Turns of several cameras in the one thread that processes images. Nothing here depends on how long anything takes."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from openseg_ros.nodes.frame_worker import Frame, FrameWorker

TIMEOUT_S = 20.0
HOURLY = 1 / 3600.0


class Line:
    """A worker whose processing ends when the test says so."""

    def __init__(self) -> None:
        self.superseded: Counter[str] = Counter()
        self.errors: list[tuple[str, str]] = []
        self._begun: queue.Queue[Frame] = queue.Queue()
        self._end = threading.Semaphore(0)
        self.worker = FrameWorker(
            self._process,
            on_superseded=lambda camera: self.superseded.update([camera]),
            on_error=lambda camera, error: self.errors.append((camera, str(error))),
        )

    def _process(self, frame: Frame) -> None:
        self._begun.put(frame)
        self._end.acquire(timeout=TIMEOUT_S)
        if frame.message == "broken":
            raise ValueError("cannot be processed")

    def offer(self, camera: str, message: str) -> None:
        self.worker.offer(Frame(camera, message, 0.0))

    def begun(self) -> str:
        """The next image in work, for example "wrist 3"."""
        frame = self._begun.get(timeout=TIMEOUT_S)
        return f"{frame.camera} {frame.message}"

    def finish(self) -> None:
        """Let the image in work be done."""
        self._end.release()

    def next(self) -> str:
        """End the image in work; the one that follows."""
        self.finish()
        return self.begun()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    line.worker.start()
    yield line
    for _ in range(100):
        line.finish()
    assert line.worker.stop()


def test_a_fast_camera_gets_one_turn_while_a_slow_one_waits(line: Line) -> None:
    line.offer("fast", "0")
    assert line.begun() == "fast 0"
    line.offer("slow", "0")
    for number in range(1, 60):
        line.offer("fast", str(number))
    assert line.next() == "slow 0", "it waited first"
    line.offer("fast", "60")
    line.offer("slow", "1")
    assert line.next() == "fast 60"
    line.offer("fast", "61")
    assert line.next() == "slow 1"
    assert line.next() == "fast 61"
    assert line.superseded == {"fast": 59}, "the newest image wins, and those that it replaces are counted"


def test_three_busy_cameras_take_turns(line: Line) -> None:
    line.offer("a", "0")
    turns = [line.begun()]
    for number in range(1, 5):
        for camera in ("c", "b", "a"):
            line.offer(camera, str(number))
            turns.append(line.next())
    assert turns[1:] == [f"{camera} {number}" for number in range(1, 5) for camera in "cba"]
    assert not line.superseded


def test_a_newer_image_keeps_the_place_of_the_older_one(line: Line) -> None:
    line.offer("a", "0")
    line.begun()
    for camera, message in (("b", "1"), ("c", "1"), ("b", "2"), ("a", "1"), ("b", "3")):
        line.offer(camera, message)
    assert [line.next() for _ in range(3)] == ["b 3", "c 1", "a 1"]
    assert line.superseded == {"b": 2}


def test_an_image_that_fails_does_not_cost_another_camera_its_turn(line: Line) -> None:
    line.offer("a", "broken")
    line.begun()
    line.offer("b", "1")
    assert line.next() == "b 1"
    assert line.errors == [("a", "cannot be processed")]


def test_the_rate_is_limited_for_each_camera(line: Line) -> None:
    line.worker.set_max_rate(HOURLY)
    line.offer("a", "0")
    assert line.begun() == "a 0"
    line.offer("a", "1")
    line.offer("b", "0")
    assert line.next() == "b 0", "the second image of a is not due, though it waited first"
    line.offer("b", "1")
    line.offer("c", "0")
    assert line.next() == "c 0"
    line.finish()
    line.worker.set_max_rate(0.0)
    assert line.begun() == "a 1"
    assert line.next() == "b 1"
