"""What the node counts: what became of the images of each camera, and what went wrong besides.

Counters are thread-safe: every method may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

LATENCY_WINDOW = 300  # images: ten seconds of a 30 Hz camera
# A larger difference between stamp and clock is not a latency but a camera, or a bag, on another clock.
PLAUSIBLE_LATENCY_S = 3600.0


@dataclass(frozen=True)
class ImageCounts:
    """What became of the images of one camera, or of several together, until one moment."""

    received: int
    depth_images: int  # received
    processed: int
    dropped: Counter[str]  # by cause
    bad_input: Counter[str]  # by cause
    latencies_ms: np.ndarray  # (n,) float64, stamp to publish
    seconds_since_image: float | None
    target: str  # how the target fared in the newest processed image, in words; empty without one


@dataclass(frozen=True)
class NodeCounts:
    """Everything that is counted, until one moment."""

    cameras: Mapping[str, ImageCounts]  # by the camera's name
    bad_input: Counter[str]  # by cause; of what does not come from a camera
    incompatible_qos: Counter[str]  # by topic
    errors: int
    last_error: str

    def total(self) -> ImageCounts:
        """All cameras together, with the bad input that does not come from one."""
        cameras = self.cameras.values()
        since = [camera.seconds_since_image for camera in cameras if camera.seconds_since_image is not None]
        return ImageCounts(
            received=sum(camera.received for camera in cameras),
            depth_images=sum(camera.depth_images for camera in cameras),
            processed=sum(camera.processed for camera in cameras),
            dropped=sum((camera.dropped for camera in cameras), Counter()),
            bad_input=sum((camera.bad_input for camera in cameras), self.bad_input),
            latencies_ms=np.concatenate([np.zeros(0), *(camera.latencies_ms for camera in cameras)]),
            seconds_since_image=min(since, default=None),
            target="; ".join(
                f"{name}: {camera.target}" if name else camera.target
                for name, camera in self.cameras.items()
                if camera.target
            ),
        )


class BadInput:
    """Counts inputs that cannot be used; logs the first of each cause, since a broken camera must not flood the log."""

    def __init__(self, log: Callable[[str], None]) -> None:
        """`log` is told the first case of each cause."""
        self._log = log
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, cause: str, message: str) -> None:
        """Count one; `cause` is the key in diagnostics, `message` says what was wrong with this one."""
        with self._lock:
            self._counts[cause] += 1
            is_first = self._counts[cause] == 1
        if is_first:
            self._log(f"{message} (logged once per cause; diagnostics counts them)")

    def counts(self) -> Counter[str]:
        """A copy."""
        with self._lock:
            return Counter(self._counts)


class ImageCounters:
    """Counts what becomes of the images of one camera."""

    def __init__(self, log: Callable[[str], None]) -> None:
        """Start at zero; `log` is told the first bad input of each cause."""
        self.bad_input = BadInput(log)
        self._lock = threading.Lock()
        self._received = 0
        self._depth_images = 0
        self._processed = 0
        self._dropped: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=LATENCY_WINDOW)
        self._last_image: float | None = None
        self._target = ""

    def image_received(self) -> None:
        """Count an image that arrived, good or bad."""
        with self._lock:
            self._received += 1
            self._last_image = time.monotonic()

    def depth_received(self) -> None:
        """Count a depth image that arrived, good or bad."""
        with self._lock:
            self._depth_images += 1

    def image_processed(self, latency_s: float | None, target: str) -> None:
        """Count a full set of outputs.

        Args:
            latency_s: from stamp to publish; None for an image without a stamp.
            target: how the target fared in it, in words.
        """
        with self._lock:
            self._processed += 1
            self._target = target
            if latency_s is not None and 0.0 <= latency_s < PLAUSIBLE_LATENCY_S:
                self._latencies.append(latency_s * 1000.0)

    def image_dropped(self, cause: str) -> None:
        """Count a good image that has no answer."""
        with self._lock:
            self._dropped[cause] += 1

    def counts(self) -> ImageCounts:
        """A copy."""
        with self._lock:
            return ImageCounts(
                received=self._received,
                depth_images=self._depth_images,
                processed=self._processed,
                dropped=Counter(self._dropped),
                bad_input=self.bad_input.counts(),
                latencies_ms=np.asarray(self._latencies, np.float64),
                seconds_since_image=None if self._last_image is None else time.monotonic() - self._last_image,
                target=self._target,
            )


class NodeCounters:
    """The counters of the cameras, and of what belongs to none."""

    def __init__(self, log: Callable[[str], None]) -> None:
        """Start without a camera; `log` is told the first bad input of each cause."""
        self.bad_input = BadInput(log)
        self._log = log
        self._lock = threading.Lock()
        self._cameras: dict[str, ImageCounters] = {}
        self._incompatible_qos: Counter[str] = Counter()
        self._last_error = ""
        self._errors = 0

    def of_cameras(self, names: Iterable[str]) -> Mapping[str, ImageCounters]:
        """The counters of the cameras with these names; those that exist go on, others are forgotten."""
        with self._lock:
            self._cameras = {
                name: self._cameras.get(name) or ImageCounters(partial(self._log_camera, name)) for name in names
            }
            return dict(self._cameras)

    def _log_camera(self, name: str, text: str) -> None:
        self._log(of_camera(name, text))

    def incompatible_qos(self, topic: str) -> None:
        """Count a peer on `topic` with which no connection is possible."""
        with self._lock:
            self._incompatible_qos[topic] += 1

    def error(self, message: str) -> None:
        """Keep `message` as the last error."""
        with self._lock:
            self._errors += 1
            self._last_error = message

    def error_solved(self) -> None:
        """Forget the last error: a transition that begins is about something else."""
        with self._lock:
            self._last_error = ""

    def counts(self) -> NodeCounts:
        """A copy."""
        with self._lock:
            return NodeCounts(
                cameras={name: counters.counts() for name, counters in self._cameras.items()},
                bad_input=self.bad_input.counts(),
                incompatible_qos=Counter(self._incompatible_qos),
                errors=self._errors,
                last_error=self._last_error,
            )


def of_camera(camera: str, text: str) -> str:
    """`text` about a camera, which is named where it has a name."""
    return f"camera {camera}: {text}" if camera else text
