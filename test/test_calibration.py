"""The calibration against a known truth, and its figures by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_scene import NamesEncoder, rectangle, segmenter
from hypothesis import given as examples
from hypothesis import strategies as st
from small_model import SMALL, random_weights
from tiny_coco import write_tiny_coco
from typer import Typer
from typer.testing import CliRunner

from openseg_ros.runtime.calibration import Calibration, CalibrationNumbers
from openseg_ros.runtime.weights import CONFIG_FILE
from training import calibrate
from training.data.broken_records import DatasetError
from training.data.records import AnnotatedImages, Record
from training.data.sources import DataSource, read_source
from training.evaluation.calibration import (
    Answers,
    Candidates,
    answer_figures,
    answers,
    best_of_each,
    cross_fitted_answers,
    expected_calibration_error,
    fit,
    not_found_threshold,
)
from training.evaluation.reliability_plot import reliability_plot


def candidates(asked: int, regions: int) -> Candidates:
    """Regions that are right with probability sigmoid(12 cosine + 6 quality - 5 cohort score - 7)."""
    random = np.random.default_rng(0)
    count = asked * regions
    cosine, quality = random.uniform(-0.2, 0.9, count), random.uniform(0.5, 1, count)
    cohort = random.uniform(0, 0.5, count)
    right = random.random(count) < 1 / (1 + np.exp(-(12 * cosine + 6 * quality - 5 * cohort - 7)))
    return Candidates(
        cosine, quality, cohort, right, np.repeat(np.arange(asked), regions), np.ones(asked, bool), np.arange(asked)
    )


def test_fit_finds_the_true_curve() -> None:
    known = candidates(20_000, 1)
    found = fit(known)
    assert found.scale == pytest.approx(12, rel=0.05)
    assert found.quality == pytest.approx(6, rel=0.1)
    assert found.cohort == pytest.approx(-5, rel=0.1)
    assert found.bias == pytest.approx(-7, rel=0.05)
    given = answers(known, found)
    assert expected_calibration_error(given.probability, given.right) < 0.02
    wrong = answers(known, CalibrationNumbers(12, 6, 0))
    assert expected_calibration_error(wrong.probability, wrong.right) > 0.1


def test_probabilities_are_true_of_the_best_regions() -> None:
    # The best of ten is right less often than its cosine says when cosines carry noise of their own.
    known = candidates(4000, 10)
    noisy = replace(known, cosine=known.cosine + np.random.default_rng(1).normal(0, 0.4, len(known.cosine)))
    given = answers(noisy, fit(noisy))
    assert expected_calibration_error(given.probability, given.right) < 0.03


def test_quality_parts_the_whole_from_its_parts() -> None:
    # Two regions per phrase with one cosine: the whole (quality 0.9, right) and a part of it (0.7, wrong).
    random = np.random.default_rng(0)
    whole_first = random.random(400) < 0.5
    right = np.stack([whole_first, ~whole_first], axis=1).ravel()
    cosine = np.repeat(random.uniform(0.1, 0.4, 400), 2)
    quality = np.where(right, 0.9, 0.7) + random.normal(0, 0.05, 800)
    asked = np.repeat(np.arange(400), 2)
    known = Candidates(cosine, quality, np.zeros(800), right, asked, np.ones(400, bool), np.arange(400))
    assert answers(known, fit(known)).right.mean() > 0.95
    assert answers(known, CalibrationNumbers(scale=10)).right.mean() < 0.6


def test_best_of_each_group() -> None:
    score = np.array([0.1, 0.7, 0.3, 0.9, 0.2])
    assert best_of_each(score, np.array([0, 0, 0, 2, 2])).tolist() == [1, 3]


def test_probability_by_hand() -> None:
    numbers = CalibrationNumbers(scale=2, quality=4, bias=-3, cohort=-1)
    probability = numbers.probability(np.array([[1.0], [-500.0]]), np.array([[0.5]]), np.array([[1.0]]))
    assert probability[:, 0] == pytest.approx([0.5, 0.0])


def test_cohort_score_is_a_soft_maximum_of_the_cosines() -> None:
    words = np.eye(4, dtype=np.float32)[:3]
    regions = np.array([[1, 0, 0, 0], [0.6, 0.6, 0, np.sqrt(0.28)], [0, 0, 0, 1]], np.float32)
    # One word alone; two that describe it equally well; none: then all three count, 0.02 log 3.
    expected = [1, 0.6 + 0.02 * np.log(2), 0.02 * np.log(3)]
    assert Calibration(words=words).cohort_score(regions) == pytest.approx(expected, abs=1e-6)
    assert Calibration().cohort_score(regions).tolist() == [0, 0, 0]


def test_common_words_are_those_of_most_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "COHORT_WORDS", 2)
    scenes = _captioned("a red mug", "a red bowl", "a red mug and a fork")
    photos = _captioned("a dog", "a dog and a fork")
    assert calibrate.common_words([scenes, photos]) == ("dog", "fork", "mug", "red")


class ListeningEncoder(NamesEncoder):
    """Knows what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return super().encode(texts)


