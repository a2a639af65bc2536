"""GroupViT against transformers' own segmentation, on a tiny real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pretrained import MEAN, STD, save_groupvit
from transformers import AutoTokenizer, GroupViTModel

from openseg_ros.runtime.weights import WeightsError
from training.baselines.groupvit import GroupVitSystem
from training.evaluation.class_list import ClassList
from training.evaluation.system import PhrasePrediction

NAMES = ("cup", "red mug", "table", "lamp", "ball", "box")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    saved = tmp_path_factory.mktemp("groupvit")
    save_groupvit(saved)
    return saved


@pytest.fixture(scope="module")
def model(folder: Path) -> GroupViTModel:
    return GroupViTModel.from_pretrained(folder).eval()


def classes(*names: tuple[str, ...]) -> ClassList:
    keys = tuple(group[0] for group in names)
    return ClassList(tuple(range(1, len(names) + 1)), keys, keys, names)


def system(folder: Path, *names: tuple[str, ...], image_size: int = 64) -> GroupVitSystem:
    made = GroupVitSystem.load(str(folder), image_size=image_size)
    made.set_classes(classes(*names))
    return made


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def own_logits(model: GroupViTModel, folder: Path, names: tuple[str, ...], image: np.ndarray) -> np.ndarray:
    """(K, 64, 64) float32 from transformers' forward, which takes squares of 64 pixels only."""
    pixels = (torch.from_numpy(image).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    tokens = AutoTokenizer.from_pretrained(folder)(list(names), padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=pixels.permute(2, 0, 1)[None],
            output_segmentation=True,
        )
    return output.segmentation_logits[0].numpy()


def test_the_answer_is_that_of_transformers(model: GroupViTModel, folder: Path) -> None:
    image = photo(64, 64)
    logits = own_logits(model, folder, NAMES, image)
    answer = system(folder, *((name,) for name in NAMES)).predict(image).segment(np.arange(6))
    ordered = np.sort(logits, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-4 * np.abs(logits).max()
    assert clear.mean() > 0.98 and len(np.unique(answer)) > 1
    assert np.array_equal(answer[clear], logits.argmax(0)[clear])


def test_asked_for_some_classes_it_answers_with_the_best_of_those(model: GroupViTModel, folder: Path) -> None:
    image = photo(64, 64)
    logits = own_logits(model, folder, NAMES, image)
    rows = np.array([5, 0, 3])
    answer = system(folder, *((name,) for name in NAMES)).predict(image).segment(rows)
    ordered = np.sort(logits[rows], axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-4 * np.abs(logits).max()
    assert clear.mean() > 0.98
    assert np.array_equal(answer[clear], rows[logits[rows].argmax(0)][clear])


def test_groups_are_proposals_that_share_out_the_image(model: GroupViTModel, folder: Path) -> None:
    image = photo(70, 110)
    prediction = system(folder, ("cup",), image_size=112).predict(image)
    proposals = prediction.proposals
    assert proposals.shape == (3, 70, 110) and proposals.dtype == bool
    assert (proposals.sum(0) == 1).all()
    assert (proposals.sum((1, 2)) > 0).sum() >= 2


def test_a_class_is_judged_by_its_best_name_in_every_group(folder: Path) -> None:
    image = photo(64, 64)
    single = system(folder, *((name,) for name in NAMES)).predict(image)
    joined = system(folder, NAMES[:2], NAMES[2:]).predict(image)
    scores = single._classes.scores(single._embeddings, np.arange(6))
    best = np.stack([scores[:2].max(0), scores[2:].max(0)])
    pixels = single._letterbox.restore(single._shares)
    expected = np.einsum("kg,ghw->khw", best, pixels)
    clear = np.abs(expected[0] - expected[1]) > 1e-5
    assert np.array_equal(joined.segment(np.arange(2))[clear], expected.argmax(0)[clear])


def test_a_phrase_is_the_group_of_nearest_embedding(model: GroupViTModel, folder: Path) -> None:
    image = photo(64, 64)
    prediction = system(folder, ("cup",)).predict(image)
    assert isinstance(prediction, PhrasePrediction)
    pixels = (torch.from_numpy(image).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        states = model.vision_model(pixels.permute(2, 0, 1)[None]).last_hidden_state[0]
        groups = torch.nn.functional.normalize(model.visual_projection(states))
        words = [
            model.get_text_features(input_ids=torch.tensor([ids])).pooler_output[0]
            for ids in ([2, 7, 6, 3], [2, 11, 3])
        ]
    nearest = [int((groups @ word).argmax()) for word in words]
    assert np.array_equal(prediction.find(["red mug", "lamp"]), prediction.proposals[nearest])


@pytest.mark.parametrize("size", [(70, 110), (110, 70), (20, 200)])
def test_images_of_every_shape_keep_it(folder: Path, size: tuple[int, int]) -> None:
    prediction = system(folder, ("cup",), ("lamp",), image_size=80).predict(photo(*size))
    assert prediction.segment(np.array([1, 0])).shape == size
    grid = prediction._shares
    assert max(grid.shape[1:]) == 10 and (grid.shape[1] < grid.shape[2]) == (size[0] < size[1])
    assert np.allclose(grid.sum(0), 1, atol=1e-5)


def test_shares_follow_the_picture(folder: Path) -> None:
    # Patches are read row by row: a picture whose left half is plain has its border where the groups have theirs.
    image = photo(64, 128)
    image[:, :64] = 0
    shares = system(folder, ("cup",), image_size=128).predict(image)._shares
    assert shares.shape == (3, 8, 16)
    turned = system(folder, ("cup",), image_size=128).predict(np.ascontiguousarray(image[:, ::-1]))._shares
    variation = [float(part.std(axis=(1, 2)).mean()) for part in (shares[:, :, :8], shares[:, :, 8:])]
    mirrored = [float(part.std(axis=(1, 2)).mean()) for part in (turned[:, :, :8], turned[:, :, 8:])]
    assert variation[0] < variation[1] and mirrored[0] > mirrored[1]


def test_bad_use_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="set_classes"):
        GroupVitSystem.load(str(folder), image_size=64).predict(photo(64, 64))
    with pytest.raises(ValueError, match="image size 60 is not a multiple of 8"):
        GroupVitSystem.load(str(folder), image_size=60)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="cannot load the model in"):
        GroupVitSystem.load(str(tmp_path))
