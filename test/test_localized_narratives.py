"""Localized Narratives: lines to images with long captions, and masks of a teacher beside them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_coco import write_tiny_masks

from training.data.broken_records import DatasetError
from training.data.localized_narratives import image_file_name
from training.data.sources import DataSource, read_source

IMAGES = (
    "coco/train2017/000000000009.jpg",
    "flickr30k/1000092795.jpg",
    "open_images/train/000002b66c9c498e.jpg",
)


def narrative(dataset: str, image: str, caption: str) -> dict[str, object]:
    """A line as the data set's authors write it."""
    return {
        "dataset_id": dataset,
        "image_id": image,
        "annotator_id": 93,
        "caption": caption,
        "timed_caption": [{"utterance": "In", "start_time": 0.0, "end_time": 0.4}],
        "traces": [[{"x": 0.2, "y": -0.03, "t": 0.0}]],
        "voice_recording": "x.ogg",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in IMAGES:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((60, 80, 3), 90, np.uint8))
    files = {
        "coco_train_captions": [
            narrative("mscoco_train2017", "9", "A plate. On it I can see broccoli."),
            narrative("mscoco_train2017", "9", "Fruit in a blue box."),
            narrative("mscoco_train2017", "9", "Fruit in a blue box."),
        ],
        "flickr30k_train_captions": [narrative("Flick30k_train", "1000092795", "Two men.")],
        "open_images_train_v6_captions": [narrative("open_images_train", "000002b66c9c498e", "A bow.")],
        "ade20k_train_captions": [narrative("ADE20k_train", "ADE_train_00000001", "A wall.")],
        "coco_val_captions": [narrative("mscoco_val2017", "1", "Not for training.")],
    }
    (tmp_path / "narratives").mkdir()
    for name, lines in files.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / "narratives" / f"{name}.jsonl").write_text(text)
    return tmp_path


def source(folder: Path, **fields: object) -> DataSource:
    return DataSource(str(folder), kind="localized_narratives", **fields)  # type: ignore[arg-type]


def test_narratives_of_an_image_are_its_captions(folder: Path) -> None:
    read = read_source(source(folder))
    assert [record.image_file for record in read.records] == [folder / "images" / name for name in IMAGES]
    assert [record.captions for record in read.records] == [
        ("A plate. On it I can see broccoli.", "Fruit in a blue box."),
        ("Two men.",),
        ("A bow.",),
    ]
    assert not read.categories and not read.problems


def test_masks_of_a_teacher_belong_to_images_by_name(folder: Path) -> None:
    half = np.zeros((60, 80), bool)
    half[:, :40] = True
    write_tiny_masks(folder / "masks.json", {IMAGES[0]: [half, ~half], "coco/train2017/000000000010.jpg": [half]})
    records = read_source(source(folder, masks_json="masks.json")).records
    assert [record.masks and len(record.masks) for record in records] == [2, None, None]
    assert records[0].masks is not None
    assert np.array_equal(records[0].masks.decode()[0], [half.T, ~half.T])


@pytest.mark.parametrize(
    ("dataset", "image", "name"),
    [
        ("mscoco_train2017", "574769", "coco/train2017/000000574769.jpg"),
        ("mscoco_val2017", "1", "coco/val2017/000000000001.jpg"),
        ("Flick30k_train", "12", "flickr30k/12.jpg"),
        ("flickr30k_test", "12", "flickr30k/12.jpg"),
        ("open_images_train", "00ab", "open_images/train/00ab.jpg"),
        ("open_images_train_v6", "00ab", "open_images/train/00ab.jpg"),
        ("openimages_validation", "00ab", "open_images/validation/00ab.jpg"),
        ("ADE20k_train", "ADE_train_1", None),
    ],
)
def test_where_an_image_lies(dataset: str, image: str, name: str | None) -> None:
    assert image_file_name(dataset, image) == name


def test_broken_lines_are_named_and_skipped_up_to_a_limit(folder: Path) -> None:
    path = folder / "narratives" / "coco_train_captions.jsonl"
    good = path.read_text().splitlines()[0]
    lines = [
        good,
        good[:100],
        json.dumps({"dataset_id": "mscoco_train2017", "caption": "x"}),
        json.dumps(narrative("imagenet", "1", "x")),
        json.dumps(narrative("mscoco_train2017", "10", "x")),
        json.dumps(narrative("mscoco_train2017", "nine", "x")),
        json.dumps({**narrative("mscoco_train2017", "9", ""), "caption": None}),
        "[]",
        "",
        json.dumps(narrative("mscoco_train2017", "9", "last")),
    ]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n")
    read = read_source(source(folder, skip_limit=9))
    assert read.records[0].captions == ("A plate. On it I can see broccoli.", "last")
    places, reasons = zip(*(problem.removeprefix(f"{path}:").split(": ", 1) for problem in read.problems), strict=True)
    assert places == ("2", "3", "4", "5", "6", "7", "8", "9", "11")
    for reason, expected in zip(
        reasons,
        (
            "Unterminated string",
            "missing 'image_id'",
            "unknown dataset_id 'imagenet'",
            f"there is no file {folder}/images/coco/train2017/000000000010.jpg",
            "invalid literal for int()",
            "the caption is None, not a text",
            "list indices must be integers",
            "Expecting value",
            "'utf-8' codec can't decode byte 0xff",
        ),
        strict=True,
    ):
        assert reason.startswith(expected), reason
    with pytest.raises(DatasetError, match=rf"(?s)^9 broken records, skip_limit allows 8.*{path}:2: Unterminated"):
        read_source(source(folder, skip_limit=8))


def test_missing_files_and_empty_sets_are_explained(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"no file narratives/\*_train\.json in "):
        read_source(source(folder, narratives=("narratives/*_train.json",)))
    with pytest.raises(DatasetError, match="has no narrative that trains: narratives/ade"):
        read_source(source(folder, narratives=("narratives/ade20k_train_captions.jsonl",)))
