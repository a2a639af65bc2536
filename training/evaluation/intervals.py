"""How sure a figure is: intervals from drawing the images again, with replacement (Efron's bootstrap, percentiles)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
_AT_ONCE = 50  # resamples; with 847 classes 3 MB


@dataclass
class PerImageCounts:
    """Counts of every image whose sums over all images make a figure."""

    rows: list[np.ndarray] = field(default_factory=list)  # (K,) each, of one K

    def interval(
        self, figure: Callable[[np.ndarray], np.ndarray], seed: int, resamples: int = RESAMPLES
    ) -> tuple[float, float] | None:
        """The interval that holds `figure` of 95 % of the resamples; None without two images or without a figure.

        Args:
            figure: sums (R, K) to figures (R,), NaN where there is nothing to measure.
            seed: of the draw.
            resamples: how many.
        """
        images = len(self.rows)
        if images < 2:
            return None
        counts = np.stack(self.rows).astype(np.float64)
        random = np.random.default_rng(seed)
        even = np.full(images, 1 / images)
        drawn = [
            figure(random.multinomial(images, even, size=min(_AT_ONCE, resamples - start)) @ counts)
            for start in range(0, resamples, _AT_ONCE)
        ]
        values = np.concatenate(drawn)
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)


def share(sums: np.ndarray) -> np.ndarray:
    """(R, 2) hits and tries -> (R,)."""
    with np.errstate(invalid="ignore"):
        result: np.ndarray = sums[:, 0] / sums[:, 1]
    return result
