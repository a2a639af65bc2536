"""Model folders: saved, loaded, identified, and refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_model import SMALL, random_weights

from openseg_ros.runtime.calibration import COHORT_FILE, cohort_file
from openseg_ros.runtime.weights import CONFIG_FILE, TENSOR_FILE, WeightsError, load_weights, write_atomically


def test_round_trip(tmp_path: Path) -> None:
    weights = random_weights(tmp_path / "small")
    again = load_weights(tmp_path / "small")
    assert again.embedding_space == weights.embedding_space == f"small/{weights.sha256[:12]}"
    assert again.description == weights.description
    network = again.build_network()
    assert all(torch.equal(value, again.state[key].to(value.dtype)) for key, value in network.state_dict().items())
    other = random_weights(tmp_path / "other" / "small", seed=1)
    assert other.embedding_space != weights.embedding_space


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = random_weights(tmp_path / "small").folder
    tensors = folder / TENSOR_FILE
    content = tensors.read_bytes()
    for damaged in (b"", content[:5], content[: len(content) // 2], b"\x80\x04pickle" + content[9:]):
        tensors.write_bytes(damaged)
        with pytest.raises(WeightsError, match="damaged or not a safetensors file"):
            load_weights(folder)
    tensors.write_bytes(content)
    description = (folder / CONFIG_FILE).read_text()
    (folder / CONFIG_FILE).write_text(description.replace("hidden_dim: 32", "hidden_dim: 64"))
    with pytest.raises(WeightsError, match=r"does not fit model\.yaml: .* tensors differ\)$") as raised:
        load_weights(folder).build_network()
    assert len(str(raised.value)) < 400
    (folder / CONFIG_FILE).write_text(description + "colour: red\n")
    with pytest.raises(WeightsError, match="unknown configuration key 'colour'"):
        load_weights(folder)
    (folder / CONFIG_FILE).write_text(description.replace("- 96", "- 97"))
    with pytest.raises(WeightsError, match="multiples of 32"):
        load_weights(folder)


def test_a_cohort_is_read_with_the_numbers_that_weigh_it(tmp_path: Path) -> None:
    folder = random_weights(tmp_path / "small").folder
    description = (folder / CONFIG_FILE).read_text()
    (folder / CONFIG_FILE).write_text(description.replace("cohort: 0.0", "cohort: -2.0"))
    with pytest.raises(WeightsError, match=r"weighs a cohort, but cohort\.safetensors beside it is missing"):
        load_weights(folder)
    (folder / COHORT_FILE).write_bytes(cohort_file(("cup",), np.ones((1, 3), np.float32)))
    with pytest.raises(WeightsError, match="has vectors of 3 numbers"):
        load_weights(folder)
    vectors = np.random.default_rng(0).normal(size=(2, SMALL.embedding_dim)).astype(np.float32)
    (folder / COHORT_FILE).write_bytes(cohort_file(("cup", "mug"), vectors))
    calibration = load_weights(folder).calibration
    assert calibration.words == pytest.approx(vectors, rel=1e-3)
    assert (calibration.cohort, calibration.scale) == (-2.0, 10.0)
    for damaged in (b"", (folder / COHORT_FILE).read_bytes()[:-5]):
        (folder / COHORT_FILE).write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"cohort\.safetensors is damaged"):
            load_weights(folder)


def test_missing_model_names_the_shipped_ones(tmp_path: Path) -> None:
    for absent in ("no_such_model", str(tmp_path / "nowhere"), ""):
        with pytest.raises(WeightsError):
            load_weights(absent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="cannot read"):
        load_weights(tmp_path / "empty")


def test_atomic_write_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
