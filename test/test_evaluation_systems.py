"""OpenSeg as an evaluated system, and its two variants of table 4, against plain loops."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_scene import DrawnEngine, NamesEncoder, rectangle, vector
from small_model import SMALL, random_weights

from openseg_ros.model.openseg import OpenSeg
from openseg_ros.runtime.calibration import Calibration
from openseg_ros.runtime.engine import EngineError
from openseg_ros.runtime.torch_engine import TorchEngine
from openseg_ros.runtime.weights import WeightsError, load_weights
from openseg_ros.segmenter.letterbox import Letterbox
from training.evaluation.available_systems import SystemChoiceError, SystemOptions, load_system
from training.evaluation.best_class import argmax_over_classes, best_class
from training.evaluation.class_embeddings import ClassEmbeddings
from training.evaluation.class_list import ClassList
from training.evaluation.openseg_system import OpenSegSystem, RegionPrediction
from training.evaluation.pixel_features import FeatureNetwork, PixelFeatures
from training.evaluation.pixel_systems import (
    NoProposalSystem,
    PixelPrediction,
    TrueMaskPrediction,
    TrueMaskSystem,
    cell_shares,
    pool_masks,
)
from training.evaluation.system import PhrasePrediction
from training.evaluation.upsampled_bands import upsampled_bands


def classes(*names: tuple[str, ...]) -> ClassList:
    keys = tuple(group[0] for group in names)
    return ClassList(tuple(range(1, len(names) + 1)), keys, keys, names)


def embeddings(vectors: np.ndarray) -> ClassEmbeddings:
    return ClassEmbeddings(vectors, np.arange(len(vectors) + 1))


def drawn(*things: tuple[np.ndarray, str]) -> OpenSegSystem:
    return OpenSegSystem(DrawnEngine(list(things)), NamesEncoder(), Calibration())


def test_a_pixel_takes_the_class_of_its_region() -> None:
    system = drawn((rectangle(0, 0, 120, 80), "cup"), (rectangle(0, 80, 120, 160), "bowl"))
    system.set_classes(classes(("bowl",), ("fork",), ("cup",)))
    prediction = system.predict(np.zeros((480, 640, 3), np.uint8))
    rows = prediction.segment(np.arange(3))
    assert rows.shape == (480, 640)
    assert set(np.unique(rows[:, :318])) == {2} and set(np.unique(rows[:, 322:])) == {0}
    # Asked for fewer classes, it answers with their rows of the whole list.
    assert set(np.unique(prediction.segment(np.array([1, 2]))[:, :318])) == {2}
    assert prediction.proposals.sum((1, 2)).tolist() == [480 * 320, 480 * 320]


def test_a_class_is_found_by_any_of_its_names() -> None:
    system = drawn((rectangle(0, 0, 120, 160), "lamp"))
    system.set_classes(classes(("cup", "bowl"), ("fork", "lamp"), ("plant",)))
    assert set(np.unique(system.predict(np.zeros((480, 640, 3), np.uint8)).segment(np.arange(3)))) == {1}


def test_regions_are_summed_as_in_equation_6() -> None:
    # Two regions that agree at 0.6 beat one at 1.0: the sum decides, not the best region.
    masks = np.full((3, 4, 4), 9, np.float32)
    letterbox = Letterbox((16, 16), (16, 16), 4)
    regions = np.array([[1, 0], [0, 0.6], [0, 0.6]], np.float32)
    prediction = RegionPrediction(
        letterbox, masks, regions, embeddings(np.eye(2, dtype=np.float32)), NamesEncoder(), Calibration()
    )
    assert set(np.unique(prediction.segment(np.arange(2)))) == {1}


@pytest.mark.parametrize(("temperature", "right_half"), [(None, 0), (0.05, 1)])
def test_attention_takes_away_what_a_word_has_in_common_with_all_regions(
    temperature: float | None, right_half: int
) -> None:
    # "table" is near both regions, and nearer than "cup" to the one that the cup is in.
    masks = np.full((2, 4, 4), -9, np.float32)
    masks[0, :, :2] = masks[1, :, 2:] = 9
    regions = np.array([[0.9, 0.1], [0.8, 0.6]], np.float32)
    prediction = RegionPrediction(
        Letterbox((16, 16), (16, 16), 4),
        masks,
        regions,
        embeddings(np.eye(2, dtype=np.float32)),
        NamesEncoder(),
        Calibration(),
        temperature,
    )
    answer = prediction.segment(np.arange(2))
    assert set(np.unique(answer[:, :6])) == {0}
    assert set(np.unique(answer[:, 10:])) == {right_half}


def test_segmentation_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(1)
    letterbox = Letterbox((12, 20), (16, 16), 4)
    logits = random.standard_normal((5, 4, 4)).astype(np.float32) * 3
    regions = random.standard_normal((5, 6)).astype(np.float32)
    vectors = random.standard_normal((7, 6)).astype(np.float32)
    prediction = RegionPrediction(letterbox, logits, regions, embeddings(vectors), NamesEncoder(), Calibration())
    rows = np.array([6, 0, 3])
    answer = prediction.segment(rows)
    restored = letterbox.restore(logits)
    for y in range(12):
        for x in range(20):
            masks = [1 / (1 + np.exp(-float(restored[n, y, x]))) for n in range(5)]
            scores = [sum(float(vectors[row] @ regions[n]) * masks[n] for n in range(5)) for row in rows]
            assert answer[y, x] == rows[int(np.argmax(scores))]


def test_padding_has_no_say() -> None:
    # The image is twice as wide as high: the lower half of the square input is padding.
    logits = np.full((2, 160, 160), -9, np.float32)
    logits[0, :80] = 9
    logits[1, 80:] = 9  # a region of padding alone
    engine = DrawnEngine([(logits[0], "cup"), (logits[1], "bowl")], input_size=(640, 640))
    system = OpenSegSystem(engine, NamesEncoder(), Calibration())
    system.set_classes(classes(("bowl",), ("cup",)))
    prediction = system.predict(np.zeros((100, 200, 3), np.uint8))
    assert prediction.segment(np.arange(2)).shape == (100, 200)
    assert (prediction.segment(np.arange(2)) == 1).all()
    assert prediction.proposals[0].all() and not prediction.proposals[1].any()


def test_a_phrase_is_found_by_the_nearest_region() -> None:
    system = drawn((rectangle(0, 0, 60, 80), "cup"), (rectangle(60, 80, 120, 160), "bowl"))
    system.set_classes(classes(("cup",)))
    prediction = system.predict(np.zeros((480, 640, 3), np.uint8))
    assert isinstance(prediction, PhrasePrediction)
    found = prediction.find(["bowl", "cup", "bowl"])
    assert np.array_equal(found, prediction.proposals[[1, 0, 1]])


def test_a_clear_mask_wins_over_a_vague_one_if_the_calibration_says_so() -> None:
    letterbox = Letterbox((96, 128), (96, 128), 4)
    logits = np.full((2, 24, 32), -9, np.float32)
    logits[0, :12] = 0.5  # certainty 0.62
    logits[1, 12:] = 9.0
    vectors = np.eye(2, dtype=np.float32)
    names = NamesEncoder()
    regions = names.encode(["cup", "bowl"]) * [[1.0], [0.2]] + names.encode(["bowl", "cup"]) * [[0.0], [0.9]]
    regions = (regions / np.linalg.norm(regions, axis=1, keepdims=True)).astype(np.float32)
    for calibration, best in ((Calibration(scale=10), 0), (Calibration(scale=10, quality=20), 1)):
        prediction = RegionPrediction(letterbox, logits, regions, embeddings(vectors), names, calibration)
        assert np.array_equal(prediction.find(["cup"]), prediction.proposals[[best]]), calibration


def test_classes_come_before_images() -> None:
    with pytest.raises(RuntimeError, match="set_classes must come before"):
        drawn((rectangle(0, 0, 60, 80), "cup")).predict(np.zeros((480, 640, 3), np.uint8))


@pytest.mark.parametrize("size", [(480, 640), (97, 131), (33, 700), (1, 5)])
@pytest.mark.parametrize("floats", [1, 5_000, 1 << 30])
def test_bands_are_the_whole_picture(size: tuple[int, int], floats: int) -> None:
    letterbox = Letterbox(size, (96, 128), 4)
    grids = np.random.default_rng(0).standard_normal((3, 24, 32)).astype(np.float32)
    whole = letterbox.restore(grids)
    joined = np.full_like(whole, np.nan)
    stops = [0]
    for rows, band in upsampled_bands(letterbox, grids, floats):
        assert rows.start == stops[-1] and band.shape == (3, rows.stop - rows.start, size[1])
        joined[:, rows] = band
        stops.append(rows.stop)
    assert stops[-1] == size[0]
    assert np.allclose(joined, whole, atol=1e-5)


@pytest.mark.parametrize("floats", [1, 7, 100, 1 << 20])
def test_the_best_class_does_not_depend_on_how_much_is_held_at_once(floats: int) -> None:
    random = np.random.default_rng(0)
    scores, masks = random.standard_normal((6, 4)).astype(np.float32), random.random((4, 90)).astype(np.float32)
    assert np.array_equal(best_class(scores, masks, floats), (scores @ masks).argmax(0))


def test_of_equal_scores_the_first_class_wins() -> None:
    assert argmax_over_classes(np.array([[0, 1, 2], [0, 2, 2], [0, 2, 1]], np.float32)).tolist() == [0, 1, 0]


def test_847_classes_fit_in_memory() -> None:
    random = np.random.default_rng(0)
    letterbox = Letterbox((320, 480), (320, 480), 4)
    vectors = random.standard_normal((847, 32)).astype(np.float32)
    logits = random.standard_normal((16, 80, 120)).astype(np.float32)
    regions = random.standard_normal((16, 32)).astype(np.float32)
    prediction = RegionPrediction(letterbox, logits, regions, embeddings(vectors), NamesEncoder(), Calibration())
    pixels = PixelPrediction(
        PixelFeatures(letterbox, random.standard_normal((80, 120, 32)).astype(np.float32)), embeddings(vectors)
    )
    tracemalloc.start()
    try:
        prediction.segment(np.arange(847))
        pixels.segment(np.arange(847))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 250e6  # all scores at once are 847 * 320 * 480 * 4 bytes = 520 MB


# Inference without proposals, and with true masks


@pytest.fixture(scope="module")
def network() -> OpenSeg:
    torch.manual_seed(3)
    network = OpenSeg(SMALL)
    for buffer in network.buffers():  # BatchNorm that changes something
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return network.eval()


def photo(height: int = 70, width: int = 110) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_pixel_features_pool_to_the_networks_own_embeddings(network: OpenSeg) -> None:
    features = FeatureNetwork(network).features(photo())
    letterbox = features.letterbox
    pixels = torch.from_numpy((letterbox.apply(photo())[None].transpose(0, 3, 1, 2).astype(np.float32) - 128) / 128)
    with torch.no_grad():
        output = network(pixels, torch.from_numpy(letterbox.valid[None]))
    masks = torch.sigmoid(output["mask_logits"][0]).numpy() * letterbox.valid
    pooled = np.einsum("nhw,hwd->nd", masks, features.features) / masks.sum((1, 2))[:, None]
    assert np.allclose(pooled, output["embeddings"][0].numpy(), rtol=1e-3, atol=1e-4)


def test_without_proposals_every_pixel_stands_alone() -> None:
    letterbox = Letterbox((16, 32), (16, 32), 4)
    features = np.zeros((4, 8, 9), np.float32)
    features[:, :4] = 5 * vector("cup")  # features have any length: it must not matter
    features[:, 4:] = 0.1 * vector("bowl")
    known = ClassEmbeddings.encode(classes(("fork",), ("plant", "bowl"), ("cup",)), NamesEncoder())
    prediction = PixelPrediction(PixelFeatures(letterbox, features), known)
    rows = prediction.segment(np.arange(3))
    assert set(np.unique(rows[:, :14])) == {2} and set(np.unique(rows[:, 20:])) == {1}
    assert set(np.unique(prediction.segment(np.array([1])))) == {1}
    assert prediction.proposals is None


def test_scores_of_pixels_are_those_of_interpolated_features() -> None:
    random = np.random.default_rng(2)
    letterbox = Letterbox((21, 30), (16, 32), 4)
    features = random.standard_normal((4, 8, 6)).astype(np.float32)
    vectors = random.standard_normal((5, 6)).astype(np.float32)
    upsampled = letterbox.restore(np.ascontiguousarray(features.transpose(2, 0, 1)))
    expected = np.einsum("kd,dhw->khw", vectors, upsampled)
    answer = PixelPrediction(PixelFeatures(letterbox, features), embeddings(vectors)).segment(np.arange(5))
    margin = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0]
    clear = margin > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(answer[clear], expected.argmax(0)[clear])


def test_true_masks_take_the_class_of_their_mean_feature() -> None:
    letterbox = Letterbox((16, 32), (16, 32), 4)
    features = np.zeros((4, 8, 9), np.float32)
    features[:, :4] = vector("cup")
    features[:, 4:] = vector("bowl")
    features[0, 0] = vector("fork")
    masks = np.zeros((3, 16, 32), bool)
    masks[0, :, 14:] = True  # two columns of the cup's cells: most of it is bowl
    masks[1, :, 4:14] = True
    masks[2, 0, 0] = True  # one pixel, a sixteenth of a cell
    pooled = pool_masks(PixelFeatures(letterbox, features), masks)
    assert pooled[2] == pytest.approx(vector("fork"))
    share = 2 / 18
    assert pooled[0] == pytest.approx(share * vector("cup") + (1 - share) * vector("bowl"), abs=1e-6)
    known = ClassEmbeddings.encode(classes(("cup",), ("bowl",), ("fork",)), NamesEncoder())
    answer = TrueMaskPrediction(masks, pooled, known).segment(np.arange(3))
    assert (answer[masks[0]] == 1).all() and (answer[masks[1]] == 0).all() and answer[0, 0] == 2


def test_shares_of_cells_keep_the_area() -> None:
    letterbox = Letterbox((48, 64), (96, 128), 4)
    masks = np.random.default_rng(0).random((2, 48, 64)) > 0.8
    shares = cell_shares(letterbox, masks)
    assert shares.shape == (2, 24 * 32)
    assert shares.mean(1) == pytest.approx(masks.mean((1, 2)), abs=1e-6)
    assert cell_shares(letterbox, masks[:0]).shape == (0, 24 * 32)


def test_images_without_masks_and_systems_without_truth(network: OpenSeg) -> None:
    system = TrueMaskSystem(FeatureNetwork(network), _Encoder())
    system.set_classes(classes(("a",), ("b",)))
    prediction = system.predict(photo(), np.zeros((0, 70, 110), bool))
    assert set(np.unique(prediction.segment(np.array([1, 0])))) == {1}
    with pytest.raises(ValueError, match="needs the true masks"):
        system.predict(photo())


class _Encoder:
    """Any name is some direction."""

    name, dim = "any", SMALL.embedding_dim

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = [np.random.default_rng(list(text.encode())).standard_normal(self.dim) for text in texts]
        return np.array(rows, np.float32).reshape(-1, self.dim)


class _OneFeature:
    """Gives all pixels of a picture one feature."""

    def __init__(self, feature: np.ndarray) -> None:
        self._feature = feature

    def features(self, image: np.ndarray) -> PixelFeatures:
        letterbox = Letterbox(image.shape[:2], (96, 128), 4)
        return PixelFeatures(letterbox, np.tile(self._feature, (24, 32, 1)))


@pytest.mark.parametrize("name", ["cup", "bowl", "fork"])
def test_a_mask_that_is_everything_makes_both_variants_agree(name: str) -> None:
    # Where all pixels have one feature, pooling changes nothing.
    source = _OneFeature(3 * vector(name))
    answers = []
    for system in (TrueMaskSystem(source, NamesEncoder()), NoProposalSystem(source, NamesEncoder())):
        with pytest.raises(RuntimeError, match="set_classes must come before"):
            system.predict(photo(), np.ones((1, 70, 110), bool))
        system.set_classes(classes(("bowl",), ("plant", "cup"), ("fork",)))
        answers.append(system.predict(photo(), np.ones((1, 70, 110), bool)).segment(np.arange(3)))
    assert np.array_equal(*answers)
    assert set(np.unique(answers[0])) == {("bowl", "cup", "fork").index(name)}


def test_the_mean_over_a_mask_that_is_everything_is_the_mean(network: OpenSeg) -> None:
    features = FeatureNetwork(network)
    flat = np.full((96, 128, 3), 90, np.uint8)
    masks = np.ones((1, 96, 128), bool)
    pooled = pool_masks(features.features(flat), masks)
    mean = features.features(flat).features.mean((0, 1))
    assert np.allclose(pooled[0], mean, rtol=1e-4, atol=1e-5)


def test_systems_are_loaded_by_name(tmp_path: Path) -> None:
    folder = str(random_weights(tmp_path / "small").folder)
    image = photo()
    masks = np.ones((1, 70, 110), bool)
    for name in ("openseg", "openseg_attention", "openseg_no_proposals", "openseg_true_masks"):
        loaded = load_system(name, SystemOptions(folder, backend="torch"))
        assert loaded.system.name == name and loaded.engine == "torch fp32 cpu"
        assert loaded.sha256 == load_weights(folder).sha256
        loaded.system.set_classes(classes(("cup",), ("table", "desk")))
        first, second = (loaded.system.predict(image, masks).segment(np.arange(2)) for _ in range(2))
        assert first.shape == (70, 110) and np.array_equal(first, second)
        assert set(np.unique(loaded.system.predict(image, masks).segment(np.array([1])))) == {1}


def test_systems_that_cannot_be_had_say_why(tmp_path: Path) -> None:
    folder = str(random_weights(tmp_path / "small").folder)
    with pytest.raises(SystemChoiceError, match=r"unknown system 'lseg\?'; there are openseg, "):
        load_system("lseg?", SystemOptions(folder))
    with pytest.raises(SystemChoiceError, match="backend openvino"):
        load_system("openseg_true_masks", SystemOptions(folder, backend="openvino"))
    with pytest.raises(EngineError, match="device 'cuda:77'"):
        load_system("openseg_no_proposals", SystemOptions(folder, device="cuda:77"))
    with pytest.raises(WeightsError):
        load_system("openseg", SystemOptions(str(tmp_path / "none")))


def test_the_engines_answer_is_what_is_measured(tmp_path: Path) -> None:
    weights = random_weights(tmp_path / "small")
    engine = TorchEngine(weights)
    system = OpenSegSystem(engine, _Encoder(), Calibration())
    system.set_classes(classes(("cup",)))
    letterbox = Letterbox((70, 110), engine.input_size, engine.stride)
    output = engine.infer(letterbox.apply(photo())[None], letterbox.valid[None])
    assert np.array_equal(system.predict(photo()).proposals, letterbox.restore(output.mask_logits[0]) > 0)
