"""Both losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.grounding_loss import caption_similarities, grounding_loss
from training.losses.pixel_loss import pixel_loss
from training.losses.segmentation_loss import (
    DICE_SMOOTHING,
    dice_coefficients,
    dice_of_proposals,
    labelled_regions,
    segmentation_loss,
)

FAR = 30.0  # sigmoid(30) is 1 and sigmoid(-30) is 0 in float32


def logits(*rows: list[int]) -> torch.Tensor:
    """Masks given as 0/1 rows of a 1 x 4 grid, as (1, N, 1, 4) logits."""
    return (torch.tensor(rows, dtype=torch.float32) * 2 - 1)[None, :, None] * FAR


def test_dice_of_half_overlap() -> None:
    masks = torch.tensor([[[1.0, 1, 0, 0]]])
    labels = torch.tensor([[[0.0, 1, 1, 0]]])
    # 2 * 1 common cell / (2 + 2 cells), smoothed by 1 above and below.
    assert dice_coefficients(masks, labels).item() == pytest.approx((2 + DICE_SMOOTHING) / (4 + DICE_SMOOTHING))


def test_each_label_takes_its_best_proposal() -> None:
    masks = logits([1, 1, 0, 0], [0, 0, 0, 1])
    labels = torch.tensor([[[[1.0, 1, 0, 0]], [[0.0, 0, 1, 1]]]])
    # The first label is met exactly: 1 - 1. The second is best met by the second mask: 1 - (2 + 1) / (1 + 2 + 1).
    loss = segmentation_loss(dice_of_proposals(masks, labels, torch.ones(1, 1, 4)), torch.tensor([[True, True]]))
    assert loss.item() == pytest.approx((0 + 0.25) / 2, abs=1e-5)


def test_one_proposal_may_serve_two_labels_and_only_it_learns() -> None:
    masks = torch.cat([logits([1, 1, 1, 1]), logits([0, 0, 0, 0])], dim=1) / FAR
    masks.requires_grad_()
    labels = torch.tensor([[[[1.0, 1, 0, 0]], [[0.0, 0, 1, 1]]]])
    segmentation_loss(dice_of_proposals(masks, labels, torch.ones(1, 1, 4)), torch.tensor([[True, True]])).backward()
    assert masks.grad is not None
    assert masks.grad[0, 0].abs().sum() > 0
    assert masks.grad[0, 1].abs().sum() == 0


def test_padding_of_labels_images_and_letterbox_does_not_count() -> None:
    masks = logits([1, 1, 0, 1])
    labels = torch.tensor([[[[1.0, 1, 0, 0]], [[0.0, 0, 0, 0]]]])
    valid = torch.tensor([[[1.0, 1, 1, 0]]])
    alone = segmentation_loss(dice_of_proposals(masks, labels, valid), torch.tensor([[True, False]]))
    assert alone.item() == pytest.approx(0, abs=1e-5)
    batch = segmentation_loss(
        dice_of_proposals(masks.repeat(2, 1, 1, 1), labels.repeat(2, 1, 1, 1), valid.repeat(2, 1, 1)),
        torch.tensor([[True, False], [False, False]]),
    )
    assert batch.item() == pytest.approx(alone.item())


def test_labelled_regions_are_the_best_for_each_label_and_all_of_an_image_without() -> None:
    masks = logits([1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]).repeat(2, 1, 1, 1)
    labels = torch.tensor([[[1.0, 1, 0, 0]], [[0.0, 0, 0, 0]]])[None].repeat(2, 1, 1, 1)
    exists = torch.tensor([[True, False], [False, False]])
    chosen = labelled_regions(dice_of_proposals(masks, labels, torch.ones(2, 1, 4)), exists)
    assert chosen.tolist() == [[True, False, False], [True, True, True]]


def test_words_choose_among_the_existing_regions_alone() -> None:
    regions, words = torch.eye(2)[None], torch.eye(2)[:1][None]
    word_exists, temperature = torch.tensor([[True]]), torch.tensor(0.5)
    alone = caption_similarities(regions, words, word_exists, temperature, torch.tensor([[False, True]]))
    assert alone.item() == 0.0  # the region that fits the word is not there
    both = caption_similarities(regions, words, word_exists, temperature, torch.tensor([[True, True]]))
    assert both.item() == caption_similarities(regions, words, word_exists, temperature).item() > 0.5


def test_similarity_of_a_caption_by_hand() -> None:
    regions = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])  # two regions, cosines with "cup" = (1, 0): 1 and 0
    words = torch.tensor([[[5.0, 0.0], [1.0, 1.0]]])
    tau = 0.5
    weight = math.exp(1 / tau) / (math.exp(1 / tau) + 1)  # eq. 2 over the regions
    first = weight * 1.0
    second = 1 / math.sqrt(2)  # both regions have this cosine, so their softmax does not matter
    similarity = caption_similarities(regions, words, torch.tensor([[True, True]]), torch.tensor(tau))
    assert similarity.item() == pytest.approx((first + second) / 2, abs=1e-6)
    one_word = caption_similarities(regions, words, torch.tensor([[True, False]]), torch.tensor(tau))
    assert one_word.item() == pytest.approx(first, abs=1e-6)


def test_grounding_loss_by_hand() -> None:
    regions = torch.eye(2)[:, None]  # image 0 shows (1, 0), image 1 shows (0, 1), one region each
    words = torch.eye(2)[:, None]
    tau = 0.5
    loss = grounding_loss(regions, words, torch.ones(2, 1, dtype=torch.bool), torch.tensor(tau))
    # Similarities are the identity; each direction is -log of softmax([1, 0] / tau)[0]; eq. 4 adds both.
    one_direction = -math.log(math.exp(1 / tau) / (math.exp(1 / tau) + 1))
    assert loss.item() == pytest.approx(2 * one_direction, abs=1e-6)


def test_caption_without_words_takes_no_part() -> None:
    torch.manual_seed(0)
    regions, words = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    exists = torch.tensor([[True] * 5, [False] * 5, [True, True, False, False, False]])
    loss = grounding_loss(regions, words, exists, torch.tensor(0.1))
    kept = [0, 2]
    assert loss.item() == pytest.approx(
        grounding_loss(regions[kept], words[kept], exists[kept], torch.tensor(0.1)).item(), rel=1e-5
    )


def test_batch_without_any_word_gives_zero_with_gradient() -> None:
    regions = torch.randn(2, 4, 8, requires_grad=True)
    loss = grounding_loss(regions, torch.randn(2, 1, 8), torch.zeros(2, 1, dtype=torch.bool), torch.tensor(0.1))
    loss.backward()
    assert loss.item() == 0
    assert regions.grad is not None and not regions.grad.any()


def test_pixel_loss_by_hand_leaves_out_unlabelled_cells() -> None:
    names = torch.tensor([[2.0, 0.0], [0.0, 0.5]])  # two classes at right angles; lengths do not count
    pixels = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])  # cosines (1, 0), (0, 1), (1, 0)
    tau = 0.5
    right, wrong = -math.log(math.exp(2) / (math.exp(2) + 1)), -math.log(1 / (math.exp(2) + 1))
    both = pixel_loss(pixels, names, torch.tensor([[0, 0, -1]]), torch.tensor(tau))
    assert both.item() == pytest.approx((right + wrong) / 2, abs=1e-6)
    assert pixel_loss(pixels, names, torch.tensor([[0, -1, -1]]), torch.tensor(tau)).item() == pytest.approx(
        right, abs=1e-6
    )


def test_pixel_loss_of_a_batch_without_labels_is_zero_with_gradient() -> None:
    pixels = torch.randn(2, 3, 4, requires_grad=True)
    loss = pixel_loss(pixels, torch.randn(5, 4), torch.full((2, 3), -1), torch.tensor(0.1))
    loss.backward()
    assert loss.item() == 0
    assert pixels.grad is not None and not pixels.grad.any()


def test_temperature_learns_from_both_losses_that_use_it() -> None:
    log_temperature = torch.tensor(-2.0, requires_grad=True)
    torch.manual_seed(0)
    exists = torch.ones(3, 2, dtype=torch.bool)
    grounding_loss(torch.randn(3, 4, 8), torch.randn(3, 2, 8), exists, log_temperature.exp()).backward()
    assert log_temperature.grad is not None and log_temperature.grad.abs() > 1e-3
    log_temperature.grad = None
    classes = torch.tensor([[0, 1, 2, 0, 1, 2]])
    pixel_loss(torch.randn(1, 6, 8), torch.randn(3, 8), classes, log_temperature.exp()).backward()
    assert log_temperature.grad is not None and log_temperature.grad.abs() > 1e-3
