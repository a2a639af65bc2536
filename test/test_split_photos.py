"""Photos divided into a training and a validation set, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_coco import write_tiny_coco, write_tiny_masks

from training.data.sources import DataSource, read_source


def divide(coco: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training.split_photos", "--coco", str(coco), "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Six photos with masks; captions for all, id maps for the first four."""
    folder = write_tiny_coco(tmp_path / "coco", 6)
    for name in ("panoptic", "captions"):
        (folder / f"{name}.json").rename(folder / f"{name}_train2017.json")
    drawn = json.loads((folder / "panoptic_train2017.json").read_text())
    drawn["images"], drawn["annotations"] = drawn["images"][:4], drawn["annotations"][:4]
    (folder / "panoptic_train2017.json").write_text(json.dumps(drawn))
    masks = {f"{index}.png": [np.ones((60, 80), bool)] for index in range(6)}
    write_tiny_masks(folder / "instances_train2017.json", masks)
    return folder


def test_each_photo_is_in_one_of_two_readable_sets(coco: Path, tmp_path: Path) -> None:
    done = divide(coco, tmp_path, "--validation", "2")
    assert done.returncode == 0, done.stderr
    train, validation = (
        read_source(DataSource(str(tmp_path / name), masks_json="instances.json"))
        for name in ("photos_train", "photos_val")
    )
    names = [{record.image_file.name for record in part.records} for part in (train, validation)]
    assert names[0] | names[1] == {f"{index}.png" for index in range(6)} and not names[0] & names[1]
    assert len(validation.records) == 2 and all(record.panoptic_file for record in validation.records)
    assert sum(record.masks is not None for record in train.records) == 2  # those without an id map keep their masks
    assert all(record.captions for record in train.records)
    # A folder has the pictures of its own part alone: pseudo labels and wall pictures are made of all that is there.
    for part, name in zip(names, ("photos_train", "photos_val"), strict=True):
        assert {path.name for path in (tmp_path / name / "images").iterdir()} == part
        assert len(list((tmp_path / name / "panoptic").iterdir())) == 2


def test_too_many_validation_photos_are_refused(coco: Path, tmp_path: Path) -> None:
    done = divide(coco, tmp_path, "--validation", "5")
    assert done.returncode == 2
    assert "5 photos are to validate, but only 4 have an id map" in done.stderr
    assert not (tmp_path / "photos_train").exists()
