"""Selective search: its order of boxes, its masks, and, where OpenCV has its contrib modules, its search."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from openseg_ros.runtime.engine import EngineError
from training.baselines.selective_search import BoxPrediction, SelectiveSearchSystem, choose_boxes
from training.evaluation.proposal_recall import mask_iou

needs_contrib = pytest.mark.skipif(
    not hasattr(cv2, "ximgproc"), reason="this OpenCV has no contrib modules (opencv-contrib-python-headless)"
)


def scene() -> np.ndarray:
    image = np.full((60, 80, 3), (120, 90, 60), np.uint8)
    image[10:40, 15:45] = (220, 30, 30)
    image[30:55, 55:70] = (30, 60, 220)
    return image


def test_boxes_are_masks_at_the_images_size() -> None:
    prediction = BoxPrediction(np.array([[0, 0, 5, 4], [3, 1, 1, 2], [0, 0, 1, 1]]), (4, 5))
    assert prediction.proposals.shape == (3, 4, 5) and prediction.proposals.dtype == bool
    assert prediction.proposals[0].all()
    assert np.argwhere(prediction.proposals[1]).tolist() == [[1, 3], [2, 3]]
    assert np.argwhere(prediction.proposals[2]).tolist() == [[0, 0]]
    assert prediction.segment(np.arange(2)) is None
    assert BoxPrediction(np.zeros((0, 4), np.int64), (4, 5)).proposals.shape == (0, 4, 5)


def test_the_choice_of_boxes_depends_on_the_seed_alone() -> None:
    random = np.random.default_rng(0)
    boxes = random.integers(1, 100, (400, 4))
    picks = []
    for seed, order in ((0, boxes), (0, boxes[::-1]), (1, boxes)):
        torch.manual_seed(seed)
        picks.append(choose_boxes(order, 50))
    assert picks[0].shape == (50, 4)
    assert np.array_equal(picks[0], picks[1])  # OpenCV's own order does not matter
    assert not np.array_equal(picks[0], picks[2])
    assert {tuple(box) for box in picks[0]} <= {tuple(box) for box in boxes}
    assert len(choose_boxes(boxes[:20], 50)) == 20 and choose_boxes(boxes[:0], 50).shape == (0, 4)


def test_large_boxes_come_first_more_often() -> None:
    boxes = np.array([[0, 0, side, side] for side in range(1, 201)])
    torch.manual_seed(0)
    chosen = np.mean([choose_boxes(boxes, 50)[:, 2].mean() for _ in range(20)])
    first = [int(choose_boxes(boxes, 1)[0, 2]) for _ in range(200)]
    assert chosen > 120 and np.median(first) > 180  # 100.5 for any order without preference
    assert min(first) < 150  # but not always


@pytest.mark.skipif(hasattr(cv2, "ximgproc"), reason="this OpenCV has its contrib modules")
def test_without_contrib_modules_it_says_what_to_install() -> None:
    with pytest.raises(EngineError, match="install opencv-contrib-python-headless in place of"):
        SelectiveSearchSystem()


@needs_contrib
def test_rectangles_of_one_colour_are_found() -> None:
    truth = np.zeros((2, 60, 80), bool)
    truth[0, 10:40, 15:45] = True
    truth[1, 30:55, 55:70] = True
    torch.manual_seed(0)
    prediction = SelectiveSearchSystem().predict(scene())
    assert 2 <= len(prediction.proposals) <= 128
    assert (mask_iou(prediction.proposals, truth).max(0) > 0.8).all()


@needs_contrib
def test_the_same_seed_gives_the_same_proposals() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8), (0, 0), 4)
    system = SelectiveSearchSystem(count=5)
    torch.manual_seed(0)
    first = system.predict(image).proposals
    torch.manual_seed(0)
    assert np.array_equal(system.predict(image).proposals, first)  # though OpenCV's own order has changed by now
    torch.manual_seed(1)
    assert not np.array_equal(system.predict(image).proposals, first)


@needs_contrib
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 3)])
def test_small_and_plain_images_are_searched_too(size: tuple[int, int]) -> None:
    proposals = SelectiveSearchSystem().predict(np.full((*size, 3), 90, np.uint8)).proposals
    assert proposals.shape[1:] == size
