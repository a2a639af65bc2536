"""ADE20K in its official layouts, and the ways in which its labels go wrong unnoticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluation_reading import grid, read_one, titles
from official_layouts import write_ade20k_150, write_ade20k_847, write_photo
from PIL import Image
from shared_data import shared_data

from training.data.broken_records import DatasetError
from training.evaluation.data_sets.catalogue import open_data_set


def test_ade20k_150_moves_labels_down_and_zero_to_no_label(tmp_path: Path) -> None:
    # In the file's uint8, 0 - 1 would be 255: a class of its own for whoever forgets to ignore it.
    folder = write_ade20k_150(tmp_path / "ADEChallengeData2016", {"ADE_val_00000001": grid([0, 1, 150], [2, 3, 0])})
    annotated = read_one("ade20k_150", folder)
    assert annotated.label.tolist() == [[-1, 0, 149], [1, 2, -1]]
    assert annotated.label.dtype == np.int32
    assert titles("ade20k_150", folder, annotated.label) == [["", "wall", "flag"], ["building", "sky", ""]]
    assert annotated.masks.sum((1, 2)).tolist() == [1, 1, 1, 1] and not annotated.crowd.any()
    assert read_one("ade20k_150", tmp_path).label.shape == (2, 3)  # the folder above is fine too


@pytest.mark.parametrize("value", [151, 255])
def test_labels_that_a_script_has_rewritten_are_refused(tmp_path: Path, value: int) -> None:
    folder = write_ade20k_150(tmp_path, {"ADE_val_00000001": grid([1, value])})
    with pytest.raises(DatasetError, match=rf"label values \[{value}\].*preparation script"):
        open_data_set("ade20k_150", folder).read(0)


def test_only_the_validation_split_is_read_and_by_name(tmp_path: Path) -> None:
    folder = write_ade20k_150(tmp_path, {"ADE_val_00000001": grid([1])})
    write_ade20k_150(tmp_path, {"ADE_train_00000001": grid([1])}, split="training")
    assert [item.image.stem for item in open_data_set("ade20k_150", folder).items] == ["ADE_val_00000001"]
    write_ade20k_150(tmp_path, {"ADE_train_00000002": grid([1])})
    with pytest.raises(DatasetError, match="not of the validation split, such as ADE_train_00000002"):
        open_data_set("ade20k_150", folder)


def test_image_and_label_must_fit(tmp_path: Path) -> None:
    folder = write_ade20k_150(tmp_path, {"ADE_val_00000001": grid([1, 2], [3, 4])})
    write_photo(folder / "images/validation/ADE_val_00000001.jpg", 2, 3)
    with pytest.raises(DatasetError, match=r"3x2 pixels, .*2x2"):
        open_data_set("ade20k_150", folder).read(0)
    (folder / "images/validation/ADE_val_00000001.jpg").unlink()
    with pytest.raises(DatasetError, match=r"cannot read .*ADE_val_00000001\.jpg"):
        open_data_set("ade20k_150", folder).read(0)


def test_coloured_labels_are_refused(tmp_path: Path) -> None:
    folder = write_ade20k_150(tmp_path, {"ADE_val_00000001": grid([1, 2])})
    Image.new("RGB", (2, 1)).save(folder / "annotations/validation/ADE_val_00000001.png")
    with pytest.raises(DatasetError, match="mode RGB"):
        open_data_set("ade20k_150", folder).read(0)


def test_ade20k_150_samples(tmp_path: Path) -> None:
    samples = shared_data("formats/sceneparsing/sampleData")
    for kind in ("images", "annotations"):
        shutil.copytree(samples / kind, tmp_path / kind / "validation")
    data = open_data_set("ade20k_150", tmp_path)
    assert [item.image.stem for item in data.items] == [f"ADE_val_0000000{number}" for number in (1, 2, 3)]
    for index, item in enumerate(data.items):
        raw = cv2.imread(str(item.annotations[0]), cv2.IMREAD_UNCHANGED)
        annotated = data.read(index)
        for value in np.unique(raw):
            assert (annotated.label == int(value) - 1).sum() == (raw == value).sum()
    assert {data.labels[row] for row in np.unique(data.read(2).label) if row >= 0} >= {"wall", "sky", "tree"}


# The full release, 847 classes

WALL, ALARM, TREE = 2978, 3113, 2855  # numbers of the release's object list


def test_ade20k_847_joins_two_channels(tmp_path: Path) -> None:
    # 3113 // 256 = 12: in the file's uint8, 12 * 256 is 0 and the alarm would be object 41.
    values = grid([0, WALL, ALARM], [TREE, 5, 9999])  # 5 is a number outside of the 847, 9999 not even an object
    folder = write_ade20k_847(tmp_path, "ADE_val_00000001", values, {"wall": WALL, "tree": TREE})
    annotated = read_one("ade20k_847", folder)
    found = titles("ade20k_847", folder, annotated.label)
    assert found == [["", "wall", "alarm"], ["tree", "", ""]]


def test_another_release_of_ade20k_is_refused(tmp_path: Path) -> None:
    folder = write_ade20k_847(tmp_path, "ADE_val_00000001", grid([WALL]), {"wall": 2977})
    with pytest.raises(DatasetError, match="'wall' the number 2977, release ADE20K_2021_17_01 gives it 2978"):
        open_data_set("ade20k_847", folder).read(0)


def test_large_images_of_the_full_ade20k_are_reduced(tmp_path: Path) -> None:
    values = np.full((600, 700), WALL)
    values[:, 350:] = TREE
    annotated = read_one("ade20k_847", write_ade20k_847(tmp_path, "ADE_val_00000001", values, {}))
    assert annotated.label.shape == annotated.image.shape[:2] == (512, 597)
    assert set(np.unique(annotated.label)) == {0, 3}  # nearest: no label between two labels
    assert (annotated.label == 3).mean() == pytest.approx(0.5, abs=0.01)


def test_ade20k_847_splits_by_name(tmp_path: Path) -> None:
    folder = write_ade20k_847(tmp_path, "ADE_val_00000001", grid([WALL]), {})
    write_ade20k_847(tmp_path, "ADE_train_00000001", grid([WALL]), {}, split="training")
    assert [item.image.name for item in open_data_set("ade20k_847", folder).items] == ["ADE_val_00000001.jpg"]
    write_ade20k_847(tmp_path, "ADE_train_00000001", grid([WALL]), {})
    with pytest.raises(DatasetError, match="not of the validation split"):
        open_data_set("ade20k_847", folder)


def test_ade20k_847_sample(tmp_path: Path) -> None:
    # The samples are of the training split: one is read under a validation name.
    source = shared_data("formats/ade20k_full/ADE20K_2021_17_01/images/ADE/training/urban/street")
    target = tmp_path / "images/ADE/validation/urban/street"
    target.mkdir(parents=True)
    for suffix in (".jpg", "_seg.png", ".json"):
        shutil.copy(source / f"ADE_train_00016869{suffix}", target / f"ADE_val_00016869{suffix}")
    data = open_data_set("ade20k_847", tmp_path)
    annotated = data.read(0)
    assert annotated.image.shape == (512, 683, 3)
    entries = json.loads((target / "ADE_val_00016869.json").read_text())["annotation"]["object"]
    whole = {entry["name"] for entry in entries if entry["parts"]["part_level"] == 0}
    keys = [data.queries.keys[row] for row in np.unique(annotated.label) if row >= 0]
    assert set(keys) == whole and len(keys) == 13
