"""A data set of coloured shapes in the COCO panoptic + captions layout, for tests of readers and trainers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle_codec

from training.data.broken_records import BrokenRecords
from training.data.stored_masks import StoredMasks, read_masks

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (30, 60, 220), "white": (240, 240, 240)}
KINDS = ("ball", "box")


def write_tiny_coco(folder: Path, images: int, seed: int = 0) -> Path:
    """Write `images` pictures of 60 x 80 pixels with two shapes each on a table; returns `folder`."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "panoptic").mkdir()
    records, annotations, captions = [], [], []
    for index in range(images):
        pixels = np.full((60, 80, 3), random.integers(60, 200, 3), np.uint8)
        ids = np.full((60, 80), 1, np.int32)
        segments = [{"id": 1, "category_id": 3, "iscrowd": 0}]
        names = []
        for number, x in enumerate((20, 60)):
            kind = int(random.integers(2))
            colour = str(random.choice(list(COLOURS)))
            shape = np.zeros((60, 80), np.uint8)
            if kind == 0:
                cv2.circle(shape, (x, 30), 12, 1, -1)
            else:
                cv2.rectangle(shape, (x - 12, 20), (x + 12, 40), 1, -1)
            pixels[shape > 0] = COLOURS[colour]
            identity = 2 + number * 300  # the second needs the green channel of the id encoding
            ids[shape > 0] = identity
            phrase = f"{colour} {KINDS[kind]}"
            segments.append({"id": identity, "category_id": kind + 1, "iscrowd": 0, "phrase": phrase})
            names.append(f"a {phrase}")
        cv2.imwrite(str(folder / "images" / f"{index}.png"), pixels[..., ::-1])
        rgb = np.stack([ids % 256, ids // 256, np.zeros_like(ids)], -1).astype(np.uint8)
        cv2.imwrite(str(folder / "panoptic" / f"{index}.png"), rgb[..., ::-1])
        records.append({"id": index, "file_name": f"{index}.png"})
        annotations.append({"image_id": index, "file_name": f"{index}.png", "segments_info": segments})
        captions.append({"id": index, "image_id": index, "caption": " and ".join(names) + " on a table"})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate((*KINDS, "table"))]
    (folder / "panoptic.json").write_text(
        json.dumps({"images": records, "annotations": annotations, "categories": categories})
    )
    (folder / "captions.json").write_text(json.dumps({"images": records, "annotations": captions}))
    return folder


def write_tiny_masks(path: Path, masks: Mapping[str, Sequence[np.ndarray]]) -> dict[str, StoredMasks]:
    """Write masks (H, W) bool by image file name as training.pseudo_label does; returns what is read back."""
    images, annotations = [], []
    for number, (name, drawn) in enumerate(masks.items()):
        images.append({"id": number, "file_name": name, "height": drawn[0].shape[0], "width": drawn[0].shape[1]})
        for mask in drawn:
            code = rle_codec.encode(np.asfortranarray(mask.astype(np.uint8)))
            segmentation = {"size": list(mask.shape), "counts": code["counts"].decode()}
            annotations.append({"id": len(annotations), "image_id": number, "segmentation": segmentation})
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return read_masks(path, BrokenRecords(0))
