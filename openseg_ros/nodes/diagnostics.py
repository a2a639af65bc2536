"""The report on /diagnostics (REP 107).

A quiet scene and a broken node must not look the same: this says how many images came, what became of each of
them, and how long the answers took. Cameras with names have a status each, beside that of the node, which adds them up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from openseg_ros.nodes.counters import ImageCounts, NodeCounters, NodeCounts

STALE_AFTER_S = 2.0  # an active node without an image for so long warns
NODE = "segmentation"  # title of the node's own status


@dataclass(frozen=True)
class _Last:
    """What the last message said, to know what is new."""

    time: float
    processed: Mapping[str, int]  # by the title of a status
    bad_input: Mapping[str, int]  # by the title of a status
    errors: int


class DiagnosticsPublisher:
    """Publishes one message per period from the node's birth to its end, in every lifecycle state."""

    def __init__(
        self, node: Node, counters: NodeCounters, period_s: float, describe: Callable[[], Mapping[str, str]]
    ) -> None:
        """Start publishing.

        Args:
            node: its name begins the names of the statuses.
            counters: what is reported.
            period_s: seconds between two messages.
            describe: more keys and values of the node's status; must have "state". The optional "configuring" (what
                takes seconds now) and "backend_fallback" (why a slower engine runs) become the message.
        """
        self._node = node
        self._counters = counters
        self._describe = describe
        self._activated: float | None = None
        self._last = _Last(time.monotonic(), {}, {}, 0)
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # The steady clock: with use_sim_time and a paused bag, silence would look like death.
        self._timer = node.create_timer(period_s, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Publish the present state."""
        counts = self._counters.counts()
        described = self._describe()
        now = time.monotonic()
        if described["state"] != "active":
            self._activated = None
        elif self._activated is None:
            self._activated = now
        images = {NODE: counts.total()}
        images |= {f"camera {name}": camera for name, camera in counts.cameras.items() if name}
        array = DiagnosticArray(
            status=[self._status(title, images[title], counts, described, now) for title in images],
        )
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
        self._last = _Last(
            now,
            {title: count.processed for title, count in images.items()},
            {title: count.bad_input.total() for title, count in images.items()},
            counts.errors,
        )

    def _status(
        self, title: str, images: ImageCounts, counts: NodeCounts, described: Mapping[str, str], now: float
    ) -> DiagnosticStatus:
        answered = max(images.processed - self._last.processed.get(title, 0), 0)  # a camera may have been removed
        rate = answered / max(now - self._last.time, 1e-3)
        values = {**_figures(images), "output_rate_hz": f"{rate:.2f}"}
        level, message = self._judge_images(title, images, counts, described, now)
        if title == NODE:
            level, message = self._judge_node((level, message), counts, described)
            values = {**described, **values, **_faults(counts)}
        return DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: {title}",
            hardware_id="",
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def _judge_images(
        self, title: str, images: ImageCounts, counts: NodeCounts, described: Mapping[str, str], now: float
    ) -> tuple[bytes, str]:
        """Level and sentence by what came of images; faults count if they are new since the last message."""
        if self._activated is None:
            return DiagnosticStatus.OK, described["state"]
        if images.bad_input.total() > self._last.bad_input.get(title, 0):
            return DiagnosticStatus.WARN, "bad input arrives: see the keys bad_input.*"
        if described.get("is_paused") == "true":
            return DiagnosticStatus.OK, "paused by ~/set_enabled"
        waited = now - self._activated
        if images.seconds_since_image is not None:
            waited = min(waited, images.seconds_since_image)
        if waited > STALE_AFTER_S:
            hint = "; a publisher has an incompatible QoS" if title == NODE and counts.incompatible_qos else ""
            return DiagnosticStatus.WARN, f"no image for {waited:.1f} s{hint}"
        return DiagnosticStatus.OK, "images are being processed"

    def _judge_node(
        self, of_images: tuple[bytes, str], counts: NodeCounts, described: Mapping[str, str]
    ) -> tuple[bytes, str]:
        """Level and sentence of the node, whose own faults come before what its images say."""
        if counts.last_error and (self._activated is None or counts.errors > self._last.errors):
            return DiagnosticStatus.ERROR, counts.last_error
        if self._activated is None:
            return DiagnosticStatus.OK, described.get("configuring", described["state"])
        is_well = of_images[0] == DiagnosticStatus.OK and described.get("is_paused") != "true"
        if is_well and described.get("backend_fallback"):
            return DiagnosticStatus.WARN, f"degraded, a slower engine runs: {described['backend_fallback']}"
        return of_images


def _figures(images: ImageCounts) -> dict[str, str]:
    values = {
        "target": images.target,
        "depth_images_received": str(images.depth_images),
        "images_received": str(images.received),
        "images_processed": str(images.processed),
        "images_dropped": str(images.dropped.total()),
    }
    values |= {f"images_dropped.{cause}": str(count) for cause, count in sorted(images.dropped.items())}
    values |= {f"bad_input.{cause}": str(count) for cause, count in sorted(images.bad_input.items())}
    values["latency_samples"] = str(images.latencies_ms.size)
    if images.latencies_ms.size:
        for percentile in (50, 95, 99):
            figure = np.percentile(images.latencies_ms, percentile)
            values[f"latency_stamp_to_publish_ms.p{percentile}"] = f"{figure:.1f}"
    if images.seconds_since_image is not None:
        values["seconds_since_last_image"] = f"{images.seconds_since_image:.2f}"
    return values


def _faults(counts: NodeCounts) -> dict[str, str]:
    values = {"incompatible_qos": str(counts.incompatible_qos.total())}
    values |= {f"incompatible_qos.{topic}": str(count) for topic, count in sorted(counts.incompatible_qos.items())}
    return {**values, "errors": str(counts.errors), "last_error": counts.last_error}
