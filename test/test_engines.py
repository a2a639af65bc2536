"""OpenVINO against the torch reference, on the same network and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_model import random_weights

from openseg_ros.runtime.engine import EngineError, create_engine
from openseg_ros.runtime.parity import compare
from openseg_ros.runtime.weights import Weights, WeightsError, load_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return random_weights(tmp_path_factory.mktemp("model") / "small")


def frames(weights: Weights, count: int) -> tuple[np.ndarray, np.ndarray]:
    config = weights.description.model
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *config.input_size, 3), dtype=np.uint8)
    valid = np.ones((count, *config.grid), np.float32)
    valid[:, -3:] = 0
    return images, valid


def test_openvino_fp32_equals_torch(weights: Weights) -> None:
    images, valid = frames(weights, 2)
    reference = create_engine(weights, "torch").infer(images, valid)
    candidate = create_engine(weights, "openvino", precision="fp32").infer(images, valid)
    assert reference.mask_logits.shape == candidate.mask_logits.shape == (2, 12, 24, 32)
    assert np.abs(reference.mask_logits - candidate.mask_logits).max() < 1e-3
    parity = compare(reference, candidate, valid)
    assert parity.worst_cosine > 0.9999
    assert parity.mean_mask_iou > 0.999


def test_trained_weights_keep_their_answers_in_openvino(weights: Weights) -> None:
    try:
        trained = load_weights("tabletop")
    except WeightsError as error:
        pytest.skip(str(error))
    images, valid = frames(trained, 1)
    reference = create_engine(trained, "torch").infer(images, valid)
    for precision, cosine, iou in (("fp32", 0.9999, 0.999), ("auto", 0.99, 0.95)):
        parity = compare(reference, create_engine(trained, "openvino", precision=precision).infer(images, valid), valid)
        assert parity.worst_cosine > cosine, precision
        assert parity.mean_mask_iou > iou, precision


def test_parity_notices_a_different_network(weights: Weights, tmp_path: Path) -> None:
    images, valid = frames(weights, 1)
    other = create_engine(random_weights(tmp_path / "other", seed=5), "torch").infer(images, valid)
    parity = compare(create_engine(weights, "torch").infer(images, valid), other, valid)
    assert parity.worst_cosine < 0.9
    assert parity.mean_mask_iou < 0.9


@pytest.mark.parametrize(
    ("backend", "precision", "device", "message"),
    [
        ("tensorflow", "auto", "cpu", "unknown backend 'tensorflow'"),
        ("torch", "int3", "cpu", "unknown precision 'int3'"),
        ("openvino", "auto", "cuda:0", "runs on the CPU"),
        ("torch", "auto", "cuda:99", "cannot use device 'cuda:99'"),
        ("torch", "auto", "toaster", "cannot use device 'toaster'"),
    ],
)
def test_impossible_choices_are_refused(
    weights: Weights, backend: str, precision: str, device: str, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        create_engine(weights, backend, precision=precision, device=device)
