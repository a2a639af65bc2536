"""A teacher's masks for images without any: the rule, the parts that outlive a kill, the student that reads them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from accelerate import Accelerator
from pycocotools import mask as rle_codec
from pycocotools.coco import COCO
from small_model import random_weights
from tiny_coco import write_tiny_coco
from typer import Typer
from typer.testing import CliRunner

from openseg_ros.runtime.torch_engine import TorchEngine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.letterbox import Letterbox
from training.data.augmentation import AugmentationConfig
from training.data.broken_records import BrokenRecords, DatasetError
from training.data.pixels import read_image
from training.data.prepared_words import PreparedWords
from training.data.samples import CaptionedMasks, SampleConfig
from training.data.sources import DataSource, read_source
from training.data.stored_masks import read_masks
from training.label_parts import PartWriter, finished_images, merge_parts, open_parts
from training.pseudo_label import LabelSettings, find_images, label_folder, main
from training.pseudo_masks import MaskRule, select_masks

IMAGES = 60
SQUARE = Letterbox((80, 80), (80, 80), 4)  # 20 x 20 cells of 4 pixels


def boxes(*drawn: tuple[int, int, int, int, float]) -> np.ndarray:
    """Mask logits (N, 20, 20), each `logit` in rows top..bottom, columns left..right and -8 elsewhere."""
    logits = np.full((len(drawn), 20, 20), -8, np.float32)
    for mask, (top, left, bottom, right, logit) in zip(logits, drawn, strict=True):
        mask[top:bottom, left:right] = logit
    return logits


def decoded(masks: list[dict[str, object]], shape: tuple[int, int] = (80, 80)) -> list[np.ndarray]:
    return [rle_codec.decode({"size": list(shape), "counts": mask["counts"]}) for mask in masks]


def test_masks_are_what_the_image_s_pixels_would_give() -> None:
    random = np.random.default_rng(0)
    for size in ((60, 80), (123, 47), (300, 400)):
        letterbox = Letterbox(size, (96, 128), 8)
        logits = cv2.resize(random.normal(size=(3, 4, 12)).astype(np.float32).transpose(1, 2, 0), (16, 12))
        logits = np.ascontiguousarray(logits.transpose(2, 0, 1))
        masks = select_masks(logits, letterbox, MaskRule(duplicate_iou=0.999))
        expected = letterbox.restore(logits) > 0
        assert len(masks) == 3
        for mask in decoded(masks, size):
            difference = min(int((mask != other).sum()) for other in expected)
            assert difference <= 0.001 * mask.size  # where an interpolated logit is 0 to rounding
        for mask, described in zip(decoded(masks, size), masks, strict=True):
            rows, columns = np.nonzero(mask)
            assert described["area"] == mask.sum()
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert described["bbox"] == [int(value) for value in box]


def test_rule_drops_the_small_the_doubled_and_the_surplus() -> None:
    logits = boxes(
        (0, 0, 10, 10, 2.0),
        (0, 0, 9, 10, 4.0),  # IoU 0.9 with the first, and surer
        (0, 0, 7, 10, 1.0),  # IoU 0.7 and 0.78: another one
        (15, 15, 16, 16, 6.0),  # one cell of 400
        (0, 0, 20, 20, -1.0),  # nothing above the threshold
    )
    logits = np.concatenate([logits, np.full((1, 20, 20), np.nan, np.float32)])
    masks = select_masks(logits, SQUARE, MaskRule(smallest_area=0.005))
    assert [mask["area"] for mask in masks] == [pytest.approx(area, rel=0.15) for area in (90 * 16, 70 * 16)]
    assert [mask["score"] for mask in masks] == [round(1 / (1 + np.exp(-logit)), 4) for logit in (4.0, 1.0)]
    assert len(select_masks(logits, SQUARE, MaskRule())) == 3  # one cell is 0.25 % of the image
    assert len(select_masks(logits, SQUARE, MaskRule(most=1))) == 1
    assert len(select_masks(logits, SQUARE, MaskRule(duplicate_iou=0.95, smallest_area=0.005))) == 3
    surer = select_masks(logits, SQUARE, MaskRule(threshold=0.9, smallest_area=0.005))
    assert [mask["score"] for mask in surer] == [0.982]
    assert select_masks(logits[4:], SQUARE, MaskRule()) == []


def test_the_rule_refuses_limits_that_nothing_meets() -> None:
    with pytest.raises(ValueError, match="threshold is 1"):
        MaskRule(threshold=1)
    with pytest.raises(ValueError, match="most is 0; it must be 1 or more"):
        MaskRule(most=0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_weights(tmp_path_factory.mktemp("model") / "teacher").folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of several sizes at several depths; two of them cannot be read."""
    folder = tmp_path_factory.mktemp("images") / "data"
    write_tiny_coco(folder, IMAGES)
    (folder / "images" / "deep" / "er").mkdir(parents=True)
    for row in range(0, IMAGES, 3):
        image = read_image(folder / "images" / f"{row}.png")
        cv2.imwrite(str(folder / "images" / "deep" / "er" / f"{row}.JPG"), image[: 30 + row // 2])
        (folder / "images" / f"{row}.png").unlink()
    (folder / "images" / "1.png").write_bytes(b"no image")
    (folder / "images" / "deep" / "empty.jpeg").write_bytes(b"")
    (folder / "images" / "readme.txt").write_text("no image either")
    (folder / "images" / "deep" / "loop").symlink_to(folder / "images")
    (folder / "images" / "linked").symlink_to(folder / "panoptic")
    return folder


def label(teacher: str, folder: Path, out: Path) -> dict[str, int] | None:
    settings = LabelSettings(batch=4, threads=2)
    return label_folder(teacher, folder / "images", out, settings, Accelerator(cpu=True))


@pytest.fixture(scope="module")
def unbroken(teacher: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("unbroken") / "masks.json"
    counts = label(teacher, folder, out)
    assert counts is not None and counts["images"] == 2 * IMAGES - 1 and counts["failed"] == 2
    assert counts["masks"] >= counts["images"]
    return out


def test_images_are_found_at_any_depth(folder: Path) -> None:
    names = find_images(folder / "images")
    assert len(names) == 2 * IMAGES + 1 and names == sorted(names)
    assert {"2.png", "deep/er/0.JPG", "deep/empty.jpeg", "linked/0.png"} <= set(names)
    with pytest.raises(DatasetError, match=r"there is no image \(\.jpg, \.jpeg, \.png\) below"):
        find_images(folder / "nowhere")


def test_the_file_is_one_that_coco_s_own_reader_takes(unbroken: Path, folder: Path, teacher: str) -> None:
    coco = COCO(str(unbroken))
    names = [image["file_name"] for image in coco.dataset["images"]]
    assert names == sorted(set(find_images(folder / "images")) - {"1.png", "deep/empty.jpeg"})
    assert [failure["file_name"] for failure in coco.dataset["failed"]] == ["1.png", "deep/empty.jpeg"]
    assert "1.png is not a whole image" in coco.dataset["failed"][0]["error"]
    assert coco.dataset["categories"] == [{"id": 1, "name": "region"}]
    assert coco.dataset["info"]["teacher"] == load_weights(teacher).sha256
    for image in coco.dataset["images"]:
        annotations = coco.imgToAnns[image["id"]]
        assert 1 <= len(annotations) <= MaskRule.most
        masks = [coco.annToMask(annotation) for annotation in annotations]
        assert all(mask.shape == (image["height"], image["width"]) for mask in masks)
        assert [int(mask.sum()) for mask in masks] == [annotation["area"] for annotation in annotations]
        scores = [annotation["score"] for annotation in annotations]
        assert scores == sorted(scores, reverse=True)
    # The masks of one image are those of the network for this image.
    pixels = read_image(folder / "images" / "2.png")
    engine = TorchEngine(load_weights(teacher))
    letterbox = Letterbox(pixels.shape[:2], engine.input_size, engine.stride)
    output = engine.infer(np.stack([letterbox.apply(pixels)] * 4), np.stack([letterbox.valid] * 4))
    expected = select_masks(output.mask_logits[0], letterbox, MaskRule())
    found = coco.imgToAnns[names.index("2.png") + 1]
    assert [annotation["segmentation"]["counts"] for annotation in found] == [mask["counts"] for mask in expected]


def command(teacher: str, folder: Path, out: Path, *launcher: str) -> list[str]:
    options = ["--weights", teacher, "--images", str(folder / "images"), "--out", str(out), "--batch", "4"]
    return [sys.executable, "-m", *launcher, "training.pseudo_label", *options]


def parts_of(out: Path) -> list[Path]:
    return sorted(out.with_name(f"{out.name}.parts").glob("part-*.jsonl"))


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


@pytest.mark.slow
def test_a_killed_run_goes_on_with_two_processes_to_the_same_file(
    teacher: str, folder: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "masks.json"
    process = subprocess.Popen(
        command(teacher, folder, out), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (parts_of(out) and parts_of(out)[0].read_bytes().count(b"\n") >= 4):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)  # or it would go on labelling meanwhile
    with pytest.raises(DatasetError, match="is being written by another process"):
        open_parts(parts_of(out)[0].parent, {})
    process.send_signal(signal.SIGKILL)
    process.wait()
    (part,) = parts_of(out)
    before = part.read_bytes()
    assert 4 <= before.count(b"\n") < 2 * IMAGES + 1 and not out.exists(), "the run was not interrupted"
    part.write_bytes(before + b'{"image": "59.png", "hei')  # the line that a kill tears
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    result = subprocess.run(
        command(teacher, folder, out, *launcher), env=ENVIRONMENT, capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stderr
    finished = before.count(b"\n")
    assert f"{2 * IMAGES + 1} images, {finished} of them finished before" in result.stdout
    assert [path.name for path in parts_of(out)] == ["part-00000.jsonl", "part-00001.jsonl"]
    assert part.read_bytes().startswith(before)
    lines = [json.loads(line)["image"] for path in parts_of(out) for line in path.read_bytes().splitlines()]
    assert sorted(lines) == find_images(folder / "images")  # each once: nothing lost, nothing done twice
    assert out.read_bytes() == unbroken.read_bytes()


def test_a_finished_run_takes_up_later_images_and_refuses_another_teacher(
    teacher: str, folder: Path, unbroken: Path, tmp_path: Path
) -> None:
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    out = tmp_path / "masks.json"
    for name in ("b.png", "a.png"):
        (images / name).write_bytes((folder / "images" / "2.png").read_bytes())
        assert label(teacher, images.parent, out) is not None
    content = json.loads(out.read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.png"]
    (part,) = parts_of(out)
    assert [json.loads(line)["image"] for line in part.read_text().splitlines()] == ["b.png", "a.png"]
    counts = [annotation["segmentation"]["counts"] for annotation in content["annotations"]]
    assert counts[: len(counts) // 2] == counts[len(counts) // 2 :]
    (images / "b.png").unlink()  # its labels are then of no use
    label(teacher, images.parent, out)
    assert [image["file_name"] for image in json.loads(out.read_text())["images"]] == ["a.png"]

    other = str(random_weights(tmp_path / "other", seed=1).folder)
    with pytest.raises(DatasetError, match=r"labels of another run \(teacher was "):
        label(other, images.parent, out)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "images").mkdir(parents=True)
    (elsewhere / "images" / "a.png").write_bytes((folder / "images" / "2.png").read_bytes())
    with pytest.raises(DatasetError, match=r"labels of another run \(images was .*, is .*elsewhere/images\)"):
        label(teacher, elsewhere, out)
    part.unlink()
    (part.parent / "run.json").unlink()
    part.parent.rmdir()
    with pytest.raises(DatasetError, match=r"masks\.json is there already, and .*masks\.json\.parts is not"):
        label(teacher, images.parent, out)


def test_the_student_trains_on_the_teacher_s_masks(folder: Path, unbroken: Path) -> None:
    (folder / "masks.json").write_bytes(unbroken.read_bytes())
    source = DataSource(str(folder), panoptic_json="", captions_json="", masks_json="masks.json")
    read = read_source(source)
    assert len(read.records) == 2 * IMAGES - 1
    words = PreparedWords((), np.zeros((0, 4), np.float32), [[] for _ in read.records])
    still = AugmentationConfig(scale=(1.0, 1.0), flip_probability=0.0)
    data = CaptionedMasks([read], words, augmentation=still, config=SampleConfig((60, 80), 4))
    row = next(row for row, record in enumerate(read.records) if record.image_file.name == "2.png")
    sample = data[row, 0]
    coco = COCO(str(unbroken))
    image = next(image for image in coco.dataset["images"] if image["file_name"] == "2.png")
    masks = np.stack([coco.annToMask(annotation) for annotation in coco.imgToAnns[image["id"]]])
    assert np.array_equal(sample["labels"], masks.reshape(-1, 15, 4, 20, 4).mean((2, 4), dtype=np.float32))
    assert not len(sample["words"])


def a_label(name: str, size: int) -> dict[str, object]:
    mask = {"counts": "0" * size, "area": 1, "bbox": [0, 0, 1, 1], "score": 0.5}
    return {"image": name, "height": 1, "width": 1, "masks": [mask]}


def test_a_full_disk_ends_with_a_clear_error_and_whole_files(tmp_path: Path) -> None:
    """The limit on a file's size refuses a write in its middle, as a full disk does."""
    parts, out = tmp_path / "masks.json.parts", tmp_path / "masks.json"
    open_parts(parts, {"a": 1})
    writer = PartWriter(parts, 0)
    writer.append([a_label("a", 3000), a_label("b", 3000)])
    merge_parts(parts, out, ["a", "b"], {})
    before = writer._path.read_bytes(), out.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        with pytest.raises(DatasetError, match=r"cannot write .*part-00000\.jsonl: .*finished labels are kept"):
            writer.append([a_label("c", 3000)])
        assert writer._path.read_bytes() == before[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        with pytest.raises(DatasetError, match=r"cannot write .*masks\.json: .*the labels are kept in"):
            merge_parts(parts, out, ["a", "b"], {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_bytes() == before[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks.json", "masks.json.parts"]
    writer.append([a_label("c", 3000)])  # there is room again
    writer.close()
    assert finished_images(parts) == {"a", "b", "c"}
    assert merge_parts(parts, out, ["c", "a", "b"], {}) == {"images": 3, "masks": 3, "failed": 0}


def test_damaged_parts_are_named_and_torn_ones_mended(tmp_path: Path) -> None:
    open_parts(tmp_path, {})
    whole = json.dumps(a_label("a", 5)) + "\n"
    (tmp_path / "part-00000.jsonl").write_text(whole + "x" * 200_000)  # more than one look back
    (tmp_path / "part-00001.jsonl").write_text("torn from the start")
    open_parts(tmp_path, {})
    assert [path.read_text() for path in sorted(tmp_path.glob("part*"))] == [whole, ""]
    (tmp_path / "part-00001.jsonl").write_text(whole + '{"picture": "b"}\n')
    with pytest.raises(DatasetError, match=r"part-00001\.jsonl:2 is damaged .*delete this line"):
        finished_images(tmp_path)
    (tmp_path / "part-00001.jsonl").write_text(whole)  # the same image in two parts counts once
    assert merge_parts(tmp_path, tmp_path / "out.json", ["a"], {})["masks"] == 1
    assert len(read_masks(tmp_path / "out.json", BrokenRecords(0))) == 1


def test_mistakes_end_with_one_line(teacher: str, folder: Path, tmp_path: Path) -> None:
    app = Typer()
    app.command()(main)

    def run(*options: str) -> str:
        given = ["--images", str(folder / "images"), "--out", str(tmp_path / "masks.json"), *options]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 2 and "Traceback" not in result.output
        return " ".join(result.output.split())

    assert "error: no model 'nowhere'" in run("--weights", "nowhere")
    assert "backend torch has no int8; use one of auto, fp32" in run("--weights", teacher, "--precision", "int8")
    assert "there is no image" in run("--weights", teacher, "--images", str(tmp_path))
    assert "greater than or equal to 1" in run("--weights", teacher, "--batch", "0")