def drawn_photos(folder: Path, *phrases: tuple[str, str]) -> Path:
    """Images of two things each, with these phrases, on the left and on the right half; their kind is "ball"."""
    write_tiny_coco(folder, len(phrases))
    content = json.loads((folder / "panoptic.json").read_text())
    for image, names in zip(content["annotations"], phrases, strict=True):
        image["segments_info"] = [{"id": 7 + n, "category_id": 1, "phrase": name} for n, name in enumerate(names)]
        ids = np.zeros((60, 80, 3), np.uint8)
        ids[:, :40, 2], ids[:, 40:, 2] = 7, 8
        cv2.imwrite(str(folder / "panoptic" / image["file_name"]), ids)
    (folder / "panoptic.json").write_text(json.dumps(content))
    return folder


def test_a_phrase_that_fits_a_thing_is_not_asked_as_absent(tmp_path: Path) -> None:
    folder = drawn_photos(
        tmp_path / "photos", ("red ball", "orange mug"), ("big red ball", "orange"), ("red ball", "big red ball")
    )
    encoder = ListeningEncoder()
    left_and_right = segmenter([(rectangle(0, 0, 120, 80), "cup"), (rectangle(0, 80, 120, 160), "cup")])
    asked = calibrate.collect_candidates(
        read_source(DataSource(str(folder))), left_and_right, encoder, Calibration(), np.random.default_rng(0)
    )
    assert asked.present.tolist() == [True] * 3 + [False] * 2 + [True] * 3 + [False] + [True] * 3 + [False] * 2
    names = [set(encoder.asked[row] for row in np.flatnonzero(asked.image == image)) for image in range(3)]
    assert names[0] == {"ball", "orange mug", "red ball", "big red ball", "orange"}  # an orange is no orange mug
    assert names[1] == {"ball", "big red ball", "orange", "orange mug"}  # and not "red ball", which is there
    right = {
        (image, phrase): asked.right[asked.asked == row].tolist()
        for row, (image, phrase) in enumerate(zip(asked.image.tolist(), encoder.asked, strict=True))
    }
    assert right[0, "red ball"] == [True, False] and right[0, "big red ball"] == [False, False]
    assert right[2, "red ball"] == [True, True] and right[2, "big red ball"] == [False, True]


