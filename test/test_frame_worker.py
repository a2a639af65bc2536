"""Turns of several cameras and of the two threads that process images. Nothing depends on how long anything takes."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from openseg_ros.nodes import frame_worker
from openseg_ros.nodes.frame_worker import Frame, FrameWorker, Rest

TIMEOUT_S = 20.0
HOURLY = 1 / 3600.0
SUPERSEDED = "superseded_by_newer"


class Line:
    """A worker whose processing ends when the test says so."""

    def __init__(self) -> None:
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.errors: list[tuple[str, str]] = []
        self._begun: queue.Queue[Frame] = queue.Queue()
        self._end = threading.Semaphore(0)
        self.worker = FrameWorker(
            self._process,
            on_dropped=lambda camera, cause: self.dropped.update([(camera, cause)]),
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
    assert line.dropped == {("fast", SUPERSEDED): 59}, "the newest image wins, and those that it replaces are counted"


def test_three_busy_cameras_take_turns(line: Line) -> None:
    line.offer("a", "0")
    turns = [line.begun()]
    for number in range(1, 5):
        for camera in ("c", "b", "a"):
            line.offer(camera, str(number))
            turns.append(line.next())
    assert turns[1:] == [f"{camera} {number}" for number in range(1, 5) for camera in "cba"]
    assert not line.dropped


def test_a_newer_image_keeps_the_place_of_the_older_one(line: Line) -> None:
    line.offer("a", "0")
    line.begun()
    for camera, message in (("b", "1"), ("c", "1"), ("b", "2"), ("a", "1"), ("b", "3")):
        line.offer(camera, message)
    assert [line.next() for _ in range(3)] == ["b 3", "c 1", "a 1"]
    assert line.dropped == {("b", SUPERSEDED): 2}


def test_an_image_that_fails_does_not_cost_another_camera_its_turn(line: Line) -> None:
    line.offer("a", "broken")
    line.begun()
    line.offer("b", "1")
    assert line.next() == "b 1"
    assert line.errors == [("a", "cannot be processed")]
    assert line.dropped == {("a", "failed"): 1}


def test_images_that_wait_when_the_worker_is_stopped_are_counted(line: Line) -> None:
    line.offer("a", "0")
    line.begun()
    line.offer("a", "1")
    line.offer("b", "0")
    stopped = threading.Thread(target=line.worker.stop)
    stopped.start()
    while not line.dropped:  # it is told at once, while the image in work goes on
        stopped.join(0.01)
    line.finish()
    stopped.join(TIMEOUT_S)
    assert line.dropped == {("a", "deactivated"): 1, ("b", "deactivated"): 1}
    line.worker.start()


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


class TwoThreads:
    """A worker both of whose threads end what they do when the test says so."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []
        self.events: queue.Queue[str] = queue.Queue()
        self._network, self._rest = threading.Semaphore(0), threading.Semaphore(0)
        self.worker = FrameWorker(
            self._process, on_dropped=lambda *_: None, on_error=lambda camera, e: self.errors.append((camera, str(e)))
        )

    def _process(self, frame: Frame) -> Rest | None:
        self.events.put(f"network {frame.message}")
        self._network.acquire(timeout=TIMEOUT_S)
        return None if frame.message == "refused" else partial(self._finish, frame)

    def _finish(self, frame: Frame) -> None:
        self.events.put(f"rest {frame.message}")
        self._rest.acquire(timeout=TIMEOUT_S)
        if frame.message == "unpublishable":
            raise ValueError("cannot be published")

    def run(self, message: str) -> None:
        """Offer an image and end the network's run on it, once that has begun."""
        self.worker.offer(Frame("a", message, 0.0))
        assert self.events.get(timeout=TIMEOUT_S) == f"network {message}"
        self._network.release()

    def end_rest(self) -> None:
        self._rest.release()

    def end_all(self) -> None:
        self._network.release()
        self._rest.release()


@pytest.fixture
def two_threads() -> Iterator[TwoThreads]:
    both = TwoThreads()
    both.worker.start()
    yield both
    for _ in range(100):
        both.end_all()
    assert both.worker.stop()


def test_the_network_runs_on_the_next_image_while_the_last_one_is_published(two_threads: TwoThreads) -> None:
    two_threads.run("1")
    assert two_threads.events.get(timeout=TIMEOUT_S) == "rest 1"
    two_threads.run("2")  # while the rest of 1 goes on
    two_threads.worker.offer(Frame("a", "3", 0.0))
    with pytest.raises(queue.Empty):  # 2 waits for 1, and 3 for a newer image to take its place
        two_threads.events.get(timeout=0.2)
    two_threads.end_rest()
    assert {two_threads.events.get(timeout=TIMEOUT_S) for _ in range(2)} == {"rest 2", "network 3"}


def test_what_cannot_be_published_is_reported_and_the_next_image_is_not_lost(two_threads: TwoThreads) -> None:
    for message in ("unpublishable", "refused", "2"):
        two_threads.run(message)
        if message != "refused":
            assert two_threads.events.get(timeout=TIMEOUT_S) == f"rest {message}"
            two_threads.end_rest()
    assert two_threads.worker.stop()
    assert two_threads.errors == [("a", "cannot be published")]
    two_threads.worker.start()


def test_stopping_lets_both_threads_finish() -> None:
    both = TwoThreads()
    both.worker.start()
    both.run("1")
    assert both.events.get(timeout=TIMEOUT_S) == "rest 1"
    threading.Timer(0.2, both.end_rest).start()
    assert both.worker.stop()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("openseg_")]


def test_a_thread_that_was_left_behind_ends_once_its_image_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_worker, "STOP_TIMEOUT_S", 0.1)
    both = TwoThreads()
    both.worker.start()
    both.worker.offer(Frame("a", "slow", 0.0))
    assert both.events.get(timeout=TIMEOUT_S) == "network slow"
    assert not both.worker.stop(), "the network has not finished"
    left_behind = next(thread for thread in threading.enumerate() if thread.name == "openseg_frames")
    both.worker.start()
    both.end_all()
    left_behind.join(TIMEOUT_S)
    assert not left_behind.is_alive()
    monkeypatch.undo()
    both.run("next")
    assert both.events.get(timeout=TIMEOUT_S) == "rest next"
    both.end_all()
    assert both.worker.stop() and not both.errors
