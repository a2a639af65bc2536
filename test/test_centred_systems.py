"""Systems without proposals and with true masks on a network that centres the regions of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_model import SMALL, random_weights

from openseg_ros.model.pooling import pool_regions
from openseg_ros.runtime.weights import Weights
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.text.text_encoder import load_text_encoder
from training.evaluation.available_systems import SystemOptions, load_system
from training.evaluation.class_list import ClassList

NAMES = ("cup", "bowl", "fork", "table", "dog")
SIZE = (48, 128)  # half as high as the network's input: the lower half of the grid is padding


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return random_weights(tmp_path_factory.mktemp("models") / "centred", replace(SMALL, center_regions=True))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


def network_on(weights: Weights, photo: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """What the network itself makes of `masks` (M, h, w) on its grid, as proposals: (M, D)."""
    network = weights.build_network()
    pixels = torch.from_numpy(Letterbox(SIZE, SMALL.input_size, 4).apply(photo)).permute(2, 0, 1)[None]
    with torch.no_grad():
        fused = network.pyramid(network.backbone((pixels.float() - 128) / 128)[network.first_level :])
        logits = torch.from_numpy(np.where(masks, 100.0, -100.0).astype(np.float32))[None]
        pooled = pool_regions(logits, network.embedding_head(fused), torch.ones(1, *masks.shape[1:]))
        return network.describe(pooled)[0].numpy()


def best_names(weights: Weights, embeddings: np.ndarray) -> np.ndarray:
    return (load_text_encoder(weights.description.text_encoder).encode(NAMES) @ embeddings.T).argmax(0)


def answer(name: str, weights: Weights, photo: np.ndarray, masks: np.ndarray) -> np.ndarray:
    system = load_system(name, SystemOptions(str(weights.folder), backend="torch")).system
    system.set_classes(ClassList(tuple(range(1, 6)), NAMES, NAMES, tuple((name,) for name in NAMES)))
    found: np.ndarray = system.predict(photo, masks).segment(np.arange(5))
    return found


def test_true_masks_are_described_as_the_network_describes_its_own(weights: Weights, photo: np.ndarray) -> None:
    masks = np.zeros((8, *SIZE), bool)
    for number, mask in enumerate(masks):
        mask[:, 16 * number : 16 * number + 16] = True
    on_grid = np.zeros((8, 24, 32), bool)
    on_grid[:, :12] = masks[:, ::4, ::4]
    expected = best_names(weights, network_on(weights, photo, on_grid))
    assert len(set(expected)) > 1
    assert answer("openseg_true_masks", weights, photo, masks)[0, ::16].tolist() == expected.tolist()


def test_without_proposals_every_cell_of_the_image_is_a_region(weights: Weights, photo: np.ndarray) -> None:
    cells = np.eye(12 * 32, dtype=bool).reshape(-1, 12, 32)
    masks = np.concatenate([cells, np.zeros((len(cells), 12, 32), bool)], axis=1)  # none in the padding
    expected = best_names(weights, network_on(weights, photo, masks)).reshape(12, 32)
    assert len(np.unique(expected)) > 1
    answered = answer("openseg_no_proposals", weights, photo, np.zeros((0, *SIZE), bool))
    middles = (answered[1::4, 1::4] == expected) & (answered[2::4, 2::4] == expected)
    sure = np.ones_like(expected, bool)  # cells whose neighbours agree: interpolation changes nothing there
    sure[1:] &= expected[1:] == expected[:-1]
    sure[:-1] &= expected[1:] == expected[:-1]
    sure[:, 1:] &= expected[:, 1:] == expected[:, :-1]
    sure[:, :-1] &= expected[:, 1:] == expected[:, :-1]
    assert sure.sum() > 20 and middles[sure].all()