def run(*arguments: str | Path, code: int) -> str:
    app = Typer()
    app.command()(calibrate.main)
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_too_few_images_with_regions_are_refused(tmp_path: Path) -> None:
    data = drawn_photos(tmp_path / "photos", ("red ball", "orange"))
    with pytest.raises(DatasetError, match=r"in 1 of 1 annotated images of .*photos; two are needed"):
        calibrate.collect_candidates(
            read_source(DataSource(str(data))),
            segmenter([(rectangle(0, 0, 120, 80), "cup")]),
            NamesEncoder(),
            Calibration(),
            np.random.default_rng(0),
        )
    nothing = random_weights(tmp_path / "small", replace(SMALL, mask_logit_bias=-1e6)).folder
    before = (nothing / CONFIG_FILE).read_bytes()
    said = run("--weights", nothing, "--data", data, "--backend", "torch", code=2)
    assert f"error: the network proposes regions in 0 of 1 annotated images of {data}; two are needed" in said
    assert (nothing / CONFIG_FILE).read_bytes() == before


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = random_weights(tmp_path / "small").folder
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)  # root may write everywhere
    said = run("--weights", folder, "--data", tmp_path / "not_even_read", code=2)
    assert f"error: the calibration cannot be stored: {folder} is not writable" in said


def test_halves_are_those_of_the_images_that_were_asked() -> None:
    known = candidates(40, 3)
    late = replace(known, image=known.image + 100)
    assert np.array_equal(cross_fitted_answers(late).probability, cross_fitted_answers(known).probability)


def _captioned(*captions: str) -> AnnotatedImages:
    return AnnotatedImages("", tuple(Record(Path(), captions=(caption,)) for caption in captions), {})


def test_answer_figures_by_hand() -> None:
    present = np.array([True, True, True, False, False])
    given = Answers(np.array([0.9, 0.8, 0.2, 0.7, 0.1]), np.array([True, False, True, False, False]), present)
    assert answer_figures(given) == {
        "best_region_right": 2 / 3,
        "not_found_precision": 1 / 2,  # of the third and the fifth, the fifth is really absent
        "not_found_recall": 1 / 2,
        "present_recall": 2 / 3,
        "found_precision": 1 / 3,
    }


def test_cross_fitted_answers_come_from_the_other_half() -> None:
    # Higher cosines are right in the first half of the images and wrong in the second: each half is answered by the
    # curve of the other, so what is said runs against what is true.
    random = np.random.default_rng(0)
    cosine, first = random.uniform(-1, 1, 400), np.arange(400) < 200
    right = (cosine > 0) == first
    known = Candidates(cosine, np.ones(400), np.zeros(400), right, np.arange(400), np.ones(400, bool), np.arange(400))
    given = cross_fitted_answers(known)
    assert len(given.right) == 400
    assert given.probability[given.right].mean() < 0.05 < 0.95 < given.probability[~given.right].mean()


def test_the_threshold_of_true_not_found_answers_by_hand() -> None:
    present = np.array([True, False, True, False, True, False, False])
    given = Answers(np.array([0.9, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1]), present, present)
    assert not_found_threshold(given, 0.9) == 0.3, "of two below it, two are absent; of three, only two"
    assert not_found_threshold(given, 0.75) == 0.6, "of four below it, three are absent"
    assert not_found_threshold(given, 0.6) == 0.9
    same = Answers(np.array([0.2, 0.2, 0.5]), np.array([False, True, True]), np.array([False, True, True]))
    assert np.isnan(not_found_threshold(same, 0.9)), "no threshold lies between two that are equally probable"


@examples(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30), st.sampled_from([0.5, 0.75, 0.9])
)
def test_no_larger_threshold_has_as_many_true_not_found_answers(phrases: list, precision: float) -> None:
    probability, present = np.array([p / 10 for p, _ in phrases]), np.array([there for _, there in phrases])
    given = Answers(probability, present, present)

    def is_enough(threshold: float) -> bool:
        return bool(answer_figures(given, threshold)["not_found_precision"] >= precision)  # nan is not

    found = not_found_threshold(given, precision)
    larger = [value for value in probability if not value <= found]  # all, if none was found
    assert not any(map(is_enough, larger))
    assert np.isnan(found) or is_enough(found)


def test_reliability_plot_is_a_picture() -> None:
    known = candidates(400, 3)
    picture = reliability_plot(answers(known, fit(known)), "a model")
    drawn = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape[0] > 300 and drawn.std() > 10
    assert picture == reliability_plot(answers(known, fit(known)), "a model")
