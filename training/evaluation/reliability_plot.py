"""A picture of how far probabilities can be trusted, for the model card."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from training.evaluation.calibration import Answers, expected_calibration_error, reliability

INK, BLUE, GREY = "#222222", "#2b6cb0", "#b8c4d0"


def reliability_plot(given: Answers, title: str) -> bytes:
    """Draw share right against stated probability, and how often each probability is stated.

    Args:
        given: answers to phrases on images that the probabilities were not fitted on.
        title: above the picture.

    Returns:
        A PNG file.
    """
    counts, said, true = reliability(given.probability, given.right)
    edges = np.linspace(0, 1, len(counts) + 1)
    filled = counts > 0
    with matplotlib.rc_context({"font.size": 9, "axes.edgecolor": INK}):
        figure = Figure(figsize=(4.6, 4.8), layout="constrained")
        curve, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        curve.plot((0, 1), (0, 1), color=GREY, linestyle="--", label="as stated")
        deviation = np.sqrt(true * (1 - true) / np.maximum(counts, 1))
        curve.errorbar(
            said[filled], true[filled], deviation[filled], color=BLUE, marker="o", capsize=2, label="measured, ± 1 s.e."
        )
        curve.set(ylabel="share of answers that are right", xlim=(0, 1), ylim=(0, 1))
        curve.set_title(
            f"{title}\nexpected calibration error {expected_calibration_error(given.probability, given.right):.3f}"
        )
        curve.legend(loc="upper left", frameon=False)
        histogram.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white")
        histogram.set(xlabel="probability that the node states", ylabel="answers")
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})  # no version: the same bytes again
    return picture.getvalue()
