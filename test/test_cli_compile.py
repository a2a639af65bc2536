"""`openseg compile` with a real network: what it keeps, prints and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_model import random_weights
from typer.testing import CliRunner, Result

from openseg_ros.cli.main import app
from openseg_ros.cli.recorded_frames import RecordingError, read_frames
from openseg_ros.runtime import parity
from openseg_ros.runtime.engine import create_engine
from openseg_ros.runtime.frames import DRAWN_FRAMES, FRAMES_FOLDER, drawn_frames, fixed_frames
from openseg_ros.runtime.weights import Weights

BAG = Path(__file__).resolve().parent.parent / "demo" / "table_bag"
CAMERA = "/camera/image_raw/compressed"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return random_weights(tmp_path_factory.mktemp("models") / "small")


def openseg(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compile", *map(str, arguments)], catch_exceptions=False)


COMPILE = ("--backend", "openvino", "--precision", "fp32", "--size", "64x96", "--json")


@pytest.fixture(scope="module")
def report(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What compiling for small images prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        result = openseg(weights.folder, *COMPILE)
    assert result.exit_code == 0, result.stderr
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def test_report_and_kept_engine(weights: Weights, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert report["recipe"]["profile"] == "1x64x96"
    assert report["recipe"]["precision"] == "fp32"
    assert 0.999 <= report["parity"]["worst_cosine"] <= 1.0001
    assert 0.99 <= report["parity"]["label_agreement"] <= 1.0
    assert report["parity"]["regions"] > 0
    assert report["frames"] == DRAWN_FRAMES
    folder = Path(report["engine"])
    monkeypatch.setenv("OPENSEG_CACHE", str(folder.parent))
    made = (folder / "model.xml").stat().st_mtime_ns
    assert create_engine(weights, "openvino", precision="fp32", input_size=(64, 96)).input_size == (64, 96)
    assert (folder / "model.xml").stat().st_mtime_ns == made, "the node takes what was compiled"


def test_engines_are_compared_on_the_model_s_own_pictures(
    weights: Weights, report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSEG_CACHE", str(Path(report["engine"]).parent))
    own = random_weights(tmp_path / "small")
    assert own.sha256 == weights.sha256
    pictures = own.folder / FRAMES_FOLDER
    pictures.mkdir()
    for number in range(3):
        Image.fromarray(np.full((50, 100, 3), 80 * number, np.uint8)).save(pictures / f"{number}.jpg")
    frames = fixed_frames(own, (96, 128))
    assert frames.images.shape == (3, 96, 128, 3)
    assert frames.images[:, 0, 0, 0].tolist() == pytest.approx([0, 80, 160], abs=2)
    assert frames.valid[:, -1].max(1).tolist() == [1, 1, 0] and (frames.images[2, -1] == 128).all()
    compared = json.loads(openseg(own.folder, *COMPILE).stdout)
    assert compared["frames"] == 3 and compared["engine"] != report["engine"]
    (pictures / "1.jpg").write_bytes(b"no picture")
    result = openseg(own.folder, *COMPILE)
    assert result.exit_code == 1 and "1.jpg is damaged or no picture" in result.stderr


def test_int8_is_calibrated_on_a_bag_and_then_loaded_by_the_node(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSEG_CACHE", str(tmp_path))
    # Random weights have no margin to lose; the bounds hold for trained ones.
    monkeypatch.setitem(parity.BOUNDS, "int8", parity.ParityBounds(-1.0, 0.9, 0.5, 0.0))
    arguments = (weights.folder, "--backend", "openvino", "--precision", "int8", "--frames", BAG, "--topic", CAMERA)
    result = openseg(*arguments)
    assert result.exit_code == 0, result.stderr
    assert "openvino int8" in result.stdout
    assert "mean cosine" in result.stdout
    (entry,) = tmp_path.iterdir()
    graph = (entry / "model.xml").read_text(encoding="utf-8")
    assert "FakeQuantize" in graph, "activations are quantised"
    assert 'element_type="i8"' in graph, "weights are stored in 8 bits"
    engine = create_engine(weights, "openvino", precision="int8")
    assert engine.name == "openvino int8 CPU"
    frames = drawn_frames(engine.input_size, engine.stride)
    exact = create_engine(weights, "torch").infer(frames.images, frames.valid)
    found = engine.infer(frames.images, frames.valid)
    assert 0 < np.abs(found.mask_logits - exact.mask_logits).max() < np.abs(exact.mask_logits).max()

    monkeypatch.setitem(parity.BOUNDS, "int8", parity.ParityBounds(-1.0, 1.1, 0.5, 0.0))
    with pytest.raises(parity.ParityError, match=r"openvino int8 is refused.*mean cosine 0\.9\d+ < 1\.1"):
        create_engine(weights, "openvino", precision="int8")


def test_refused_engine_ends_with_its_figures(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSEG_CACHE", str(tmp_path))
    monkeypatch.setitem(parity.BOUNDS, "fp32", replace(parity.BOUNDS["fp32"], mean_mask_iou=1.5))
    result = openseg(weights.folder, "--backend", "openvino", "--precision", "fp32")
    assert result.exit_code == 1
    assert "error: openvino fp32 is refused" in result.stderr
    assert "mean mask iou 1.0000 < 1.5" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "tensorrt"), "tensorrt needs an NVIDIA GPU"),
        (("--backend", "tensorrt", "--precision", "int8"), "backend tensorrt has no int8; use one of fp32, fp16, bf16"),
        (("--backend", "openvino", "--precision", "int8"), "int8 needs recorded frames to calibrate: --frames"),
        (("--backend", "openvino", "--frames", "/nowhere"), "/nowhere is not a folder"),
        (("--backend", "openvino", "--size", "100x128"), "multiples of 32, as in 480x640"),
        (("--backend", "openvino", "--frames", BAG, "--topic", "/nothing"), "choose one topic"),
    ],
)
def test_what_cannot_be_compiled_is_said_at_once(weights: Weights, arguments: tuple[object, ...], message: str) -> None:
    result = openseg(weights.folder, *arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_frames_of_a_folder_are_letterboxed(tmp_path: Path) -> None:
    for number in range(5):
        Image.fromarray(np.full((50, 100, 3), 40 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no image")
    frames = read_frames(tmp_path, None, 3, (64, 64), 4)
    assert [int(image[0, 0, 0]) for image in frames.images] == [0, 80, 160], "evenly spread"
    assert frames.valid[:, :8].all()
    assert not frames.valid[:, 8:].any()
    assert (frames.images[:, 32:] == 128).all()


def test_frames_of_a_bag_are_rgb() -> None:
    frames = read_frames(BAG, CAMERA, 2, (256, 320), 4)
    assert frames.images.shape == (2, 256, 320, 3)
    # The images of the true objects beside them are no pictures.
    assert np.array_equal(read_frames(BAG, None, 2, (256, 320), 4).images, frames.images)
    with pytest.raises(RecordingError, match="choose one topic"):
        read_frames(BAG, "/nothing", 2, (256, 320), 4)
