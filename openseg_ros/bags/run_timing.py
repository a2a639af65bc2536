"""How fast a recorded run was: latency, dropped images, time until a new query counts."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openseg_ros.bags.recorded_run import RecordedRun

LAST_S = 1.0  # images so near to the bag's end may be unanswered only because the recording ended
PLAUSIBLE_S = 60.0  # a longer or a negative latency means that two clocks are compared


@dataclass(frozen=True)
class Percentiles:
    """Of a number of durations in seconds."""

    count: int
    p50: float
    p95: float
    p99: float
    most: float


@dataclass(frozen=True)
class Timing:
    """Durations of a run; None where the bag does not tell."""

    from_stamp: Percentiles | None  # stamp of the image to the recording of its regions
    from_image: Percentiles | None  # recording of the image to the recording of its regions
    series: tuple[tuple[int, float], ...]  # ns and s: recording time and latency of every answer, for a plot
    images: int  # that should have been answered
    dropped: int
    query_switch: Percentiles | None  # recording of a query to that of the first regions that were scored with it
    unanswered_queries: int

    @property
    def drop_rate(self) -> float | None:
        """Part of the images without an answer, 0 to 1."""
        return self.dropped / self.images if self.images else None


def timing(run: RecordedRun) -> Timing:
    """Measure a run by its recording times."""
    from_stamp = [(answer.time - answer.stamp) / 1e9 for answer in run.answers]
    if not 0 <= np.median(from_stamp) < PLAUSIBLE_S:
        from_stamp = []  # a replayed camera: its stamps are of another day
    from_image, answered = _matched(run)
    last = run.end - round(LAST_S * 1e9)
    begun = min((number for number in answered), default=len(run.images))
    due = [number for number in range(begun, len(run.images)) if run.images[number][1] < last]
    switches, unanswered = _switches(run)
    latencies = from_stamp or from_image
    times = [answer.time for answer in run.answers]
    return Timing(
        from_stamp=_percentiles(from_stamp),
        from_image=_percentiles(from_image),
        series=tuple(zip(times, latencies, strict=True)) if len(latencies) == len(times) else (),
        images=len(due),
        dropped=sum(number not in answered for number in due),
        query_switch=_percentiles(switches),
        unanswered_queries=unanswered,
    )


def _matched(run: RecordedRun) -> tuple[list[float], set[int]]:
    """Seconds from image to answer, and the numbers of the images that were answered.

    A looped bag repeats stamps: an answer belongs to the newest image with its stamp that was there before it.
    """
    arrivals: dict[int, list[tuple[int, int]]] = defaultdict(list)  # by stamp: time and number of the image
    for number, (stamp, time) in enumerate(run.images):
        arrivals[stamp].append((time, number))
    seconds: list[float] = []
    answered: set[int] = set()
    for answer in run.answers:
        before = arrivals[answer.stamp]
        position = bisect_right(before, (answer.time, len(run.images))) - 1
        if position >= 0:
            time, number = before[position]
            seconds.append((answer.time - time) / 1e9)
            answered.add(number)
    return seconds, answered


def _switches(run: RecordedRun) -> tuple[list[float], int]:
    seconds: list[float] = []
    unanswered = 0
    for asked in run.queries:
        # Not the largest one: a node that is started again counts from the beginning.
        before = next((state.version for state in reversed(run.activations) if state.time < asked), -1)
        later = (state for state in run.activations if state.time >= asked and state.version > before)
        version = next((state.version for state in later), None)
        answers = (answer.time for answer in run.answers if answer.time >= asked and answer.version == version)
        first = next(answers, None)
        if first is None:
            unanswered += 1
        else:
            seconds.append((first - asked) / 1e9)
    return seconds, unanswered


def _percentiles(seconds: Sequence[float]) -> Percentiles | None:
    if not seconds:
        return None
    p50, p95, p99, most = np.percentile(seconds, [50, 95, 99, 100]).tolist()
    return Percentiles(len(seconds), p50, p95, p99, most)
