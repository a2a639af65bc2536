"""OpenVINO against the torch reference, on the same network and images."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_model import random_weights

from openseg_ros.model.openseg import OpenSegInference
from openseg_ros.runtime import network_export
from openseg_ros.runtime.engine import EngineError, EngineOutput, create_engine
from openseg_ros.runtime.frames import fixed_frames
from openseg_ros.runtime.network_export import export_network
from openseg_ros.runtime.parity import Parity, ParityError, compare, require_parity
from openseg_ros.runtime.weights import Weights, load_weights


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


@pytest.mark.parametrize("name", ["tabletop", "tabletop_tiny"])
def test_trained_weights_keep_their_answers_in_openvino(name: str) -> None:
    trained = load_weights(name)
    pictures = fixed_frames(trained, trained.description.model.input_size)
    images, valid = pictures.images, pictures.valid
    reference = create_engine(trained, "torch").infer(images, valid)
    for precision, cosine, iou in (("fp32", 0.9999, 0.999), ("auto", 0.9, 0.97)):
        parity = compare(reference, create_engine(trained, "openvino", precision=precision).infer(images, valid), valid)
        assert parity.worst_cosine > cosine, precision
        assert parity.mean_mask_iou > iou, precision


def test_parity_notices_a_different_network(weights: Weights, tmp_path: Path) -> None:
    images, valid = frames(weights, 1)
    other = create_engine(random_weights(tmp_path / "other", seed=5), "torch").infer(images, valid)
    parity = compare(create_engine(weights, "torch").infer(images, valid), other, valid)
    assert parity.worst_cosine < 0.9
    assert parity.mean_mask_iou < 0.9


def test_a_mask_that_vanished_lowers_the_mask_iou_alone() -> None:
    logits = np.full((1, 2, 4, 4), -1.0, np.float32)
    logits[0, 0, :3] = logits[0, 1, 3, :1] = 1.0  # 12 cells, and 1
    lost = logits.copy()
    lost[0, 1] = -1.0
    embeddings = np.array([[[1.0, 0.0], [0.0, 1.0]]], np.float32)
    other = np.array([[[1.0, 0.0], [1.0, 0.0]]], np.float32)
    valid = np.ones((1, 4, 4), np.float32)
    parity = compare(EngineOutput(logits, embeddings), EngineOutput(lost, other), valid)
    assert (parity.worst_cosine, parity.regions) == (1.0, 2)
    assert parity.mean_cosine == pytest.approx(12 / 13) and parity.mean_mask_iou == pytest.approx(12 / 13)
    assert compare(EngineOutput(logits, embeddings), EngineOutput(logits, other), valid).worst_cosine == 0.0


@pytest.mark.parametrize(
    ("backend", "precision", "device", "message"),
    [
        ("tensorflow", "auto", "cpu", "unknown backend 'tensorflow'"),
        ("torch", "int3", "cpu", "unknown precision 'int3'"),
        ("openvino", "auto", "cuda:0", "runs on the CPU"),
        ("torch", "auto", "cuda:99", "cannot use device 'cuda:99'"),
        ("torch", "auto", "toaster", "cannot use device 'toaster'"),
        ("torch", "int8", "cpu", "backend torch has no int8"),
        ("openvino", "int8", "cpu", r"OPENSEG_CACHE=\S+ openseg compile .* --precision int8 --frames"),
        ("tensorrt", "auto", "cpu", "tensorrt runs on an NVIDIA GPU, not on 'cpu'"),
        ("tensorrt", "int8", "cuda:0", "backend tensorrt has no int8"),
    ],
)
def test_impossible_choices_are_refused(
    weights: Weights, backend: str, precision: str, device: str, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        create_engine(weights, backend, precision=precision, device=device)


def test_input_size_must_fit_the_strides(weights: Weights) -> None:
    with pytest.raises(EngineError, match="input size 100x128: both must be multiples of 32"):
        create_engine(weights, "torch", input_size=(100, 128))


def test_another_input_size_than_trained(weights: Weights) -> None:
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 160, 3), dtype=np.uint8)
    valid = np.ones((1, 16, 40), np.float32)
    engines = [
        create_engine(weights, backend, precision="fp32", input_size=(64, 160)) for backend in ("torch", "openvino")
    ]
    assert [engine.input_size for engine in engines] == [(64, 160), (64, 160)]
    parity = compare(engines[0].infer(images, valid), engines[1].infer(images, valid), valid)
    assert parity.worst_cosine > 0.9999
    assert parity.mean_mask_iou > 0.999


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_tensorrt_says_so_in_one_line(weights: Weights) -> None:
    with pytest.raises(EngineError, match=r"tensorrt needs an NVIDIA GPU, and torch .* sees none") as raised:
        create_engine(weights, "tensorrt", device="cuda:0")
    assert "\n" not in str(raised.value)


def test_auto_falls_back_and_says_why(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    with pytest.raises(EngineError, match="needs the Python package 'openvino'"):
        create_engine(weights, "openvino")
    engine = create_engine(weights, "auto")
    assert engine.name == "torch fp32 cpu"
    assert "needs the Python package 'openvino'" in engine.fallback


def test_no_fallback_where_the_engine_asked_for_runs(weights: Weights) -> None:
    assert create_engine(weights, "torch").fallback == ""


def test_exported_graph_takes_every_batch_up_to_its_limit(weights: Weights) -> None:
    config = weights.description.model
    network = OpenSegInference(weights.build_network())
    exported = export_network(network, config.input_size, int(config.head_stride), max_batch=3)
    for count in (1, 3):
        images, valid = (torch.from_numpy(array) for array in frames(weights, count))
        with torch.no_grad():
            for ours, theirs in zip(network(images, valid), exported.module()(images, valid), strict=True):
                assert torch.allclose(ours, theirs, atol=1e-4)


def test_operators_of_the_graph_are_core_aten_but_for_two(weights: Weights) -> None:
    """What a compiler must convert: operators that torch promises to backends, a check, and the final unit length."""
    config = weights.description.model
    exported = export_network(OpenSegInference(weights.build_network()), config.input_size, int(config.head_stride))
    targets = [node.target for node in exported.run_decompositions().graph.nodes]
    found = Counter(target for target in targets if isinstance(target, torch._ops.OpOverload))
    assert found[torch.ops.aten.convolution.default] > 20
    assert sorted(str(operator) for operator in found if torch.Tag.core not in operator.tags) == [
        "aten._assert_tensor_metadata.default",
        "aten.linalg_vector_norm.default",
    ]


def test_low_figures_are_refused_with_the_figures() -> None:
    good = {"pixel_agreement": 1.0, "regions": 3}
    exact = Parity(worst_cosine=1.0, mean_cosine=1.0, mean_mask_iou=1.0, label_agreement=None, **good)
    require_parity("openvino fp32", "fp32", exact)
    for name, value in (("worst_cosine", 0.99), ("mean_mask_iou", 0.98), ("label_agreement", float("nan"))):
        with pytest.raises(ParityError, match=f"openvino fp32 is refused.*{name.replace('_', ' ')} {value:.4f} < 0.99"):
            require_parity("openvino fp32", "fp32", replace(exact, **{name: value}))
    require_parity("openvino bf16", "bf16", replace(exact, worst_cosine=0.991))


def test_engine_with_other_answers_is_refused(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion that goes wrong: the graph of another network comes out."""
    monkeypatch.setenv("OPENSEG_CACHE", str(tmp_path / "cache"))
    wrong = OpenSegInference(random_weights(tmp_path / "other", seed=5).build_network())
    monkeypatch.setattr(network_export, "export_network", lambda network, *arguments: export_network(wrong, *arguments))
    for _ in range(2):  # the second time from what the first has left in the cache
        with pytest.raises(ParityError, match=r"openvino fp32 is refused.*mean mask iou 0\.\d+ < 0\.99"):
            create_engine(weights, "openvino", precision="fp32")
