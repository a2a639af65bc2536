"""Metrics against counts made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.confusion import ConfusionMatrix
from training.evaluation.proposal_recall import ProposalRecall, mask_iou


def test_iou_by_hand_and_both_rules_for_absent_classes() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 1]]))  # 255 is ignored
    matrix.add(np.array([[0]]), np.array([[3]]))  # class 3 is predicted, but nowhere labelled
    # class 0: 1 right of 3 labelled, none predicted wrongly; class 1: 1 right, 1 wrong; 2: absent; 3: only predicted
    assert matrix.iou()[:2] == pytest.approx([1 / 3, 1 / 2])
    assert np.isnan(matrix.iou()[2]) and matrix.iou()[3] == 0
    assert matrix.mean_iou() == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert matrix.mean_iou_of_union() == pytest.approx((1 / 3 + 1 / 2 + 0) / 3)


def test_confusion_equals_a_plain_count() -> None:
    random = np.random.default_rng(0)
    matrix = ConfusionMatrix(5)
    expected = np.zeros((5, 5), int)
    for _ in range(3):
        label, prediction = random.integers(-1, 7, (6, 9)), random.integers(0, 5, (6, 9))
        matrix.add(label, prediction)
        for truth, guess in zip(label.ravel(), prediction.ravel(), strict=True):
            if 0 <= truth < 5:
                expected[truth, guess] += 1
    assert np.array_equal(matrix.counts, expected)


def test_recall_counts_labels_not_images() -> None:
    label = np.zeros((4, 1, 10), bool)
    for row, size in enumerate((10, 8, 6, 2)):
        label[row, 0, :size] = True
    proposal = np.ones((1, 1, 10), bool)  # IoU with the four labels: 1.0, 0.8, 0.6, 0.2
    assert mask_iou(proposal, label).tolist() == [[1.0, 0.8, 0.6, 0.2]]
    recall = ProposalRecall()
    recall.add(proposal, label[:3])
    recall.add(proposal, label[3:])
    recall.add(proposal[:0], label[:1])  # no proposal at all: missed
    recall.add(proposal, label[:0])
    assert recall.result() == {"R50": 3 / 5, "R70": 2 / 5, "R90": 1 / 5}
