"""Counters of the node and their report on /diagnostics (REP 107).

A quiet scene and a broken node must not look the same: this says how many images came, what became of each of
them, and how long the answers took.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

LATENCY_WINDOW = 300  # images: ten seconds of a 30 Hz camera
STALE_AFTER_S = 2.0  # an active node without an image for so long warns
# A larger difference between stamp and clock is not a latency but a camera, or a bag, on another clock.
PLAUSIBLE_LATENCY_S = 3600.0


@dataclass(frozen=True)
class Snapshot:
    """The counters at one moment."""

    received: int
    processed: int
    dropped: Mapping[str, int]  # by cause
    bad_input: Mapping[str, int]  # by cause
    incompatible_qos: Mapping[str, int]  # by topic
    latencies_ms: np.ndarray  # (n,) float64, stamp to publish
    last_error: str
    errors: int
    seconds_since_image: float | None


class Statistics:
    """Thread-safe counters; every method may be called from any thread."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._received = 0
        self._processed = 0
        self._dropped: Counter[str] = Counter()
        self._bad_input: Counter[str] = Counter()
        self._incompatible_qos: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=LATENCY_WINDOW)
        self._last_error = ""
        self._errors = 0
        self._last_image: float | None = None

    def image_received(self) -> None:
        """Count an image that arrived, good or bad."""
        with self._lock:
            self._received += 1
            self._last_image = time.monotonic()

    def image_processed(self, latency_s: float | None) -> None:
        """Count a full set of outputs; `latency_s` from stamp to publish, None for an image without a stamp."""
        with self._lock:
            self._processed += 1
            if latency_s is not None and 0.0 <= latency_s < PLAUSIBLE_LATENCY_S:
                self._latencies.append(latency_s * 1000.0)

    def image_dropped(self, cause: str) -> None:
        """Count a good image that was not processed."""
        with self._lock:
            self._dropped[cause] += 1

    def bad_input(self, cause: str) -> bool:
        """Count an input that cannot be used; True the first time for this cause, which is when it is logged."""
        with self._lock:
            self._bad_input[cause] += 1
            return self._bad_input[cause] == 1

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
        """Forget the last error, after a configure that went well."""
        with self._lock:
            self._last_error = ""

    def snapshot(self) -> Snapshot:
        """Copy of everything."""
        with self._lock:
            since = None if self._last_image is None else time.monotonic() - self._last_image
            return Snapshot(
                received=self._received,
                processed=self._processed,
                dropped=dict(self._dropped),
                bad_input=dict(self._bad_input),
                incompatible_qos=dict(self._incompatible_qos),
                latencies_ms=np.asarray(self._latencies, np.float64),
                last_error=self._last_error,
                errors=self._errors,
                seconds_since_image=since,
            )


class DiagnosticsPublisher:
    """Publishes one DiagnosticStatus per period from the node's birth to its end, in every lifecycle state."""

    def __init__(
        self, node: Node, statistics: Statistics, period_s: float, describe: Callable[[], Mapping[str, str]]
    ) -> None:
        """Start publishing.

        Args:
            node: its name names the status.
            statistics: what is reported.
            period_s: seconds between two messages.
            describe: more keys and values; must have "state". The optional "configuring" (what takes seconds now)
                and "backend_fallback" (why a slower engine runs) become the message.
        """
        self._node = node
        self._statistics = statistics
        self._describe = describe
        self._activated: float | None = None
        self._processed_before = 0
        self._errors_before = 0
        self._bad_before = 0
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # The steady clock: with use_sim_time and a paused bag, silence would look like death.
        self._timer = node.create_timer(period_s, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._last_publish = time.monotonic()

    def publish(self) -> None:
        """Publish the present state."""
        snapshot = self._statistics.snapshot()
        described = self._describe()
        now = time.monotonic()
        rate = (snapshot.processed - self._processed_before) / max(now - self._last_publish, 1e-3)
        level, message = self._judge(snapshot, described, now)
        self._processed_before, self._last_publish = snapshot.processed, now
        self._errors_before = snapshot.errors
        self._bad_before = sum(snapshot.bad_input.values())
        values = {**described, **_figures(snapshot), "output_rate_hz": f"{rate:.2f}"}
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: segmentation",
            hardware_id="",
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _judge(self, snapshot: Snapshot, described: Mapping[str, str], now: float) -> tuple[bytes, str]:
        """Level and sentence: errors and faults count if they are new since the last message."""
        active = described["state"] == "active"
        if not active:
            self._activated = None
        elif self._activated is None:
            self._activated = now
        if snapshot.last_error and (not active or snapshot.errors > self._errors_before):
            return DiagnosticStatus.ERROR, snapshot.last_error
        if not active:
            return DiagnosticStatus.OK, described.get("configuring", described["state"])
        if sum(snapshot.bad_input.values()) > self._bad_before:
            return DiagnosticStatus.WARN, "bad input arrives: see the keys bad_input.*"
        if described.get("is_paused") == "true":
            return DiagnosticStatus.OK, "paused by ~/set_enabled"
        waited = now - (self._activated or now)
        if snapshot.seconds_since_image is not None:
            waited = min(waited, snapshot.seconds_since_image)
        if waited > STALE_AFTER_S:
            hint = "" if not snapshot.incompatible_qos else "; a publisher has an incompatible QoS"
            return DiagnosticStatus.WARN, f"no image for {waited:.1f} s{hint}"
        if described.get("backend_fallback"):
            return DiagnosticStatus.WARN, f"degraded, a slower engine runs: {described['backend_fallback']}"
        return DiagnosticStatus.OK, "images are being processed"


def _figures(snapshot: Snapshot) -> dict[str, str]:
    values = {
        "images_received": str(snapshot.received),
        "images_processed": str(snapshot.processed),
        "images_dropped": str(sum(snapshot.dropped.values())),
    }
    values |= {f"images_dropped.{cause}": str(count) for cause, count in sorted(snapshot.dropped.items())}
    values |= {f"bad_input.{cause}": str(count) for cause, count in sorted(snapshot.bad_input.items())}
    values["latency_samples"] = str(snapshot.latencies_ms.size)
    if snapshot.latencies_ms.size:
        for percentile in (50, 95, 99):
            figure = np.percentile(snapshot.latencies_ms, percentile)
            values[f"latency_stamp_to_publish_ms.p{percentile}"] = f"{figure:.1f}"
    values["incompatible_qos"] = str(sum(snapshot.incompatible_qos.values()))
    values |= {f"incompatible_qos.{topic}": str(n) for topic, n in sorted(snapshot.incompatible_qos.items())}
    values["errors"] = str(snapshot.errors)
    values["last_error"] = snapshot.last_error
    if snapshot.seconds_since_image is not None:
        values["seconds_since_last_image"] = f"{snapshot.seconds_since_image:.2f}"
    return values
