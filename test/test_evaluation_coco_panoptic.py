"""COCO panoptic in its official layout, and the traps of its labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluation_reading import grid, read_one, titles
from official_layouts import write_coco
from PIL import Image
from shared_data import shared_data

from training.data.broken_records import DatasetError
from training.evaluation.class_list import load_class_list
from training.evaluation.data_sets.catalogue import open_data_set


def categories() -> list[dict[str, object]]:
    coco = load_class_list("coco_panoptic")
    return [{"id": id_, "name": key} for id_, key in zip(coco.ids, coco.keys, strict=True)]


def test_coco_ids_become_rows_and_crowds_are_labels_but_no_proposals(tmp_path: Path) -> None:
    ids = grid([0, 70_000, 70_000], [258, 258, 3])  # all three channels of the id are needed
    segments = [
        {"id": 70_000, "category_id": 200, "iscrowd": 0},
        {"id": 258, "category_id": 1, "iscrowd": 1},
        {"id": 3, "category_id": 13, "iscrowd": 0},
    ]
    folder = write_coco(tmp_path, ids, segments, categories())
    annotated = read_one("coco_panoptic", folder)
    assert titles("coco_panoptic", folder, annotated.label) == [["", "rug", "rug"], ["person", "person", "stop sign"]]
    assert annotated.crowd.tolist() == [False, True, False]
    assert annotated.masks[2].tolist() == [[False, False, False], [False, False, True]]


def test_ids_of_another_list_are_refused(tmp_path: Path) -> None:
    changed = categories()
    changed[12]["name"], changed[13]["name"] = changed[13]["name"], changed[12]["name"]
    folder = write_coco(tmp_path, grid([1]), [{"id": 1, "category_id": 1}], changed)
    with pytest.raises(DatasetError, match=r"other categories than COCO panoptic's 133.*bench"):
        open_data_set("coco_panoptic", folder)


def test_an_id_that_the_json_does_not_list_is_refused(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, grid([1, 9]), [{"id": 1, "category_id": 1}], categories())
    with pytest.raises(DatasetError, match=r"ids \[9\]"):
        open_data_set("coco_panoptic", folder).read(0)


def test_coco_is_measured_on_val2017(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, grid([1]), [{"id": 1, "category_id": 1}], categories())
    (folder / "annotations/panoptic_val2017.json").rename(folder / "annotations/panoptic_train2017.json")
    with pytest.raises(DatasetError, match=r"panoptic_val2017\.json does not exist"):
        open_data_set("coco_panoptic", folder)


def test_the_inner_archive_of_coco_is_asked_for(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, grid([1]), [{"id": 1, "category_id": 1}], categories())
    shutil.rmtree(folder / "annotations/panoptic_val2017")
    with pytest.raises(DatasetError, match=r"unpack annotations/panoptic_val2017\.zip"):
        open_data_set("coco_panoptic", folder)


def coco_samples(root: Path, count: int) -> Path:
    """Real annotations of COCO train2017 under the names of val2017."""
    source = shared_data("coco_train")
    content = json.loads((source / "panoptic_train2017.json").read_text())
    content["annotations"] = content["annotations"][:count]
    (root / "annotations").mkdir(parents=True)
    (root / "annotations/panoptic_val2017.json").write_text(json.dumps(content))
    (root / "annotations/panoptic_val2017").symlink_to(source / "panoptic")
    (root / "val2017").symlink_to(source / "images")
    return root


def test_coco_samples(tmp_path: Path) -> None:
    data = open_data_set("coco_panoptic", coco_samples(tmp_path, 5))
    content = json.loads((tmp_path / "annotations/panoptic_val2017.json").read_text())
    for index, entry in enumerate(content["annotations"]):
        annotated = data.read(index)
        areas = {segment["id"]: segment["area"] for segment in entry["segments_info"]}
        assert annotated.masks.sum((1, 2)).tolist() == list(areas.values())
        assert (annotated.label >= 0).sum() == sum(areas.values())


def test_coco_ids_agree_with_panopticapi(tmp_path: Path) -> None:
    utils = pytest.importorskip("panopticapi.utils")
    data = open_data_set("coco_panoptic", coco_samples(tmp_path, 3))
    content = json.loads((tmp_path / "annotations/panoptic_val2017.json").read_text())
    row = {category: index for index, category in enumerate(data.queries.ids)}
    for index, entry in enumerate(content["annotations"]):
        ids = utils.rgb2id(np.array(Image.open(data.items[index].annotations[0]).convert("RGB")))
        expected = np.full(ids.shape, -1)
        for segment in entry["segments_info"]:
            expected[ids == segment["id"]] = row[segment["category_id"]]
        assert np.array_equal(data.read(index).label, expected)
