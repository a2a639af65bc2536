"""A converted network is kept, checked and never stale."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save
from small_model import random_weights

from openseg_ros.runtime import engine_cache
from openseg_ros.runtime.engine import EngineError, EngineOutput, create_engine
from openseg_ros.runtime.weights import Weights, WeightsError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return random_weights(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("OPENSEG_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def converted(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EngineOutput]:
    """A cache that has the network, for copies, and what the network answered when it was made."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSEG_CACHE", str(folder))
        return folder, answer(weights)


@pytest.fixture
def kept(converted: tuple[Path, EngineOutput], cache: Path) -> EngineOutput:
    """Fills `cache`."""
    folder, output = converted
    shutil.copytree(folder, cache)
    return output


def answer(weights: Weights) -> EngineOutput:
    config = weights.description.model
    images = np.random.default_rng(0).integers(0, 256, (1, *config.input_size, 3), dtype=np.uint8)
    return create_engine(weights, "openvino", precision="fp32").infer(images, np.ones((1, *config.grid), np.float32))


def test_kept_network_gives_the_same_numbers_and_is_not_made_again(
    weights: Weights, cache: Path, kept: EngineOutput
) -> None:
    (entry,) = cache.iterdir()
    made = (entry / "model.xml").stat().st_mtime_ns
    second = answer(weights)
    assert np.array_equal(kept.mask_logits, second.mask_logits)
    assert np.array_equal(kept.embeddings, second.embeddings)
    assert [path.name for path in cache.iterdir()] == [entry.name]
    assert (entry / "model.xml").stat().st_mtime_ns == made


def test_flipped_bit_and_missing_end_of_a_kept_network_are_noticed(
    weights: Weights, cache: Path, kept: EngineOutput, caplog: pytest.LogCaptureFixture
) -> None:
    (entry,) = cache.iterdir()
    tensors = entry / "model.bin"
    whole = tensors.read_bytes()
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 0x40
    for damaged in (bytes(flipped), whole[: len(whole) // 2]):
        tensors.write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            again = answer(weights)
        assert "is damaged and is made again" in caplog.text
        assert np.array_equal(kept.mask_logits, again.mask_logits)
        assert np.array_equal(kept.embeddings, again.embeddings)
        assert tensors.read_bytes() == whole


def test_other_weights_and_other_code_have_other_entries(
    weights: Weights, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = random_weights(tmp_path / "other", seed=5)
    recipe = engine_cache.EngineRecipe("openvino", "fp32", "a processor", "1x96x128", ("openvino 1",))
    changes = ("backend", "tensorrt"), ("precision", "bf16"), ("device", "another"), ("profile", "1x64x64")
    recipes = [recipe, *(replace(recipe, **{name: value}) for name, value in changes)]
    recipes.append(replace(recipe, versions=("openvino 2",)))
    keys = {engine_cache.entry_key(weights, each) for each in recipes} | {engine_cache.entry_key(other, recipe)}
    code = tmp_path / "model"
    code.mkdir()
    (code / "head.py").write_text("changed = True\n")
    monkeypatch.setattr(engine_cache.openseg_ros.model, "__path__", [str(code)])
    keys.add(engine_cache.entry_key(weights, recipe))
    assert len(keys) == 8


def test_unusable_cache_costs_time_only(
    weights: Weights, cache: Path, converted: tuple[Path, EngineOutput], caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        second = answer(weights)
    assert "every start compiles it" in caplog.text
    assert np.allclose(converted[1].mask_logits, second.mask_logits, atol=1e-5)


def test_weights_that_do_not_fit_leave_nothing_behind(weights: Weights, cache: Path) -> None:
    content = save({**weights.state, "surplus": weights.state["queries"].clone()})
    broken = replace(weights, content=content, sha256="0")
    with pytest.raises(WeightsError, match="surplus"):
        create_engine(broken, "openvino")
    assert list(cache.iterdir()) == []


def test_least_recently_used_entries_go(cache: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "content").write_text("x")

    for number in range(engine_cache.ENTRIES):
        engine_cache.keep_files(f"key{number}", make)
        os.utime(cache / f"key{number}", (number, number))
    assert engine_cache.kept_files("key0") == cache / "key0"
    engine_cache.keep_files("new", make)
    assert len(list(cache.iterdir())) == engine_cache.ENTRIES
    assert (cache / "key0").is_dir()
    assert not (cache / "key1").exists()


def test_folders_of_others_stay(cache: Path) -> None:
    for number in range(2 * engine_cache.ENTRIES):
        (cache / f"photos of {number}").mkdir(parents=True)
        engine_cache.keep_files(f"key{number}", lambda folder: (folder / "content").write_text("x"))
    assert len(list(cache.glob("photos*"))) == 2 * engine_cache.ENTRIES
    assert len(list(cache.glob("key*"))) == engine_cache.ENTRIES


def test_failed_making_leaves_the_older_entry(cache: Path) -> None:
    engine_cache.keep_files("key", lambda folder: (folder / "content").write_text("old"))

    def fail(folder: Path) -> None:
        (folder / "content").write_text("half")
        raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        engine_cache.keep_files("key", fail)
    assert (cache / "key" / "content").read_text() == "old"
    assert [path.name for path in cache.iterdir()] == ["key"]
