"""Every compared system through `training.evaluate`, on tiny real models."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from official_layouts import write_voc
from small_model import random_weights
from tiny_coco import write_tiny_coco
from tiny_pretrained import save_align, save_clipseg, save_groupvit
from typer import Typer
from typer.testing import CliRunner

from openseg_ros.runtime.weights import load_weights
from training import evaluate
from training.baselines.selective_search import BoxPrediction
from training.evaluation.class_list import ClassList
from training.evaluation.data_set import AnnotatedImage, EvaluationSet, class_masks
from training.evaluation.protocol import Evaluation


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    for name, save in (("align", save_align), ("groupvit", save_groupvit), ("clipseg", save_clipseg)):
        (folder / name).mkdir()
        save(folder / name)
    random_weights(folder / "small")
    return {name: str(folder / name) for name in ("align", "groupvit", "clipseg", "small")}


def run(*arguments: str, code: int = 0) -> str:
    app = Typer()
    app.command()(evaluate.main)
    result = CliRunner().invoke(app, [*arguments, "--backend", "torch"])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("system", "model", "image_size", "has_proposals"),
    [
        ("lseg", "small", 0, False),
        ("align_cam", "align", 96, False),
        ("align_proposals", "small", 96, True),
        ("groupvit", "groupvit", 64, True),
        ("clipseg", "clipseg", 32, False),
    ],
)
def test_one_image_is_measured(
    tmp_path: Path, models: dict[str, str], system: str, model: str, image_size: int, has_proposals: bool
) -> None:
    data, out = write_tiny_coco(tmp_path / "data", 1), tmp_path / "out"
    options = ["--image-size", str(image_size)] if image_size else []
    options += ["--align", models["align"]] if system == "align_proposals" else []
    run("--system", system, "--weights", models[model], "--data", str(data), "--out", str(out), *options)
    result = json.loads((out / "result.json").read_text())
    assert result["system"] == system and result["weights"].startswith(f"{model}/")
    assert result["engine"].startswith("torch fp32 cpu")
    assert result["config"]["image_size"] == (image_size or None)
    if model == "small":
        assert load_weights(models["small"]).sha256 in result["weights_sha256"]
    else:
        assert result["weights"] == f"{model}/{result['weights_sha256'][:12]}"
    figures = result["figures"]
    assert figures["images"] == 1 and 0 <= figures["miou"] <= 1 and 0 <= figures["grounding_miou"] <= 1
    assert (figures["R50"] is not None) == (figures["phrase_top1"] is not None) == has_proposals
    assert cv2.imread(str(out / "worst_01.jpg")).shape == (60, 240, 3)


def test_voc_21_asks_compared_systems_for_59_classes(tmp_path: Path, models: dict[str, str]) -> None:
    label = np.zeros((50, 70), np.int32)
    label[10:30, 10:40] = 15
    data, report = write_voc(tmp_path / "VOC2012", {"2007_000033": label}), tmp_path / "report.json"
    run(
        *("--system", "clipseg", "--weights", models["clipseg"], "--image-size", "32", "--dataset", "voc_21"),
        *("--names", "engineered", "--data", str(data), "--report", str(report)),
    )
    figures = json.loads(report.read_text())
    assert set(figures["grounding_iou_per_class"]) >= {"person", "background"}


def test_bad_choices_are_said_in_one_sentence(tmp_path: Path, models: dict[str, str]) -> None:
    data = str(write_tiny_coco(tmp_path / "data", 1))

    def message(*arguments: str) -> str:
        return run("--data", data, *arguments, code=2)

    assert "--align does not go with openseg; it is for align_proposals" in message("--align", models["align"])
    assert "--image-size does not go with lseg" in message("--system", "lseg", "--image-size", "64")
    assert "--weights does not go with selective_search" in message(
        "--system", "selective_search", "--weights", models["small"]
    )
    assert "image size 50 is not a multiple of 32" in message(
        "--system", "align_cam", "--weights", models["align"], "--image-size", "50"
    )
    assert "is a align model; the system needs groupvit" in message(
        "--system", "groupvit", "--weights", models["align"]
    )
    assert "there is no folder 'nothing'" in message("--system", "clipseg", "--weights", "nothing")
    assert "precision bf16 do not go with" in message(
        "--system", "clipseg", "--weights", models["clipseg"], "--precision", "bf16"
    )


@pytest.mark.skipif(hasattr(cv2, "ximgproc"), reason="this OpenCV has its contrib modules")
def test_selective_search_names_the_package_that_it_needs(tmp_path: Path) -> None:
    data = str(write_tiny_coco(tmp_path / "data", 1))
    assert "install opencv-contrib-python-headless" in run("--system", "selective_search", "--data", data, code=2)


@pytest.mark.skipif(not hasattr(cv2, "ximgproc"), reason="this OpenCV has no contrib modules")
def test_selective_search_has_recall_and_nothing_else(tmp_path: Path) -> None:
    data, out = write_tiny_coco(tmp_path / "data", 2), tmp_path / "out"
    for name in ("one", "two"):
        run("--system", "selective_search", "--data", str(data), "--out", str(out / name), "--seed", "1")
    assert (out / "one" / "result.json").read_bytes() == (out / "two" / "result.json").read_bytes()
    result = json.loads((out / "one" / "result.json").read_text())
    assert result["figures"]["miou"] is None and result["figures"]["phrase_top1"] is None
    assert result["figures"]["R50"] > 0.5 and result["weights"] == "no weights"
    assert not list((out / "one").glob("worst_*")) and (out / "one" / "report.html").exists()


def test_without_words_only_recall_is_measured(tmp_path: Path) -> None:
    label = np.zeros((6, 8), np.int32)
    label[:3, :4] = 1
    names = ClassList((1, 2), ("floor", "cup"), ("floor", "cup"), (("floor",), ("cup",)))
    image = AnnotatedImage(np.zeros((6, 8, 3), np.uint8), label, *class_masks(label))
    evaluation = Evaluation(
        EvaluationSet("drawn", tmp_path, names, names.titles, np.arange(2), (), lambda index: image)
    )
    measured = evaluation.add(image, BoxPrediction(np.array([[0, 0, 4, 3], [5, 5, 1, 1]]), (6, 8)))
    assert measured.prediction is None and np.isnan(measured.mean_iou)
    figures = evaluation.result()
    assert figures["miou"] is None and figures["grounding_miou"] is None and figures["miou_of_union"] is None
    assert figures["R50"] == figures["R90"] == 0.5  # the cup is met, the floor is not
    assert all(row.iou is None and row.grounding_iou is None for row in evaluation.per_class())
