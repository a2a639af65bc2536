"""Pascal Context and VOC in their official layouts, and the traps of their labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from evaluation_reading import grid, read_one, titles
from official_layouts import write_context, write_grey, write_voc
from PIL import Image
from scipy.io import savemat
from shared_data import shared_data

from training.data.broken_records import DatasetError
from training.evaluation.class_list import load_class_list
from training.evaluation.data_sets.catalogue import open_data_set


def test_pascal_context_459(tmp_path: Path) -> None:
    folder = write_context(tmp_path / "VOC2010", {"2008_000002": grid([0, 1, 459], [397, 284, 2])})
    annotated = read_one("pascal_context_459", folder)
    assert annotated.label.tolist() == [[-1, 0, 458], [396, 283, 1]]  # 0 is not 65535, which no check below 0 would see
    assert annotated.label.dtype == np.int32


def test_pascal_context_59_finds_its_classes_by_name_not_by_place(tmp_path: Path) -> None:
    folder = write_context(tmp_path / "VOC2010", {"2008_000002": grid([0, 1, 459], [397, 284, 2])})
    annotated = read_one("pascal_context_59", tmp_path)
    assert titles("pascal_context_59", folder, annotated.label) == [["", "", ""], ["table", "person", "aeroplane"]]
    assert annotated.label[1, 2] == 0 and annotated.label[1, 0] == 49


def test_pascal_context_reads_the_validation_split(tmp_path: Path) -> None:
    folder = write_context(tmp_path, {"2008_000002": grid([1])}, train={"2008_000003": grid([1])})
    assert [item.image.stem for item in open_data_set("pascal_context_59", folder).items] == ["2008_000002"]
    # The list of 5104 images that papers use goes first, where a user has it.
    (folder / "ImageSets/SegmentationContext").mkdir()
    (folder / "ImageSets/SegmentationContext/val.txt").write_text("2008_000003\n")
    assert [item.image.stem for item in open_data_set("pascal_context_59", folder).items] == ["2008_000003"]


def test_missing_parts_of_pascal_context_are_named(tmp_path: Path) -> None:
    folder = write_context(tmp_path, {"2008_000002": grid([1])})
    (folder / "ImageSets/Main/val.txt").unlink()
    with pytest.raises(DatasetError, match=r"neither .*SegmentationContext/val\.txt nor ImageSets/Main/val\.txt"):
        open_data_set("pascal_context_59", folder)
    shutil.rmtree(folder / "trainval")
    with pytest.raises(DatasetError, match=r"unpack Pascal Context's trainval\.tar\.gz"):
        open_data_set("pascal_context_459", folder)


def test_damaged_label_maps_are_named(tmp_path: Path) -> None:
    folder = write_context(tmp_path, {"2008_000002": grid([1])})
    data = open_data_set("pascal_context_459", folder)
    savemat(folder / "trainval/2008_000002.mat", {"Labels": grid([1])})
    with pytest.raises(DatasetError, match="has no LabelMap"):
        data.read(0)
    (folder / "trainval/2008_000002.mat").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="not a MATLAB file"):
        data.read(0)
    savemat(folder / "trainval/2008_000002.mat", {"LabelMap": np.array([[460]], np.uint16)})
    with pytest.raises(DatasetError, match=r"label values \[460\]"):
        data.read(0)


# VOC


def test_voc_20_reads_indices_and_ignores_background_and_border(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "VOCdevkit/VOC2012", {"2007_000033": grid([0, 1, 20], [255, 11, 5])})
    annotated = read_one("voc_20", folder)
    assert annotated.label.tolist() == [[-1, 0, 19], [-1, 10, 4]]
    assert read_one("voc_20", tmp_path).label.tolist() == annotated.label.tolist()


def test_voc_21_asks_for_context_classes_and_counts_the_rest_as_background(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"2007_000033": grid([0, 1, 20, 255])})
    data = open_data_set("voc_21", folder)
    assert data.read(0).label.tolist() == [[20, 0, 19, -1]]
    assert len(data.queries) == 59 and len(data.labels) == 21
    assert data.queries.keys[:20] == load_class_list("voc_20").keys  # VOC first: its label is its query
    assert data.label_of_query.tolist() == [*range(20), *[20] * 39]
    # VOC's dining table is Pascal Context's table: not asked for twice, and never background.
    assert "table" not in data.queries.keys and data.queries.keys.count("diningtable") == 1
    assert {"sky", "tree", "grass"} <= set(data.queries.keys[20:])
    assert not any("background" in names for names in data.queries.names)


def test_voc_reads_the_validation_split(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"2007_000033": grid([1])}, train={"2007_000032": grid([1])})
    assert [item.image.stem for item in open_data_set("voc_20", folder).items] == ["2007_000033"]
    (folder / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(DatasetError, match="lists no image"):
        open_data_set("voc_20", folder)


def test_voc_labels_are_not_those_of_the_augmented_archive(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"2007_000033": grid([1, 255])})
    write_grey(folder / "SegmentationClassAug/2007_000033.png", grid([7, 7]))
    assert read_one("voc_20", folder).label.tolist() == [[0, -1]]


def test_labels_in_colours_are_refused_for_voc(tmp_path: Path) -> None:
    # Dummies of the VOC layout with colours instead of a palette: an index cannot be read from them.
    shutil.copytree(shared_data("formats/datumaro/voc_dataset/voc_dataset1"), tmp_path / "VOC2012")
    lists = tmp_path / "VOC2012/ImageSets/Segmentation"
    lists.chmod(0o755)
    shutil.copy(lists / "train.txt", lists / "val.txt")
    data = open_data_set("voc_20", tmp_path)
    assert [item.image.stem for item in data.items] == ["2007_000001"]
    with pytest.raises(DatasetError, match=r"2007_000001\.png is an image of mode RGB"):
        data.read(0)


def test_pixels_are_not_turned_under_their_labels(tmp_path: Path) -> None:
    folder = write_voc(tmp_path, {"2007_000033": grid([1, 2, 3], [4, 5, 6])})
    file = folder / "JPEGImages/2007_000033.jpg"
    upright = read_one("voc_20", folder).image
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(upright).save(file, exif=exif, quality=100, subsampling=0)
    assert np.abs(read_one("voc_20", folder).image.astype(int) - upright).mean() < 5
