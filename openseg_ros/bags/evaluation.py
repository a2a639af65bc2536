"""The figures of a recorded run, and whether they are good enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openseg_ros.bags.mask_agreement import Agreement
from openseg_ros.bags.recorded_run import RecordedRun
from openseg_ros.bags.run_timing import Percentiles, Timing


@dataclass(frozen=True)
class Bound:
    """The worst value that is good enough."""

    limit: float
    smallest: bool  # True: the figure must be at least this, False: at most


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured on a bag."""

    run: RecordedRun
    timing: Timing
    agreement: Agreement | None  # None: there is no truth to compare with
    truth: str  # where the truth comes from

    def figures(self) -> dict[str, float | int | None]:
        """Name to value; None where the bag does not tell."""
        found, time = self.agreement, self.timing
        return {
            "answers": len(self.run.answers),
            "compared_images": found.images if found is not None else 0,
            "miou": found.miou if found is not None else None,
            "grounding_miou": found.grounding_miou if found is not None else None,
            **_named("latency_from_stamp", time.from_stamp),
            **_named("latency_from_image", time.from_image),
            "images": time.images,
            "dropped": time.dropped,
            "drop_rate": time.drop_rate,
            **_named("query_switch", time.query_switch),
            "unanswered_queries": time.unanswered_queries,
        }

    def failures(self, bounds: Mapping[str, Bound]) -> list[str]:
        """What is not good enough, in words; a figure that could not be measured is not."""
        figures = self.figures()
        found = []
        for name, bound in bounds.items():
            value = figures[name]
            if value is None:
                found.append(f"{name} could not be measured; {_word(bound)} {bound.limit:g} is asked for")
            elif (value < bound.limit) if bound.smallest else (value > bound.limit):
                found.append(f"{name} is {value:.4g}; {_word(bound)} {bound.limit:g} is asked for")
        return found

    def record(self, bounds: Mapping[str, Bound]) -> dict[str, Any]:
        """The content of the JSON file."""
        phrases = self.agreement.phrases if self.agreement is not None else ()
        return {
            "bag": str(self.run.bag),
            "camera": self.run.camera,
            "truth": self.truth,
            "seconds": round((self.run.end - self.run.start) / 1e9, 3),
            "figures": self.figures(),
            "phrases": [vars(row) for row in phrases],
            "bounds": {name: {"at_least" if b.smallest else "at_most": b.limit} for name, b in bounds.items()},
            "failures": self.failures(bounds),
        }


def _named(name: str, found: Percentiles | None) -> dict[str, float | int | None]:
    return {
        f"{name}_{key}_s": getattr(found, attribute) if found is not None else None
        for key, attribute in (("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("max", "most"))
    }


def _word(bound: Bound) -> str:
    return "at least" if bound.smallest else "at most"
