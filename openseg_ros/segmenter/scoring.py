"""Which regions answer which query: probabilities, reported regions, the answer per query."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_ros.runtime.calibration import Calibration
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.segmenter.proposals import Proposals, suppress_duplicates
from openseg_ros.segmenter.relations import SAME_OBJECT_OVERLAP
from openseg_ros.segmenter.settings import SegmenterSettings
from openseg_ros.text.vocabulary import Vocabulary


class Status(enum.IntEnum):
    """Numbers of RegionArray.status."""

    OK = 0
    NO_QUERY = 1
    NOT_FOUND = 2
    AMBIGUOUS = 3
    DEGRADED = 4  # the network gave numbers that are not finite; what is reported comes from the rest


@dataclass(frozen=True)
class Scores:
    """What scoring says about M proposals and Q queries; `reported` is in falling order of score."""

    probability: np.ndarray  # (M, Q) float32
    thresholds: np.ndarray  # (Q,) float32
    passes: np.ndarray  # (M, Q) bool: the region answers the query (never true for background)
    is_double: np.ndarray  # (M,) bool: left out, because a better region of the same name lies on the same thing
    reported: np.ndarray  # (R,) proposals that are reported
    boxes: np.ndarray  # (R, 4) x y width height, tight, camera pixels
    masks: tuple[np.ndarray, ...]  # R of (height, width) bool, cropped to the box
    labelled: np.ndarray  # (R,) query that names the region
    margin: np.ndarray  # (R,) float32
    reference_probability: np.ndarray  # (M, F) float32, of the things that relations name; F = 0 without any


def score_regions(
    proposals: Proposals, vocabulary: Vocabulary, calibration: Calibration, settings: SegmenterSettings
) -> Scores:
    """Score proposals against a vocabulary and choose those to report."""
    cohort = calibration.cohort_score(proposals.embeddings)[:, None]
    probability = _probabilities(proposals, vocabulary, calibration, cohort)
    wanted, background = vocabulary.thresholds, vocabulary.background
    thresholds = np.where(wanted < 0, np.float32(settings.score_threshold), wanted)

    strongest_background = probability[:, background].max(1, initial=0.0)
    passes = (probability >= thresholds) & ~background & (probability >= strongest_background[:, None])
    candidates = np.flatnonzero(passes.any(1))
    scored = np.where(passes[candidates], probability[candidates], -1)
    labelled = scored.argmax(1) if candidates.size else np.zeros(0, np.intp)
    score = scored.max(1, initial=0.0)
    order = np.argsort(-score, kind="stable")
    is_first = _one_per_object(proposals.overlap, candidates[order], labelled[order], passes[candidates[order]])
    is_double = np.zeros(len(proposals), bool)
    is_double[candidates[order[~is_first]]] = True
    order = order[is_first]
    # The best region of a query is never cut off by many better regions of other queries.
    best_of_a_query = (scored[order] == scored[order].max(0, initial=0.0)).any(1)
    order = order[np.lexsort((-score[order], ~best_of_a_query))[: settings.max_regions]]
    order = order[np.argsort(-score[order], kind="stable")]

    reported, boxes, masks = camera_masks(proposals, candidates[order])
    kept = np.isin(candidates[order], reported)
    order = order[kept]
    others = probability[reported].copy()
    others[np.arange(len(order)), labelled[order]] = 0
    visible = np.zeros(len(proposals), bool)
    visible[reported] = True
    return Scores(
        probability=probability,
        thresholds=thresholds,
        passes=passes & visible[:, None],
        is_double=is_double,
        reported=reported,
        boxes=boxes,
        masks=masks,
        labelled=labelled[order],
        margin=score[order] - others.max(1, initial=0.0),
        reference_probability=(
            np.zeros((len(proposals), 0), np.float32)
            if vocabulary.references is None
            else _probabilities(proposals, vocabulary.references, calibration, cohort)
        ),
    )


def _one_per_object(
    overlap: np.ndarray, candidates: np.ndarray, labelled: np.ndarray, passes: np.ndarray
) -> np.ndarray:
    """(C,) bool: of candidates of one name on one thing, best first, only the best.

    Networks propose a thing several times: with its shadow, without its handle. 75 validation images had 1794 regions
    for 881 things that were asked for, 1161 of them right for 556 things; of these 668 stay, right for 533. One that
    answers a query which the better one does not answer stays too.

    Args:
        overlap: (M, M) of all proposals.
        candidates: (C,) proposals, best first.
        labelled: (C,) query that names each.
        passes: (C, Q) bool: queries that each answers.
    """
    answers = passes.astype(np.float32)
    answers_no_more = (1.0 - answers) @ answers.T == 0.0  # [i, j]: what j answers, i answers too
    may_double = answers_no_more & (labelled[:, None] == labelled)
    return suppress_duplicates(overlap[np.ix_(candidates, candidates)] * may_double, SAME_OBJECT_OVERLAP)


def best_answer(
    proposals: Proposals, scores: Scores, query: int, margin_threshold: float, passing: np.ndarray | None = None
) -> tuple[Status, int]:
    """The best proposal for a query that some region passes, and whether it is the only good one.

    A second region whose score is within `margin_threshold` of the best makes the answer AMBIGUOUS, unless it lies
    mostly on the best one: then both are views of one object, and choosing either is right.

    Args:
        proposals: the regions of the image.
        scores: what they are worth.
        query: index.
        margin_threshold: probability.
        passing: (C,) the proposals to choose from; None: all that pass the query.

    Returns:
        OK or AMBIGUOUS, and the proposal's index.
    """
    if passing is None:
        passing = np.flatnonzero(scores.passes[:, query])
    probability = scores.probability[passing, query]
    best = int(passing[probability.argmax()])
    elsewhere = proposals.overlap[best, passing] <= SAME_OBJECT_OVERLAP
    rival = probability[elsewhere].max(initial=-1.0)
    return (Status.AMBIGUOUS if probability.max() - rival < margin_threshold else Status.OK), best


def camera_masks(proposals: Proposals, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Binarise masks at the camera's resolution.

    This goes region by region, over the chosen ones only and each on its own box. One array of all regions at full
    resolution would be simpler and cost megabytes per region (peers' fault: 92 MB for 100 masks at 720p).

    Args:
        proposals: the regions of the image.
        chosen: (C,) indices.

    Returns:
        (R,) those of `chosen` that have a pixel: where the camera has fewer pixels than the grid has cells, a mask can
        fall between them; (R, 4) int64 tight boxes x y width height; R masks (height, width) bool.
    """
    found = [_camera_mask(proposals.letterbox, proposals.mask_logits[index]) for index in chosen]
    seen = [row for row, (_, mask) in enumerate(found) if mask.size]
    boxes = np.array([found[row][0] for row in seen], np.int64).reshape(-1, 4)
    return chosen[seen], boxes, tuple(found[row][1] for row in seen)


