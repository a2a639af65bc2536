"""Metrics against plain counts and public evaluators, on drawn cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.evaluation import proposal_recall
from training.evaluation.class_list import ClassList
from training.evaluation.confusion import ConfusionMatrix, mean_iou
from training.evaluation.data_set import AnnotatedImage, EvaluationSet, class_masks
from training.evaluation.intervals import PerImageCounts, share
from training.evaluation.phrase_hits import phrase_hits
from training.evaluation.proposal_recall import ProposalRecall, mask_iou
from training.evaluation.protocol import Evaluation

CLASSES = 5
LABELS = st.sampled_from([np.int32, np.int64]).flatmap(lambda kind: arrays(kind, (4, 6), elements=st.integers(-1, 7)))
WRAPPED = arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 1, 2, 3, 4, 255]))
ANSWERS = st.sampled_from([np.uint8, np.int16, np.uint16, np.int64, np.uint64]).flatmap(
    lambda kind: arrays(kind, (4, 6), elements=st.integers(0, CLASSES - 1))
)


def count_by_hand(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float | None]:
    """IoU per class from sets of pixels; None for a class that no pixel has."""
    result: list[float | None] = []
    for row in range(CLASSES):
        truth, answer = set(), set()
        for image, (label, prediction) in enumerate(pairs):
            for place in np.ndindex(label.shape):
                if 0 <= int(label[place]) < CLASSES:
                    truth |= {(image, place)} if int(label[place]) == row else set()
                    answer |= {(image, place)} if int(prediction[place]) == row else set()
        result.append(len(truth & answer) / len(truth | answer) if truth | answer else None)
    return result


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.one_of(LABELS, WRAPPED), ANSWERS), min_size=1, max_size=3))
def test_iou_is_that_of_sets_of_pixels(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    matrix = ConfusionMatrix(CLASSES)
    for label, prediction in pairs:
        matrix.add(label, prediction)
    by_hand = count_by_hand(pairs)
    assert [None if np.isnan(value) else value for value in matrix.iou()] == pytest.approx(by_hand)
    labelled = {int(v) for label, _ in pairs for v in np.unique(label) if 0 <= int(v) < CLASSES}
    union = [value for value in by_hand if value is not None]
    if labelled:
        assert matrix.mean_iou() == pytest.approx(np.mean([by_hand[row] for row in labelled]))
        assert matrix.mean_iou_of_union() == pytest.approx(np.mean(union))
    else:
        assert np.isnan(matrix.mean_iou()) and not union


@settings(max_examples=30, deadline=None)
@given(LABELS, ANSWERS)
def test_iou_agrees_with_torchmetrics(label: np.ndarray, prediction: np.ndarray) -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    import torch

    kept = np.where((label >= 0) & (label < CLASSES), label, 99).astype(np.int64)
    metric = classification.MulticlassJaccardIndex(CLASSES, average="none", ignore_index=99)
    theirs = metric(torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(kept)).numpy()
    matrix = ConfusionMatrix(CLASSES)
    matrix.add(label, prediction)
    # Where a class does not occur they say 0 and we say that there is nothing to measure.
    assert np.nan_to_num(matrix.iou()) == pytest.approx(theirs)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, st.tuples(st.integers(0, 4), st.just(7), st.just(5))), arrays(bool, (3, 7, 5)))
def test_mask_iou_agrees_with_pycocotools(first: np.ndarray, second: np.ndarray) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    ours = mask_iou(first, second)
    encoded = [[coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks] for masks in (first, second)]
    if len(first):
        theirs = coco.iou(encoded[0], encoded[1], [0] * len(second))
        empty = (first.sum((1, 2))[:, None] + second.sum((1, 2))[None]) == 0  # 0 / 0: theirs is not 0
        assert np.where(empty, 0, ours) == pytest.approx(np.where(empty, 0, theirs))
    assert ours.shape == (len(first), 3)


def test_mask_iou_does_not_depend_on_how_many_pixels_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    first, second = random.random((4, 30, 41)) > 0.4, random.random((3, 30, 41)) > 0.7
    whole = mask_iou(first, second)
    monkeypatch.setattr(proposal_recall, "PIXELS_AT_ONCE", 100)
    assert np.array_equal(mask_iou(first, second), whole)
    assert whole[1, 2] == (first[1] & second[2]).sum() / (first[1] | second[2]).sum()


def test_recall_meets_a_threshold_that_it_equals() -> None:
    label = np.ones((1, 1, 10), bool)
    half = label.copy()
    half[0, 0, 5:] = False
    recall = ProposalRecall()
    recall.add(half, label)
    assert recall.result() == {"R50": 1.0, "R70": 0.0, "R90": 0.0}


def test_predictions_of_unlabelled_pixels_do_not_count() -> None:
    matrix = ConfusionMatrix(2)
    matrix.add(np.array([[0, -1, 255, 1]]), np.array([[0, 1, 0, 1]]))
    assert matrix.counts.tolist() == [[1, 0], [0, 1]]  # not in the union of either class
    matrix.add(np.array([[-1]]), np.array([[77]]))  # whatever was said there
    assert matrix.counts.sum() == 2


@pytest.mark.parametrize("prediction", [-1, 2, 255])
def test_a_prediction_that_is_no_class_is_an_error(prediction: int) -> None:
    # Added up, (label 0, prediction 2) of two classes would be the cell of (1, 0).
    with pytest.raises(ValueError, match="not all in 0"):
        ConfusionMatrix(2).add(np.array([[0]]), np.array([[prediction]]))
    with pytest.raises(ValueError, match="shape"):
        ConfusionMatrix(2).add(np.array([[0]]), np.array([[0, 0]]))


# The protocol


class Answer:
    """A prediction with the score of every class at every pixel given."""

    def __init__(self, scores: np.ndarray, proposals: np.ndarray | None = None) -> None:
        self.scores, self.proposals = scores, proposals
        self.asked: list[list[int]] = []

    def segment(self, rows: np.ndarray) -> np.ndarray:
        self.asked.append(rows.tolist())
        answer: np.ndarray = rows[self.scores[rows].argmax(0)]
        return answer


class PointingAnswer(Answer):
    """An answer that can find phrases: the last word of each is the number of a proposal."""

    def find(self, phrases: Sequence[str]) -> np.ndarray:
        assert self.proposals is not None
        found: np.ndarray = self.proposals[[int(phrase.split()[-1]) for phrase in phrases]]
        return found


def data_set(queries: int, label_of_query: Sequence[int] | None = None) -> EvaluationSet:
    keys = tuple(f"class {row}" for row in range(queries))
    mapping = np.arange(queries) if label_of_query is None else np.array(label_of_query)
    return EvaluationSet(
        name="drawn",
        folder=Path(),
        queries=ClassList(tuple(range(queries)), keys, keys, tuple((key,) for key in keys)),
        labels=tuple(f"label {row}" for row in range(int(mapping.max()) + 1)),
        label_of_query=mapping,
        items=(),
        read=lambda index: annotated(np.zeros((1, 1), np.int32)),
    )


def annotated(label: np.ndarray, phrases: tuple[str, ...] = ()) -> AnnotatedImage:
    masks, crowd = class_masks(label)
    return AnnotatedImage(np.zeros((*label.shape, 3), np.uint8), label, masks, crowd, phrases)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            arrays(np.int32, (3, 4), elements=st.integers(-1, CLASSES - 1)),
            arrays(np.float64, (CLASSES, 3, 4), elements=st.floats(0, 1)),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_grounding_miou_asks_for_the_classes_of_the_image(images: list[tuple[np.ndarray, np.ndarray]]) -> None:
    evaluation = Evaluation(data_set(CLASSES))
    pairs, grounded = [], []
    for label, scores in images:
        answer = Answer(scores)
        evaluation.add(annotated(label), answer)
        present = sorted({int(value) for value in label.ravel()} - {-1})
        assert answer.asked == [list(range(CLASSES)), *([present] if present else [])]
        pairs.append((label, scores.argmax(0)))
        best = np.full(label.shape, -1)
        for place in np.ndindex(label.shape):
            if present:
                best[place] = max(present, key=lambda row, place=place: (scores[(row, *place)], -row))
        grounded.append((label, best))
    for matrix, expected in ((evaluation.all_classes, pairs), (evaluation.grounding, grounded)):
        by_hand = count_by_hand(expected)
        assert [None if np.isnan(value) else value for value in matrix.iou()] == pytest.approx(by_hand)


def test_an_image_of_one_class_is_wholly_right_when_grounded() -> None:
    evaluation = Evaluation(data_set(3))
    scores = np.zeros((3, 2, 2))
    scores[2] = 1
    measured = evaluation.add(annotated(np.full((2, 2), 1, np.int32)), Answer(scores))
    assert measured.mean_iou == 0
    assert evaluation.result()["miou"] == 0 and evaluation.result()["grounding_miou"] == 1


def test_an_absent_class_counts_by_one_rule_and_not_by_the_other() -> None:
    evaluation = Evaluation(data_set(3))
    scores = np.zeros((3, 1, 4))
    scores[0, 0, :3] = scores[2, 0, 3] = 1  # class 2 is nowhere, and predicted once
    evaluation.add(annotated(np.zeros((1, 4), np.int32)), Answer(scores))
    result = evaluation.result()
    assert result["miou"] == pytest.approx(3 / 4)
    assert result["miou_of_union"] == pytest.approx((3 / 4 + 0) / 2)
    assert [row.iou for row in evaluation.per_class()] == [pytest.approx(3 / 4), None, 0.0]


def test_several_queries_may_be_one_label() -> None:
    # As VOC-21: queries 1, 2 and 3 are the background, label 1.
    evaluation = Evaluation(data_set(4, [0, 1, 1, 1]))
    scores = np.zeros((4, 1, 4))
    for pixel, query in enumerate((0, 2, 3, 0)):
        scores[query, 0, pixel] = 1
    answer = Answer(scores)
    measured = evaluation.add(annotated(np.array([[0, 1, 1, 1]], np.int32)), answer)
    assert measured.prediction.tolist() == [[0, 1, 1, 0]]
    assert evaluation.all_classes.counts.tolist() == [[1, 0], [1, 2]]
    assert answer.asked[1] == [0, 1, 2, 3]  # the background's names stay where the image has background
    thing_only = Answer(scores)
    evaluation.add(annotated(np.array([[0, 0, -1, 0]], np.int32)), thing_only)
    assert thing_only.asked[1] == [0]


def test_images_without_labels_change_nothing() -> None:
    evaluation = Evaluation(data_set(2))
    measured = evaluation.add(annotated(np.full((2, 2), -1, np.int32)), Answer(np.zeros((2, 2, 2))))
    assert np.isnan(measured.mean_iou)
    assert evaluation.result() == {
        "images": 1,
        "miou": None,
        "miou_of_union": None,
        "grounding_miou": None,
        "grounding_miou_of_union": None,
        "phrase_top1": None,
        "R50": None,
        "R70": None,
        "R90": None,
    }


def test_crowds_need_no_proposal() -> None:
    label = np.array([[0, 0, 1, 1]], np.int32)
    masks = class_masks(label)[0]
    evaluation = Evaluation(data_set(2))
    image = AnnotatedImage(np.zeros((1, 4, 3), np.uint8), label, masks, np.array([False, True]))
    evaluation.add(image, Answer(np.zeros((2, 1, 4)), proposals=masks[:1]))
    assert evaluation.result()["R90"] == 1.0
    assert evaluation.all_classes.counts.sum() == 4  # but the crowd's pixels have a class


def test_a_class_that_was_not_there_to_choose_is_an_error() -> None:
    class Wrong(Answer):
        def segment(self, rows: np.ndarray) -> np.ndarray:
            return np.full((1, 2), -1)  # as an index it would be the last class

    with pytest.raises(ValueError, match=r"rows -1 \.\. -1 were predicted"):
        Evaluation(data_set(2)).add(annotated(np.zeros((1, 2), np.int32)), Wrong(np.zeros((2, 1, 2))))


def test_a_phrase_hits_when_its_best_region_is_the_object() -> None:
    masks = np.zeros((3, 1, 6), bool)
    masks[0, 0, :2] = masks[1, 0, 2:4] = masks[2, 0, 4:] = True
    right = PointingAnswer(np.zeros((1, 1, 6)), masks)
    assert phrase_hits(right, masks, ("0", "1", "2")) == [True, True, True]
    swapped = PointingAnswer(np.zeros((1, 1, 6)), masks[[1, 0, 2]])
    assert phrase_hits(swapped, masks, ("0", "1", "2")) == [False, False, True]
    assert phrase_hits(swapped, masks, ("0", "0", "2")) == [True]  # what names two things is not asked
    assert phrase_hits(swapped, masks, ("1", "1", "1")) == []
    # "2" fits what is called "3 2", and "0" what is called "1 0", but not "0 1": that is another noun.
    assert phrase_hits(swapped, masks, ("0", "2", "3 2")) == [False, True]
    assert phrase_hits(swapped, masks, ("0", "0 1", "1 0")) == [False, False]
    assert phrase_hits(swapped, masks, ("0", "0 1", "2")) == [False, False, True]


def test_phrases_are_measured_where_a_system_can_point() -> None:
    label = np.array([[0, 0, 1, 1]], np.int32)
    image = annotated(label, ("0", "1"))
    able, unable = Evaluation(data_set(2)), Evaluation(data_set(2))
    scores = np.zeros((2, 1, 4))
    able.add(image, PointingAnswer(scores, image.masks))
    unable.add(image, Answer(scores, image.masks))
    assert able.result()["phrase_top1"] == 1.0
    assert unable.result()["phrase_top1"] is None


def test_the_interval_of_a_share_is_that_of_the_binomial_distribution() -> None:
    counts = PerImageCounts([np.array([hit, 1]) for hit in [1] * 30 + [0] * 70])
    low, high = counts.interval(share, seed=1, resamples=4000)
    deviation = np.sqrt(0.3 * 0.7 / 100)
    assert (low, high) == pytest.approx((0.3 - 1.96 * deviation, 0.3 + 1.96 * deviation), abs=0.012)
    assert counts.interval(share, seed=1, resamples=4000) == (low, high)


def test_the_interval_of_miou_is_of_the_matrices_sum() -> None:
    random = np.random.default_rng(0)
    images = []
    for _ in range(40):
        matrix = ConfusionMatrix(CLASSES)
        matrix.add(random.integers(0, 3, (6, 8)), random.integers(0, CLASSES, (6, 8)))  # two classes never occur
        images.append(matrix)
    total = ConfusionMatrix(CLASSES)
    total.counts = np.sum([matrix.counts for matrix in images], axis=0)
    assert mean_iou(total.pixels()[None])[0] == pytest.approx(total.mean_iou())
    low, high = PerImageCounts([matrix.pixels() for matrix in images]).interval(mean_iou, seed=0)
    assert low < total.mean_iou() < high < low + 0.05


def test_too_few_images_and_nothing_to_measure_have_no_interval() -> None:
    assert PerImageCounts([np.array([1, 1])]).interval(share, seed=0) is None
    assert PerImageCounts([np.array([0, 0])] * 3).interval(share, seed=0) is None
    assert PerImageCounts([np.zeros(3 * CLASSES)] * 3).interval(mean_iou, seed=0) is None
