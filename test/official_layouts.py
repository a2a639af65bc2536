"""Tiny data sets in the exact folder layouts of the official downloads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.io import savemat


def write_photo(path: Path, height: int, width: int, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    cv2.imwrite(str(path), pixels)


def write_grey(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def write_palette(path: Path, values: np.ndarray) -> None:
    """As VOC stores labels: indices with a palette of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8)).convert("P")
    image.putpalette([(7 * index + channel * 31) % 256 for index in range(256) for channel in range(3)])
    image.save(path)


def write_ade20k_150(root: Path, labels: dict[str, np.ndarray], split: str = "validation") -> Path:
    for stem, values in labels.items():
        write_photo(root / "images" / split / f"{stem}.jpg", *values.shape)
        write_grey(root / "annotations" / split / f"{stem}.png", values)
    return root


def write_ade20k_847(
    root: Path, stem: str, values: np.ndarray, names: dict[str, int], split: str = "validation"
) -> Path:
    """`values`: numbers of the release's object list."""
    folder = root / "images/ADE" / split / "urban/street"
    write_photo(folder / f"{stem}.jpg", *values.shape)
    red, green = values // 256 * 10, values % 256
    colours = np.stack([red, green, np.full_like(red, 77)], -1).astype(np.uint8)  # B numbers the instances
    cv2.imwrite(str(folder / f"{stem}_seg.png"), colours[..., ::-1])
    objects = [{"name": name, "name_ndx": number} for name, number in names.items()]
    (folder / f"{stem}.json").write_text(json.dumps({"annotation": {"object": objects}}))
    return root


def write_voc(root: Path, labels: dict[str, np.ndarray], train: dict[str, np.ndarray] | None = None) -> Path:
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for name, split in (("val", labels), ("train", train or {})):
        (lists / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in split))
        for stem, values in split.items():
            write_photo(root / "JPEGImages" / f"{stem}.jpg", *values.shape)
            write_palette(root / "SegmentationClass" / f"{stem}.png", values)
    return root


def write_context(root: Path, labels: dict[str, np.ndarray], train: dict[str, np.ndarray] | None = None) -> Path:
    lists = root / "ImageSets/Main"
    lists.mkdir(parents=True)
    (root / "trainval").mkdir()
    for name, split in (("val", labels), ("train", train or {})):
        (lists / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in split))
        for stem, values in split.items():
            write_photo(root / "JPEGImages" / f"{stem}.jpg", *values.shape)
            savemat(root / "trainval" / f"{stem}.mat", {"LabelMap": values.astype(np.uint16)})
    return root


def write_coco(
    root: Path, ids: np.ndarray, segments: list[dict[str, int]], categories: list[dict[str, object]]
) -> Path:
    """One image of val2017."""
    write_photo(root / "val2017/000000000007.jpg", *ids.shape)
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    (root / "annotations/panoptic_val2017").mkdir(parents=True)
    cv2.imwrite(str(root / "annotations/panoptic_val2017/000000000007.png"), rgb[..., ::-1])
    content = {
        "images": [{"id": 7, "file_name": "000000000007.jpg"}],
        "annotations": [{"image_id": 7, "file_name": "000000000007.png", "segments_info": segments}],
        "categories": categories,
    }
    (root / "annotations/panoptic_val2017.json").write_text(json.dumps(content))
    return root
