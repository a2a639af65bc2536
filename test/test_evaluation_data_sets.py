"""What all data sets share: names, files, scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_reading import grid
from official_layouts import write_ade20k_150, write_grey
from PIL import Image
from tiny_coco import write_tiny_coco

from training.data.broken_records import DatasetError
from training.evaluation.data_set import AnnotatedImage, label_of_segments
from training.evaluation.data_sets.catalogue import DATA_SETS, open_data_set
from training.evaluation.label_files import read_values
from training.evaluation.letterboxed import at_letterbox_scale


def test_the_tabletop_world_brings_its_own_classes(tmp_path: Path) -> None:
    folder = write_tiny_coco(tmp_path / "tiny", 2)
    (folder / "captions.json").unlink()  # words are not measured
    data = open_data_set("tabletop", folder)
    assert data.labels == ("ball", "box", "table") and len(data.items) == 2
    annotated = data.read(0)
    assert len(annotated.phrases) == len(annotated.masks) == 3
    assert data.labels[annotated.label[30, 60]] == annotated.phrases[2].split()[1]
    assert not (annotated.label < 0).any()
    with pytest.raises(DatasetError, match="only plain names"):
        open_data_set("tabletop", folder, "engineered")


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_missing_data_set_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=str(tmp_path)):
        open_data_set(name, tmp_path)


def test_an_unknown_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="unknown data set 'ade'"):
        open_data_set("ade", tmp_path)


def test_engineered_names_change_queries_but_no_label(tmp_path: Path) -> None:
    folder = write_ade20k_150(tmp_path, {"ADE_val_00000001": grid([1, 2])})
    plain, engineered = open_data_set("ade20k_150", folder), open_data_set("ade20k_150", folder, "engineered")
    assert plain.labels == engineered.labels
    assert plain.queries.names != engineered.queries.names
    assert plain.read(0).label.tolist() == engineered.read(0).label.tolist()


def test_segments_by_id_in_any_order() -> None:
    ids = grid([5, 900, 0], [2, 5, 1000])
    assert label_of_segments(ids, np.array([900, 2, 5]), np.array([7, 8, 9])).tolist() == [[9, 7, -1], [8, 9, -1]]
    assert label_of_segments(ids, np.zeros(0, np.int32), np.zeros(0, np.int32)).tolist() == [[-1] * 3] * 2


def test_letterbox_scale_takes_the_nearest_label_and_makes_no_padding() -> None:
    label = np.repeat(np.repeat(grid([1, 7], [-1, 3]), 40, 0), 80, 1)  # 80 x 160 pixels
    image = np.zeros((80, 160, 3), np.uint8)
    image[:, 80:] = 200
    annotated = AnnotatedImage(image, label, label[None] == 7, np.zeros(1, bool))
    scaled = at_letterbox_scale(annotated)
    assert scaled.image.shape == (320, 640, 3)  # 2:1, and no rows of padding below
    assert scaled.label.shape == (320, 640) and scaled.masks.shape == (1, 320, 640)
    assert np.array_equal(scaled.label, np.repeat(np.repeat(label, 4, 0), 4, 1))
    assert np.array_equal(scaled.masks[0], scaled.label == 7)
    smaller = at_letterbox_scale(scaled, side=160)
    assert np.array_equal(smaller.label, label)
    assert set(np.unique(at_letterbox_scale(annotated, side=50).label)) == {-1, 1, 3, 7}


def test_grey_labels_of_sixteen_bits_keep_their_values(tmp_path: Path) -> None:
    Image.fromarray(np.array([[300, 65535]], np.uint16)).save(tmp_path / "wide.png")
    assert read_values(tmp_path / "wide.png").tolist() == [[300, 65535]]
    write_grey(tmp_path / "narrow.png", grid([0, 255]))
    assert read_values(tmp_path / "narrow.png").tolist() == [[0, 255]]