def _camera_mask(letterbox: Letterbox, logits: np.ndarray) -> tuple[tuple[int, int, int, int], np.ndarray]:
    x, y, width, height = letterbox.box_of(logits > 0)
    mask = letterbox.upsample(logits, (x, y, width, height)) > 0
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8)) if mask.size else (0, 0, 0, 0)
    return (x + left, y + top, width, height), mask[top : top + height, left : left + width]


def _probabilities(
    proposals: Proposals, vocabulary: Vocabulary, calibration: Calibration, cohort: np.ndarray
) -> np.ndarray:
    """(M, Q) float32: the best name's cosine per query (paper 4.3), calibrated."""
    embeddings = proposals.embeddings
    if not vocabulary.queries:
        return np.zeros((len(embeddings), 0), np.float32)
    if embeddings.shape[1] != vocabulary.embeddings.shape[1]:
        raise ValueError(
            f"the vocabulary has vectors of {vocabulary.embeddings.shape[1]} numbers, the regions of "
            f"{embeddings.shape[1]}: they come from different text encoders"
        )
    cosine = embeddings @ vocabulary.embeddings.T
    if len(vocabulary.owner) > len(vocabulary.queries):  # else each query has one name
        first_names = np.searchsorted(vocabulary.owner, np.arange(len(vocabulary.queries)))
        cosine = np.maximum.reduceat(cosine, first_names, axis=1)
    probability = calibration.probability(cosine, proposals.mask_quality[:, None], cohort)
    return probability.astype(np.float32, copy=False)
