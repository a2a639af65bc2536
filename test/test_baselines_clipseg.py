"""CLIPSeg against transformers' own forward, on a tiny real model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_pretrained import MEAN, STD, save_clipseg
from transformers import CLIPSegForImageSegmentation

from training.baselines import clipseg
from training.baselines.clipseg import ClipSegSystem
from training.evaluation.class_list import ClassList

TOKENS = {"cup": [5], "red mug": [7, 6], "table": [8], "lamp": [11], "ball": [9]}  # between [CLS] = 2 and [SEP] = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    saved = tmp_path_factory.mktemp("clipseg")
    save_clipseg(saved)
    return saved


def classes(*names: tuple[str, ...]) -> ClassList:
    keys = tuple(group[0] for group in names)
    return ClassList(tuple(range(1, len(names) + 1)), keys, keys, names)


def system(folder: Path, *names: tuple[str, ...], image_size: int = 32) -> ClipSegSystem:
    made = ClipSegSystem.load(str(folder), image_size=image_size)
    made.set_classes(classes(*names))
    return made


def photo(height: int = 45, width: int = 60) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3)).astype(np.uint8)


def own_logits(folder: Path, names: tuple[str, ...], image: np.ndarray, side: int = 32) -> np.ndarray:
    """(P, H, W) float32: transformers' forward for one prompt at a time, enlarged to the image."""
    model = CLIPSegForImageSegmentation.from_pretrained(folder).eval()
    square = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    pixels = ((torch.from_numpy(square).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)
    maps = []
    for name in names:
        with torch.no_grad():
            output = model(input_ids=torch.tensor([[2, *TOKENS[name], 3]]), pixel_values=pixels[None])
        maps.append(cv2.resize(output.logits.reshape(side, side).numpy(), image.shape[1::-1]))
    return np.stack(maps)


def assert_best(answer: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> None:
    """`answer` (H, W) is the argmax of `scores` (R, H, W), where that is clear."""
    ordered = np.sort(scores, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-4 * np.abs(scores).max()
    assert clear.mean() > 0.95 and len(np.unique(answer)) > 1
    assert np.array_equal(answer[clear], rows[scores.argmax(0)][clear])


@pytest.mark.parametrize("side", [32, 48])
def test_the_answer_is_the_best_of_transformers_maps(folder: Path, side: int) -> None:
    names = tuple(TOKENS)
    answer = system(folder, *((name,) for name in names), image_size=side).predict(photo()).segment(np.arange(5))
    assert answer.shape == (45, 60)
    assert_best(answer, own_logits(folder, names, photo(), side), np.arange(5))


def test_a_class_has_the_best_map_of_its_names(folder: Path) -> None:
    prediction = system(folder, ("cup", "lamp"), ("red mug",), ("table", "ball")).predict(photo())
    small = {name: _small(folder, name) for name in TOKENS}
    grids = [
        np.maximum(small["cup"], small["lamp"]),
        small["red mug"],
        np.maximum(small["table"], small["ball"]),
    ]
    scores = np.stack([cv2.resize(grid, (60, 45)) for grid in grids])
    assert_best(prediction.segment(np.arange(3)), scores, np.arange(3))


def _small(folder: Path, name: str) -> np.ndarray:
    """(32, 32) float32."""
    prediction = system(folder, (name,)).predict(photo())
    return next(iter(prediction._class_logits(np.array([0]))))


def test_asked_for_some_classes_it_answers_with_the_best_of_those(folder: Path) -> None:
    names = tuple(TOKENS)
    prediction = system(folder, *((name,) for name in names)).predict(photo())
    rows = np.array([4, 1, 2])
    assert_best(prediction.segment(rows), own_logits(folder, names, photo())[rows], rows)
    assert (prediction.segment(np.array([3])) == 3).all()
    assert prediction.proposals is None


def test_prompts_do_not_depend_on_their_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple((name,) for name in TOKENS)
    together = system(folder, *names).predict(photo()).segment(np.arange(5))
    monkeypatch.setattr(clipseg, "BATCH", 2)
    by_two = system(folder, *names)
    assert len(by_two._prompts) == 5  # type: ignore[arg-type]
    assert (by_two.predict(photo()).segment(np.arange(5)) == together).mean() > 0.999
    alone = system(folder, ("red mug",))._prompts[0]  # type: ignore[index]
    assert torch.allclose(system(folder, ("cup",), ("red mug", "table"))._prompts[1][:1], alone, atol=1e-5)  # type: ignore[index]
    assert not torch.allclose(alone.norm(), torch.tensor(1.0), atol=0.05)  # the decoder wants them as they are


@pytest.mark.parametrize("size", [(30, 90), (90, 30), (5, 7)])
def test_images_of_every_shape_come_back_at_their_own_size(folder: Path, size: tuple[int, int]) -> None:
    assert system(folder, ("cup",), ("lamp",)).predict(photo(*size)).segment(np.array([1, 0])).shape == size


def test_bad_use_is_said(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="set_classes"):
        ClipSegSystem.load(str(folder), image_size=32).predict(photo())
    with pytest.raises(ValueError, match="image size 350 is not a multiple of 8 pixels; the nearest is 352"):
        ClipSegSystem.load(str(folder), image_size=350)
