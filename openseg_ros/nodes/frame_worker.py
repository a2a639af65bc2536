"""One thread that processes the newest image; images that arrive meanwhile replace each other.

The rate limit runs on the monotonic clock, never on stamps: a bag that loops or a clock that jumps back cannot
stop it (MIT-SPARK/semantic_inference lost every image after such a jump).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STOP_TIMEOUT_S = 10.0  # longer than the slowest run of a network on a CPU; then the thread is left behind


@dataclass(frozen=True)
class Frame:
    """An image message with the time of its arrival on the monotonic clock, in seconds."""

    message: Any
    received: float


class FrameWorker:
    """Runs `process` in its own thread on the latest offered frame.

    Args:
        process: called with one frame at a time. What it raises goes to `on_error`; the thread lives on.
        on_superseded: called for a frame that a newer one replaced before it was processed.
        on_error: called with an exception of `process`.
    """

    def __init__(
        self,
        process: Callable[[Frame], None],
        *,
        on_superseded: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Make the worker; `start` makes it run."""
        self._process = process
        self._on_superseded = on_superseded
        self._on_error = on_error
        self._changed = threading.Condition()
        self._latest: Frame | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._period = 0.0  # seconds between two starts; 0: no limit

    def set_max_rate(self, hertz: float) -> None:
        """Start at most `hertz` frames per second; 0 sets no limit."""
        with self._changed:
            self._period = 1.0 / hertz if hertz > 0.0 else 0.0
            self._changed.notify()

    def start(self) -> None:
        """Start the thread."""
        self._stopping = False
        self._latest = None
        # Daemon: a network that hangs must not keep the process alive after Ctrl-C.
        self._thread = threading.Thread(target=self._run, name="openseg_frames", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Let the frame in work finish and end the thread; False if it did not end in time."""
        if self._thread is None:
            return True
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(STOP_TIMEOUT_S)
        ended = not self._thread.is_alive()
        self._thread = None
        return ended

    def offer(self, frame: Frame) -> None:
        """Make `frame` the next one; never blocks."""
        with self._changed:
            replaced = self._latest is not None
            self._latest = frame
            self._changed.notify()
        if replaced:
            self._on_superseded()

    def _run(self) -> None:
        last_start = float("-inf")
        while True:
            with self._changed:
                frame = self._take(last_start)
            if frame is None:
                return
            last_start = time.monotonic()
            try:
                self._process(frame)
            except Exception as error:
                self._on_error(error)

    def _take(self, last_start: float) -> Frame | None:
        """Wait until a frame is there and the rate limit allows it; None when stopping. The lock is held."""
        while not self._stopping:
            wait = last_start + self._period - time.monotonic()
            if wait > 0.0:
                self._changed.wait(wait)
            elif self._latest is None:
                self._changed.wait()
            else:
                frame, self._latest = self._latest, None
                return frame
        return None
