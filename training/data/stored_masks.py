"""Nameless masks of many images in little memory: COCO's run-length codes (RLE) in one array, decoded on demand."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle_codec  # type: ignore[import-untyped]

from training.data.broken_records import BrokenRecords, DatasetError
from training.data.json_file import stream_json


@dataclass(frozen=True, eq=False)
class MaskStore:
    """Codes of all masks of one file. Arrays, because loader processes then share them: objects would be copied."""

    codes: np.ndarray  # (bytes,) uint8, one compressed code after the other
    ends: np.ndarray  # (A + 1,) int64: code a is codes[ends[a] : ends[a + 1]]
    order: np.ndarray  # (A,) int64: masks sorted by image


@dataclass(frozen=True, slots=True, eq=False)
class StoredMasks:
    """The masks of one image; they may overlap."""

    store: MaskStore
    first: int  # masks store.order[first:last]
    last: int
    height: int  # pixels
    width: int

    def __len__(self) -> int:
        return self.last - self.first

    def codes(self) -> list[dict[str, Any]]:
        """The masks as pycocotools takes them."""
        store = self.store
        return [
            {
                "size": [self.height, self.width],
                "counts": store.codes[store.ends[row] : store.ends[row + 1]].tobytes(),
            }
            for row in store.order[self.first : self.last]
        ]

    def decode(self) -> tuple[np.ndarray, np.ndarray]:
        """The masks (M, W, H) uint8 of 0 and 1, columns first as COCO stores them, and boxes (M, 4) int.

        A box is x, y, width, height in pixels.

        Raises:
            DatasetError: a code is damaged.
        """
        if not len(self):
            return np.zeros((0, self.width, self.height), np.uint8), np.zeros((0, 4), int)
        codes = self.codes()
        try:
            masks = rle_codec.decode(codes).transpose(2, 1, 0)
        except ValueError as error:
            raise DatasetError(f"a damaged mask: {error}") from error
        # pycocotools leaves memory as it was where a code is too short; the areas then differ.
        if [np.count_nonzero(mask) for mask in masks] != rle_codec.area(codes).tolist():
            raise DatasetError("a damaged mask: its code does not fill the image")
        return masks, rle_codec.toBbox(codes).astype(int)


def read_masks(path: Path, problems: BrokenRecords) -> dict[str, StoredMasks]:
    """Masks by the image's `file_name` from a file in COCO's instances format; crowd regions are left out.

    Raises:
        DatasetError: the file is missing or not JSON, or too many records are broken.
    """
    images = _read_images(path, problems)
    rows = {image_id: row for row, image_id in enumerate(images)}
    codes = bytearray()
    ends, owners = array("q", [0]), array("q")
    annotations = (item for key, item in stream_json(path) if key == "annotations")
    for index, annotation in enumerate(annotations):
        with problems.record(f"{path}: annotations[{index}]"):
            if annotation.get("iscrowd", 0):
                continue
            image_id = annotation["image_id"]
            if image_id not in images:
                raise ValueError(f"image {image_id} is not in images")
            codes += _compressed(annotation["segmentation"], *images[image_id][1:])
            ends.append(len(codes))
            owners.append(rows[image_id])
    order = np.argsort(owners, kind="stable")
    store = MaskStore(np.frombuffer(codes, np.uint8), np.array(ends, np.int64), order)
    limits = np.searchsorted(np.array(owners, np.int64)[order], np.arange(len(images) + 1)).tolist()
    return {
        name: StoredMasks(store, limits[row], limits[row + 1], height, width)
        for row, (name, height, width) in enumerate(images.values())
    }


def _read_images(path: Path, problems: BrokenRecords) -> dict[Any, tuple[str, int, int]]:
    """File name, height and width by image id."""
    images: dict[Any, tuple[str, int, int]] = {}
    index = 0
    for key, item in stream_json(path):
        if key == "images":
            with problems.record(f"{path}: images[{index}]"):
                images[item["id"]] = (item["file_name"], int(item["height"]), int(item["width"]))
            index += 1
        elif index:
            break  # the gigabytes of annotations follow
    return images


def _compressed(segmentation: Any, height: int, width: int) -> bytes:
    """COCO's three forms of a mask (compressed and plain run lengths, polygons) as a compressed code."""
    if isinstance(segmentation, list):
        segmentation = rle_codec.merge(rle_codec.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        segmentation = rle_codec.frPyObjects(segmentation, height, width)
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"the mask is {segmentation['size']}, its image {[height, width]} (height, width)")
    counts = segmentation["counts"]
    code: bytes = counts if isinstance(counts, bytes) else counts.encode("ascii")
    if not code:
        raise ValueError("the mask's code is empty")
    return code
