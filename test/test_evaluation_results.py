"""The command, its result folder and its pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from official_layouts import write_ade20k_150, write_ade20k_847, write_context, write_voc
from small_model import random_weights
from tiny_coco import write_tiny_coco
from typer import Typer
from typer.testing import CliRunner

from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.phrase_colours import phrase_colours
from training import evaluate
from training.evaluation.data_sets.catalogue import DATA_SETS, open_data_set
from training.evaluation.pictures import STRENGTH, triptych
from training.evaluation.protocol import ClassFigures
from training.evaluation.report import WorstPicture, write_report
from training.evaluation.result import Result, hash_data, software_versions, write_result
from training.evaluation.worst_images import WorstImages


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_weights(tmp_path_factory.mktemp("weights") / "small").folder)


def run(*arguments: str, code: int = 0) -> str:
    app = Typer()
    app.command()(evaluate.main)
    result = CliRunner().invoke(app, [*arguments, "--backend", "torch"])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_the_result_folder_says_everything(tmp_path: Path, weights: str) -> None:
    data, out = write_tiny_coco(tmp_path / "data", 4), tmp_path / "out"
    printed = run("--weights", weights, "--data", str(data), "--out", str(out), "--worst", "2", "--seed", "3")
    result = json.loads((out / "result.json").read_text())
    assert result["system"] == "openseg" and result["data_set"] == "tabletop" and result["seed"] == 3
    assert result["weights_sha256"] == load_weights(weights).sha256
    assert len(result["data_sha256"]) == 64
    assert result["config"]["scale"] == "original" and result["config"]["names"] == "plain"
    assert result["software"]["numpy"] == np.__version__ and "torch" in result["software"]
    assert result["figures"]["images"] == 4
    for figure in ("grounding_miou", "R50"):
        assert f"{result['figures'][figure]:.3f}" in printed
    rows = {row["name"]: row for row in result["per_class"]}
    assert set(rows) == {"ball", "box", "table"} and rows["table"]["images"] == 4
    assert sum(row["pixels"] for row in rows.values()) == 4 * 60 * 80
    html = (out / "report.html").read_text()
    assert f"{result['figures']['miou']:.3f}" in html and result["weights_sha256"] in html
    assert html.count("<img ") == 2 and "worst_03.jpg" not in html
    assert cv2.imread(str(out / "worst_01.jpg")).shape == (60, 240, 3)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, weights: str) -> None:
    data = write_tiny_coco(tmp_path / "data", 2)
    for name in ("one", "two"):
        run("--weights", weights, "--data", str(data), "--out", str(tmp_path / name))
    for file in ("result.json", "report.html", "worst_01.jpg", "worst_02.jpg"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("system", ["openseg", "openseg_no_proposals", "openseg_true_masks"])
def test_voc_21_from_the_official_layout(tmp_path: Path, weights: str, system: str) -> None:
    label = np.zeros((50, 70), np.int32)
    label[10:30, 10:40], label[30:32], label[40:] = 15, 255, 12
    data, out = write_voc(tmp_path / "VOC2012", {"2007_000033": label}), tmp_path / "out"
    printed = run(
        *("--weights", weights, "--data", str(data), "--dataset", "voc_21", "--names", "engineered"),
        *("--system", system, "--scale", "letterbox", "--out", str(out)),
    )
    assert "not comparable: 1 images, the official split has 1449" in printed
    result = json.loads((out / "result.json").read_text())
    assert [row["name"] for row in result["per_class"] if row["pixels"]] == ["dog", "person", "background"]
    assert len(result["per_class"]) == 21
    assert (result["figures"]["R50"] is None) == (system != "openseg")
    # Counted with 640 as the longer side: borders, 2 of 50 lines, are left out.
    assert sum(row["pixels"] for row in result["per_class"]) == pytest.approx(640 * 457 * 48 / 50, rel=0.01)
    assert "Not comparable" in (out / "report.html").read_text()


MANY_NAMES = [pytest.param(name, marks=pytest.mark.slow) for name in ("ade20k_847", "pascal_context_459")]  # to encode


@pytest.mark.parametrize("dataset", ["ade20k_150", "pascal_context_59", "voc_20", *MANY_NAMES])
def test_every_official_layout_can_be_measured(tmp_path: Path, weights: str, dataset: str) -> None:
    label = np.zeros((40, 60), np.int32)
    label[:20], label[20:, 30:] = 2, 9
    if dataset == "ade20k_150":
        write_ade20k_150(tmp_path, {"ADE_val_00000001": label})
    elif dataset == "ade20k_847":
        write_ade20k_847(tmp_path, "ADE_val_00000001", np.array([0, 2978, 2855])[np.minimum(label, 2)], {})
    elif dataset == "voc_20":
        write_voc(tmp_path, {"2007_000033": label})
    else:
        write_context(tmp_path, {"2008_000002": label})
    report = tmp_path / "report.json"
    run("--weights", weights, "--data", str(tmp_path), "--dataset", dataset, "--report", str(report))
    figures = json.loads(report.read_text())
    assert figures["images"] == 1 and 0 <= figures["miou"] <= figures["grounding_miou"] <= 1
    assert figures["phrase_top1"] is None and figures["R50"] is not None


def test_bad_input_is_said_in_one_sentence(tmp_path: Path, weights: str) -> None:
    data = str(write_tiny_coco(tmp_path / "data", 1))
    assert "unknown system 'cob'" in run("--weights", weights, "--data", data, "--system", "cob", code=2)
    assert "is not one of" in run("--weights", weights, "--data", data, "--dataset", "ade", code=2)
    assert "only plain names" in run("--weights", weights, "--data", data, "--names", "engineered", code=2)
    assert "does not exist" in run("--weights", weights, "--data", data, "--dataset", "voc_20", code=2)
    message = run("--weights", weights, "--data", str(tmp_path), code=2)
    assert "cannot read" in message and "Traceback" not in message
    assert "no model" in run("--weights", "nothing", "--data", data, code=2)
    (tmp_path / "file").touch()
    message = run("--weights", weights, "--data", data, "--out", str(tmp_path / "file"), code=2)
    assert "error: cannot write" in message and "Traceback" not in message


def test_the_hash_is_of_names_and_annotations(tmp_path: Path) -> None:
    labels = {"2007_000033": np.ones((2, 3)), "2007_000042": np.ones((2, 3))}
    first = open_data_set("voc_20", write_voc(tmp_path / "here", labels))
    moved = open_data_set("voc_20", write_voc(tmp_path / "there", labels))
    reference = hash_data(first, first.items)
    assert hash_data(moved, moved.items) == reference
    assert hash_data(first, first.items[:1]) != reference
    labels["2007_000042"][0, 0] = 2
    changed = open_data_set("voc_20", write_voc(tmp_path / "changed", labels))
    assert hash_data(changed, changed.items) != reference


def test_the_worst_images_are_kept_in_order() -> None:
    worst = WorstImages(2)
    for index, value in enumerate((0.5, 0.2, float("nan"), 0.9, 0.2, 0.3)):
        worst.add(index, value, np.full((1, 1), index))
    kept = worst.worst_first()
    assert [(image.index, image.mean_iou) for image in kept] == [(1, pytest.approx(0.2)), (4, pytest.approx(0.2))]
    assert [int(image.prediction[0, 0]) for image in kept] == [1, 4]
    none = WorstImages(0)
    none.add(0, 0.1, np.zeros((1, 1)))
    assert none.worst_first() == []


def test_a_class_has_its_colour_in_truth_and_prediction() -> None:
    image = np.full((40, 60, 3), 100, np.uint8)
    label, prediction = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.int32)
    label[:, 30:], prediction[:, 30:] = -1, 1
    label[:, :30] = 1
    picture = triptych(image, label, prediction, ("floor", "cup"))
    assert picture.shape == (40, 180, 3)
    assert np.array_equal(picture[:, :60], image)
    colours = phrase_colours(["floor", "cup"])
    cup = np.round(100 * (1 - STRENGTH) + np.array(colours["cup"]) * STRENGTH)
    floor = np.round(100 * (1 - STRENGTH) + np.array(colours["floor"]) * STRENGTH)
    assert picture[1, 61].tolist() == cup.tolist()
    assert picture[1, 121].tolist() == floor.tolist()
    assert picture[1, 100].tolist() == picture[1, 170].tolist() == [35, 35, 35]  # nothing counts there
    middle = picture[10:30, 61:90].reshape(-1, 3)
    assert (middle == 255).all(1).any()  # its name is written there


def test_names_stay_inside_the_picture() -> None:
    image = np.zeros((60, 200, 3), np.uint8)
    label = np.full((60, 200), -1, np.int32)
    label[20:40, 196:] = 0
    picture = triptych(image, label, label, ("background",))
    written = (picture[:, 200:400] == 255).all(2)
    assert written.any() and not written[:, :100].any()
    assert written[:, -1].sum() < 5  # not cut off by the edge


def test_a_report_is_readable_and_escaped(tmp_path: Path) -> None:
    result = Result(
        system="<b>",
        weights="w",
        weights_sha256="0" * 64,
        engine="e",
        data_set="d",
        data_folder="/data & more",
        data_sha256="1" * 64,
        official_images=(5104, 5105),
        notes=(),
        config={"limit": None},
        seed=0,
        software=software_versions(),
        figures={"images": 5105, "miou": 0.12345, "R50": None},
        intervals={"miou": (0.11, 0.1367)},
        per_class=[
            ClassFigures("never", None, None, 0, 0),
            ClassFigures("good", 0.9, 0.95, 12_345, 7),
            ClassFigures("bad", 0.1, 0.2, 10, 1),
        ],
    )
    write_report(tmp_path / "report.html", result, [WorstPicture("worst_01.jpg", "a<b.jpg", 0.25)])
    html = (tmp_path / "report.html").read_text()
    assert "&lt;b&gt;" in html and "<b>" not in html and "/data &amp; more" in html and "a&lt;b.jpg" in html
    assert "0.123" in html and "0.110 to 0.137" in html and "12,345" in html and "–" in html
    assert html.index("<td>bad") < html.index("<td>good") < html.index("<td>never")
    assert "ot comparable" not in html
    write_report(tmp_path / "few.html", replace(result, figures={"images": 3}), [])
    few = (tmp_path / "few.html").read_text()
    assert "Not comparable: 3 images; the official split has 5104 or 5105" in few and "Worst images" not in few
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(tmp_path / "result.json", replace(result, figures={"miou": float("nan")}))


def test_the_command_knows_every_data_set() -> None:
    assert set(evaluate.DataSet.__args__) == set(DATA_SETS)
