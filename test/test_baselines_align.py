"""ALIGN with CAM, ALIGN with our proposals, and LSeg+, against sums by hand on a tiny real ALIGN."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawn_scene import DrawnEngine, NamesEncoder, rectangle, vector
from safetensors.torch import load_file, save_file
from small_model import SMALL, random_weights
from tiny_pretrained import save_align, save_groupvit
from transformers import AlignModel

from openseg_ros.runtime.engine import EngineError
from openseg_ros.runtime.weights import WeightsError
from openseg_ros.segmenter.letterbox import Letterbox
from training.baselines.align import Align, interpolate_cells
from training.baselines.align_proposals import AlignProposalsSystem, pool_soft_masks
from training.baselines.network_input import fit_longer_side, to_tensor
from training.baselines.pretrained import load_pretrained, tensor_hash
from training.evaluation.class_list import ClassList
from training.evaluation.pixel_features import FeatureNetwork, PixelFeatures, UnitFeatures
from training.evaluation.pixel_systems import NoProposalSystem
from training.evaluation.system import PhrasePrediction


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    saved = tmp_path_factory.mktemp("align")
    save_align(saved)
    return saved


@pytest.fixture(scope="module")
def align(folder: Path) -> Align:
    return Align.load(str(folder), image_size=96)


def classes(*names: tuple[str, ...]) -> ClassList:
    keys = tuple(group[0] for group in names)
    return ClassList(tuple(range(1, len(names) + 1)), keys, keys, names)


def photo(height: int = 70, width: int = 110) -> np.ndarray:
    coarse = np.random.default_rng(5).integers(0, 255, (4, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def test_the_map_is_the_one_before_aligns_pooling(align: Align, folder: Path) -> None:
    features = align.features(photo())
    assert features.features.shape == (2, 3, 80) and features.letterbox.grid_size == (2, 3)
    model = AlignModel.from_pretrained(folder).eval()
    # cv2 by hand: 110 x 70 to 96 x 64, and ALIGN's x / 127.5 - 1.
    small = cv2.resize(photo(), (96, 64), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(small.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        output = model.vision_model(pixels)
    expected = output.last_hidden_state[0].permute(1, 2, 0).numpy()
    assert np.allclose(features.features, expected, rtol=1e-3, atol=1e-3 * expected.std())
    # No projection in between: the mean of the cells is the image embedding that ALIGN compares with words.
    mean = features.features.mean((0, 1))
    assert np.allclose(mean, output.pooler_output[0].numpy(), rtol=1e-3, atol=1e-3 * expected.std())


def test_cam_is_the_cosine_of_every_cell(align: Align, folder: Path) -> None:
    names = ("cup", "red mug", "table", "lamp", "ball", "box")
    system = NoProposalSystem(UnitFeatures(align), align.encoder, "align_cam")
    system.set_classes(classes(*((name,) for name in names)))
    model = AlignModel.from_pretrained(folder).eval()
    tokens = [[2, 5, 3], [2, 7, 6, 3], [2, 8, 3], [2, 11, 3], [2, 9, 3], [2, 10, 3]]  # [CLS] cup [SEP] ...
    with torch.no_grad():
        words = [model.get_text_features(input_ids=torch.tensor([ids])).pooler_output[0].numpy() for ids in tokens]
    cells = align.features(photo()).features
    cosines = np.zeros((6, 2, 3), np.float32)
    for k, word in enumerate(words):
        for y in range(2):
            for x in range(3):
                cell = cells[y, x]
                cosines[k, y, x] = float(word @ cell) / float(np.linalg.norm(word) * np.linalg.norm(cell))
    upsampled = np.stack([cv2.resize(grid, (110, 70), interpolation=cv2.INTER_LINEAR) for grid in cosines])
    answer = system.predict(photo()).segment(np.arange(6))
    assert answer.shape == (70, 110)
    clear = np.diff(np.sort(upsampled, axis=0)[-2:], axis=0)[0] > 1e-4
    assert clear.mean() > 0.98 and len(np.unique(upsampled.argmax(0))) > 1
    assert np.array_equal(answer[clear], upsampled.argmax(0)[clear])
    # Asked for fewer classes, the best of those.
    rows = np.array([4, 1])
    assert np.array_equal(system.predict(photo()).segment(rows)[clear], rows[upsampled[rows].argmax(0)][clear])
    assert system.predict(photo()).proposals is None


def test_a_class_has_the_best_of_its_names(align: Align) -> None:
    names = ("cup", "mug", "table", "lamp")
    single = NoProposalSystem(UnitFeatures(align), align.encoder, "align_cam")
    single.set_classes(classes(*((name,) for name in names)))
    joined = NoProposalSystem(UnitFeatures(align), align.encoder, "align_cam")
    joined.set_classes(classes(("cup", "lamp"), ("mug", "table")))
    cells = align.features(photo()).features.reshape(-1, 80)
    best = (align.encoder.encode(names) @ cells.T).argmax(0).reshape(2, 3)
    assert len(np.unique(best)) > 2
    centres = np.ix_([17, 52], [18, 55, 91])  # of the 2 x 3 cells: nothing is interpolated there
    assert np.array_equal(single.predict(photo()).segment(np.arange(4))[centres], best)
    assert np.array_equal(joined.predict(photo()).segment(np.arange(2))[centres], np.array([0, 1, 1, 0])[best])


def test_words_do_not_depend_on_what_they_are_asked_with(align: Align, folder: Path) -> None:
    alone = Align.load(str(folder), image_size=96).encoder.encode(["red mug"])[0]
    among = align.encoder.encode(["cup", "red ball box lamp table desk", "red mug", "lamp"])
    assert np.allclose(among[2], alone, atol=1e-5)
    assert float(among[0] @ alone) < 0.999


@pytest.mark.parametrize("size", [(70, 110), (110, 70), (33, 300), (64, 64)])
def test_images_of_every_shape_come_back_at_their_own_size(align: Align, size: tuple[int, int]) -> None:
    system = NoProposalSystem(UnitFeatures(align), align.encoder, "align_cam")
    system.set_classes(classes(("cup",), ("lamp",)))
    assert system.predict(photo(*size)).segment(np.array([1, 0])).shape == size


def test_the_longer_side_fits_and_nothing_is_padded() -> None:
    image = photo(90, 200)
    letterbox, pixels = fit_longer_side(image, 128, 32)
    assert pixels.shape == (64, 128, 3) and letterbox.grid_size == (2, 4)
    assert abs(float(pixels.mean()) - float(image.mean())) < 2  # grey padding would change it
    grids = np.arange(8, dtype=np.float32).reshape(1, 2, 4)
    assert np.array_equal(letterbox.restore(grids)[0], cv2.resize(grids[0], (200, 90)))


def test_pixels_are_normalised_per_colour() -> None:
    pixels = np.zeros((1, 2, 3), np.uint8)
    pixels[0, 1] = 0, 51, 255
    tensor = to_tensor(pixels, (0.5, 0.1, 0.0), (0.5, 0.2, 4.0), "cpu")
    assert tensor.shape == (1, 3, 1, 2)
    assert tensor[0, :, 0, 1].tolist() == pytest.approx([-1, 0.5, 0.25])


def test_cosines_are_interpolated_and_not_lengths() -> None:
    class Source:
        def features(self, image: np.ndarray) -> PixelFeatures:
            cells = np.stack([1000 * vector("cup"), vector("bowl")])[None]  # (1, 2, 9)
            return PixelFeatures(Letterbox((4, 40), (4, 8), 4), cells.astype(np.float32))

    system = NoProposalSystem(UnitFeatures(Source()), NamesEncoder(), "lseg")
    system.set_classes(classes(("bowl",), ("cup",)))
    answer = system.predict(np.zeros((4, 40, 3), np.uint8)).segment(np.arange(2))
    assert (answer[:, :20] == 1).all() and (answer[:, 20:] == 0).all()


def test_lseg_classifies_every_cell_of_f_z(tmp_path: Path) -> None:
    weights = random_weights(tmp_path / "small")
    network = FeatureNetwork(weights.build_network())
    random = np.random.default_rng(0)

    class Encoder:
        name, dim = "any", SMALL.embedding_dim

        def encode(self, texts: list[str]) -> np.ndarray:
            rows = random.standard_normal((len(texts), self.dim)).astype(np.float32)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    system = NoProposalSystem(UnitFeatures(network), Encoder(), "lseg")
    with pytest.raises(RuntimeError, match="set_classes"):
        system.predict(photo())
    system.set_classes(classes(("a",), ("b",), ("c", "d")))
    cells = network.features(photo())
    grid = cells.letterbox.crop(cells.features.transpose(2, 0, 1))
    unit = grid / np.linalg.norm(grid, axis=0)
    words = system._classes.vectors  # type: ignore[union-attr]
    cosines = np.einsum("pd,dhw->phw", words, unit)
    expected = np.stack([cosines[0], cosines[1], cosines[2:].max(0)])
    upsampled = np.stack([cv2.resize(one, (110, 70), interpolation=cv2.INTER_LINEAR) for one in expected])
    clear = np.diff(np.sort(upsampled, axis=0)[-2:], axis=0)[0] > 1e-5
    answer = system.predict(photo()).segment(np.arange(3))
    assert clear.mean() > 0.9 and np.array_equal(answer[clear], upsampled.argmax(0)[clear])


# ALIGN with our proposals


def test_soft_masks_pool_as_openseg_pools() -> None:
    random = np.random.default_rng(3)
    features = random.standard_normal((5, 2, 3)).astype(np.float32)
    logits = random.standard_normal((4, 2, 3)).astype(np.float32) * 2
    pooled = pool_soft_masks(features, logits)
    for n in range(4):
        total = np.zeros(5)
        for y in range(2):
            for x in range(3):
                total += features[:, y, x] / (1 + np.exp(-float(logits[n, y, x])))
        assert pooled[n] == pytest.approx(total / np.linalg.norm(total), abs=1e-5)


def test_cells_lie_in_place_on_the_other_grid() -> None:
    cells = np.random.default_rng(0).standard_normal((2, 3, 7)).astype(np.float32)
    onto = Letterbox((70, 110), (96, 128), 4)
    resized = interpolate_cells(PixelFeatures(Letterbox((70, 110), (96, 96), 32), cells), onto)
    assert resized.shape == (7, *onto.grid_size)
    expected = cv2.resize(cells[..., 4], onto.grid_size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.allclose(resized[4], expected, atol=1e-4)


def test_align_names_the_masks_of_our_network(align: Align) -> None:
    left, right = rectangle(0, 0, 120, 80), rectangle(0, 80, 120, 160)
    system = AlignProposalsSystem(DrawnEngine([(left, "cup"), (right, "bowl")]), align)
    with pytest.raises(RuntimeError, match="set_classes"):
        system.predict(photo(480, 640))
    names = ("cup", "mug", "red", "table", "ball", "box", "lamp", "desk")
    system.set_classes(classes(*((name,) for name in names)))
    image = photo(480, 640)
    prediction = system.predict(image)
    cells = align.features(image)
    letterbox = Letterbox((480, 640), (480, 640), 4)
    fine = interpolate_cells(cells, letterbox)
    words = align.encoder.encode(names)
    # With logits of 6 a mask is nearly binary: each half has the class that suits its mean feature.
    halves = [(words @ fine[:, :, part].mean((1, 2))).argmax() for part in (slice(0, 80), slice(80, 160))]
    assert halves[0] != halves[1]
    answer = prediction.segment(np.arange(8))
    assert set(np.unique(answer[:, :318])) == {halves[0]} and set(np.unique(answer[:, 322:])) == {halves[1]}
    assert prediction.proposals.sum((1, 2)).tolist() == [480 * 320, 480 * 320]
    assert set(np.unique(prediction.segment(np.array([5])))) == {5}
    assert isinstance(prediction, PhrasePrediction)
    phrase = names[3]
    nearer = int((words[3] @ pool_soft_masks(fine, np.stack([left, right])).T).argmax())
    assert np.array_equal(prediction.find([phrase])[0], prediction.proposals[nearer])


# Loading


def test_the_hash_is_of_the_tensors(folder: Path, align: Align, tmp_path: Path) -> None:
    again = load_pretrained(AlignModel, str(folder))
    assert tensor_hash(again) == align.sha256 and len(align.sha256) == 64
    assert not any(parameter.requires_grad for parameter in again.parameters()) and not again.training
    again.text_projection.bias.data[3] += 1
    assert tensor_hash(again) != align.sha256


def test_what_cannot_be_loaded_is_said_in_a_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="there is no folder '/none/at/all'"):
        Align.load("/none/at/all")
    with pytest.raises(WeightsError, match="form owner/name"):
        Align.load("tabletop")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for half a minute
    with pytest.raises(WeightsError, match=r"cannot load nobody/nothing-at-all from .* hub .* give a folder"):
        Align.load("nobody/nothing-at-all")
    with pytest.raises(WeightsError, match="cannot load the model in"):
        Align.load(str(tmp_path))
    with pytest.raises(ValueError, match="image size 100 is not a multiple of 32 pixels; the nearest is 96"):
        Align.load(str(folder), image_size=100)
    with pytest.raises(EngineError, match="device 'cuda:77'"):
        Align.load(str(folder), device="cuda:77")
    other = tmp_path / "groupvit"
    other.mkdir()
    save_groupvit(other)
    with pytest.raises(WeightsError, match="is a groupvit model; the system needs align"):
        Align.load(str(other))


def test_a_folder_without_all_tensors_is_not_filled_with_random_ones(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    removed = next(name for name in tensors if "project_conv" in name)
    save_file(
        {name: tensor for name, tensor in tensors.items() if name != removed},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(WeightsError, match=f"lacks 1 tensors of the model, for example {removed}"):
        Align.load(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot load the model in"):
        Align.load(str(tmp_path))


def test_both_towers_must_share_a_space(tmp_path: Path) -> None:
    save_align(tmp_path, projection=24)
    assert json.loads((tmp_path / "config.json").read_text())["projection_dim"] == 24
    with pytest.raises(WeightsError, match="the image tower gives 80 numbers, the text tower 24"):
        Align.load(str(tmp_path))
