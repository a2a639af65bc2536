"""Probabilities of regions: fitting them on validation answers, and how far they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from openseg_ros.runtime.calibration import CalibrationNumbers

PRIOR = 1e-6  # of the fitted weights, per answer: matters only where the answers leave a weight open


@dataclass(frozen=True)
class Candidates:
    """Every region of every image, for every phrase that the image was asked for: R regions, A phrases."""

    cosine: np.ndarray  # (R,) of region and phrase
    quality: np.ndarray  # (R,) mask quality of the region
    cohort: np.ndarray  # (R,) how well common words describe the region
    right: np.ndarray  # (R,) bool: the phrase is true of the image and the region is the object
    asked: np.ndarray  # (R,) int, rising: number of the phrase
    present: np.ndarray  # (A,) bool: the phrase is true of the image
    image: np.ndarray  # (A,) int, rising: number of the image


@dataclass(frozen=True)
class Answers:
    """What the best region of every asked phrase is worth."""

    probability: np.ndarray  # (A,)
    right: np.ndarray  # (A,) bool
    present: np.ndarray  # (A,) bool


def fit(candidates: Candidates) -> CalibrationNumbers:
    """The calibration whose best regions are right most often, and whose probabilities are true of the best regions.

    All regions decide, by maximum likelihood, how cosine, mask quality and cohort score weigh against each other: a
    part of an object has nearly the cosine of the whole, but a vaguer mask. The best regions are a chosen few, though,
    so scale and bias of that sum are then fitted once more on them alone.
    """
    columns = np.stack([candidates.cosine, candidates.quality, candidates.cohort], axis=1)
    weights = _logistic(columns, candidates.right, expected=0.0)
    score = columns @ weights[:-1] + weights[-1]
    best = best_of_each(score, candidates.asked)
    factor, offset = _logistic(score[best, None], candidates.right[best], expected=1.0)
    scale, quality, cohort, bias = (round(float(value), 4) for value in factor * weights + [0, 0, 0, offset])
    return CalibrationNumbers(scale=scale, quality=quality, cohort=cohort, bias=bias)


def answers(candidates: Candidates, calibration: CalibrationNumbers) -> Answers:
    """What the calibrated system says to every phrase."""
    probability = calibration.probability(candidates.cosine, candidates.quality, candidates.cohort)
    best = best_of_each(probability, candidates.asked)
    return Answers(probability[best], candidates.right[best], candidates.present[candidates.asked[best]])


def cross_fitted_answers(candidates: Candidates) -> Answers:
    """What the system says to every phrase, with the calibration of images that the phrase was not asked of.

    The first half of the images is answered with what the second half gave, and the other way round: views of one
    scene follow each other, so they are on one side. Needs two images.
    """
    number = np.unique(candidates.image, return_inverse=True)[1]  # of images that were asked: the halves are not empty
    first = (number < (number.max() + 1) / 2)[candidates.asked]
    parts = [answers(_take(candidates, half), fit(_take(candidates, ~half))) for half in (first, ~first)]
    return Answers(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("probability", "right", "present"))
    )


def _take(candidates: Candidates, rows: np.ndarray) -> Candidates:
    """The regions `rows` (R,) bool; phrases keep their numbers."""
    regions = {name: getattr(candidates, name)[rows] for name in ("cosine", "quality", "cohort", "right", "asked")}
    return replace(candidates, **regions)


def best_of_each(score: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Index of the highest `score` (R,) of every group; `group` (R,) is rising."""
    order = np.lexsort((score, group))
    last = np.append(group[order][1:] != group[order][:-1], True)
    found: np.ndarray = order[last]
    return found


def expected_calibration_error(probability: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Mean over equal-width bins of |share right - mean probability|, weighted by their counts."""
    counts, said, true = reliability(probability, right, bins)
    return float((counts * np.abs(true - said)).sum() / max(1, counts.sum()))


def reliability(probability: np.ndarray, right: np.ndarray, bins: int = 15) -> tuple[np.ndarray, ...]:
    """Answers in bins of equal width: their counts, mean probability and share that is right, (bins,) each.

    The last two are 0 in an empty bin.
    """
    index = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    said, true = (np.bincount(index, values, bins) / np.maximum(counts, 1) for values in (probability, right))
    return counts, said, true


def answer_figures(given: Answers, threshold: float = 0.5) -> dict[str, float]:
    """How the answers "not found" (probability below `threshold`) and "found" fare."""
    not_found = given.probability < threshold
    absent = ~given.present
    return {
        "best_region_right": float(given.right[given.present].mean()) if given.present.any() else float("nan"),
        "not_found_precision": float(absent[not_found].mean()) if not_found.any() else float("nan"),
        "not_found_recall": float(not_found[absent].mean()) if absent.any() else float("nan"),
        "present_recall": float((~not_found)[given.present].mean()) if given.present.any() else float("nan"),
        "found_precision": float(given.right[~not_found].mean()) if (~not_found).any() else float("nan"),
    }


def not_found_threshold(given: Answers, precision: float) -> float:
    """The largest threshold below which at least the share `precision` of the phrases is absent; NaN if none is.

    A larger one answers NOT_FOUND to more phrases that are not there, and to more that are.
    """
    order = np.argsort(given.probability, kind="stable")
    rising, absent = given.probability[order], ~given.present[order]
    true = np.cumsum(absent) / np.arange(1, len(absent) + 1)  # of the NOT_FOUND answers up to each phrase
    ends = np.append(rising[1:], np.inf)  # the threshold that ends them there, if the next phrase is not as probable
    possible = (true >= precision) & (ends > rising) & np.isfinite(ends)
    return float(ends[possible].max()) if possible.any() else float("nan")


def _logistic(columns: np.ndarray, labels: np.ndarray, *, expected: float) -> np.ndarray:
    """Weights of sigmoid(columns @ weights[:-1] + weights[-1]) that make `labels` likeliest.

    A weak prior draws the weights to `expected` (the bias to nothing): labels that can be parted without error would
    otherwise ask for infinite weights, and labels that are all alike for any.
    """
    extended = np.append(columns, np.ones((len(columns), 1)), axis=1)
    start = np.append(np.full(columns.shape[1], expected), 0.0)

    def loss_and_gradient(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logit = extended @ weights
        error = expit(logit) - labels
        away = PRIOR * (weights - start)
        loss = np.logaddexp(0, np.where(labels, -logit, logit)).mean() + 0.5 * away @ (weights - start)
        return float(loss), error @ extended / len(extended) + away

    found: np.ndarray = minimize(loss_and_gradient, start, jac=True, method="BFGS").x
    return found
