"""Processes the newest image of every camera in two threads; images that arrive meanwhile replace each other.

The first thread runs the network, the second one does the rest of the image before: on two cores both go on at once.

Cameras wait in a line. A camera joins its end with the first image that arrives after its turn, and a newer image takes
the place of the older one. So, while a camera waits, every other one has at most one turn, however fast it is.

The rate limit runs on the monotonic clock, never on stamps: a bag that loops or a clock that jumps back cannot
stop it (MIT-SPARK/semantic_inference lost every image after such a jump).
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openseg_ros.nodes.depth_input import DepthOfImage

STOP_TIMEOUT_S = 10.0  # longer than the slowest run of a network on a CPU; then the thread is left behind

Rest = Callable[[], None]  # what is still to be done for an image


@dataclass(frozen=True)
class Frame:
    """An image message of a camera with the time of its arrival on the monotonic clock, in seconds."""

    camera: str  # its name
    message: Any
    received: float
    depth: DepthOfImage | None = None  # of the same camera; None: it has none


class FrameWorker:
    """Runs `process` in its own thread on the latest offered frames, and what that leaves over in another one.

    Args:
        process: called with one frame at a time; returns what the other thread has to do for it, in the order of the
            frames and one at a time, or None. What either raises goes to `on_error`; the threads live on.
        on_dropped: called with the camera's name and the cause for a frame that is not processed: "superseded_by_newer"
            where a newer one has replaced it, "deactivated" where the worker was stopped, "failed" after `on_error`.
        on_error: called with the camera's name and an exception.
    """

    def __init__(
        self,
        process: Callable[[Frame], Rest | None],
        *,
        on_dropped: Callable[[str, str], None],
        on_error: Callable[[str, Exception], None],
    ) -> None:
        """Make the worker; `start` makes it run."""
        self._process = process
        self._on_dropped = on_dropped
        self._on_error = on_error
        self._changed = threading.Condition()
        self._waiting: dict[str, Frame] = {}  # by camera, in the order of their turns
        self._last_start: dict[str, float] = {}  # by camera, on the monotonic clock
        self._thread: threading.Thread | None = None
        self._second: _SecondThread | None = None  # None while stopped; another one after each start
        self._period = 0.0  # seconds between two starts for one camera; 0: no limit

    def set_max_rate(self, hertz: float) -> None:
        """Start at most `hertz` frames per second of each camera; 0 sets no limit."""
        with self._changed:
            self._period = 1.0 / hertz if hertz > 0.0 else 0.0
            self._changed.notify()

    def start(self) -> None:
        """Start the threads."""
        self._last_start = {}
        self._second = second = _SecondThread(self._failed)
        # Daemon: a network that hangs must not keep the process alive after Ctrl-C.
        self._thread = threading.Thread(target=self._run, args=(second,), name="openseg_frames", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Let the frames in work finish, drop what waits and end the threads; False if they did not end in time."""
        with self._changed:
            thread, second = self._thread, self._second
            self._thread = self._second = None
            waiting, self._waiting = self._waiting, {}
            self._changed.notify()
        for camera in waiting:
            self._on_dropped(camera, "deactivated")
        if thread is None or second is None:
            return True
        thread.join(STOP_TIMEOUT_S)
        return second.stop() and not thread.is_alive()

    def offer(self, frame: Frame) -> None:
        """Make `frame` the next one of its camera; never blocks."""
        with self._changed:
            is_replaced = frame.camera in self._waiting
            self._waiting[frame.camera] = frame  # a camera that waits keeps its place in the line
            self._changed.notify()
        if is_replaced:
            self._on_dropped(frame.camera, "superseded_by_newer")

    def _run(self, second: _SecondThread) -> None:
        while True:
            with self._changed:
                frame = self._take(second)
            if frame is None:
                return
            try:
                rest = self._process(frame)
            except Exception as error:
                self._failed(frame.camera, error)
                continue
            if rest is not None:
                second.do(frame.camera, rest)

    def _failed(self, camera: str, error: Exception) -> None:
        self._on_error(camera, error)
        self._on_dropped(camera, "failed")

    def _take(self, second: _SecondThread) -> Frame | None:
        """Wait until a frame is there and the rate limit allows it; None after a stop. The lock is held.

        A thread that was left behind ends here, whatever was started after it.
        """
        while self._second is second:
            now = time.monotonic()
            due = {camera: self._last_start.get(camera, -math.inf) + self._period for camera in self._waiting}
            ready = next((camera for camera, start in due.items() if start <= now), None)
            if ready is not None:
                self._last_start[ready] = now
                return self._waiting.pop(ready)
            self._changed.wait(min(due.values()) - now if due else None)
        return None


class _SecondThread:
    """Does the rest for one frame while the first thread is at the next one; never further behind than that."""

    def __init__(self, on_error: Callable[[str, Exception], None]) -> None:
        """Start it; `on_error` as for the worker."""
        self._on_error = on_error
        self._is_free = threading.Semaphore()
        self._work: queue.SimpleQueue[tuple[str, Rest] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="openseg_results", daemon=True)
        self._thread.start()

    def do(self, camera: str, rest: Rest) -> None:
        """Begin `rest`, as soon as that of the frame before is done."""
        self._is_free.acquire()
        self._work.put((camera, rest))

    def stop(self) -> bool:
        """End the thread after what it has begun; False if it did not end in time."""
        self._work.put(None)
        self._thread.join(STOP_TIMEOUT_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            camera, rest = work
            try:
                rest()
            except Exception as error:
                self._on_error(camera, error)
            finally:
                self._is_free.release()
