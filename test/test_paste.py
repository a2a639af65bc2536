"""Things of photos pasted onto rendered tables, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data.pixels import read_ids, read_image
from training.world.coco_writer import write_views
from training.world.stored_views import view_of
from training.world.view import Segment

VIEWS = 12
TABLE_GREY, BALL_BLUE, CUP_RED = (110, 110, 110), (20, 40, 220), (200, 30, 30)


def write_world(folder: Path) -> None:
    """Views of a grey table with a blue ball on it, below a wall."""
    rgb, ids = np.full((240, 320, 3), 230, np.uint8), np.full((240, 320), 1, np.int32)
    rgb[80:], ids[80:] = TABLE_GREY, 2
    ball = cv2.circle(np.zeros((240, 320), np.uint8), (160, 160), 30, 1, -1) > 0
    rgb[ball], ids[ball] = BALL_BLUE, 3
    segments = tuple(
        Segment(number, name, number == 3, name, int((ids == number).sum()), (name,))
        for number, name in enumerate(("wall", "table", "ball"), 1)
    )
    view = view_of(rgb, ids, segments, "table")
    write_views(folder, [(view, [])] * VIEWS, ["ball"], {"arguments": {"ground": "table"}})


def write_photos(folder: Path) -> None:
    """A photo of a red cup, of one at the border, of a tiny one, and of a car."""
    corners = {1: (100, 100, 100, 140), 2: (0, 300, 100, 140), 3: (300, 300, 20, 20), 4: (400, 100, 100, 100)}
    rgb = np.full((480, 640, 3), 255, np.uint8)
    annotations = []
    for number, (x, y, width, height) in corners.items():
        rgb[y : y + height, x : x + width] = CUP_RED
        outline = [x, y, x + width, y, x + width, y + height, x, y + height]
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": 2 if number == 4 else 1,
                "iscrowd": 0,
                "area": width * height,
                "bbox": [x, y, width, height],
                "segmentation": [outline],
            }
        )
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "1.png"), rgb[..., ::-1])
    categories = [
        {"id": 1, "name": "cup", "supercategory": "kitchen"},
        {"id": 2, "name": "car", "supercategory": "vehicle"},
    ]
    images = [{"id": 1, "file_name": "1.png", "height": 480, "width": 640}]
    (folder / "instances.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )


def paste(world: Path, photos: Path, out: Path, seed: int = 0) -> subprocess.CompletedProcess[str]:
    options = {"--data": world, "--photos": photos, "--out": out, "--seed": seed}
    words = [str(word) for option in options.items() for word in option]
    return subprocess.run(
        [sys.executable, "-m", "training.world.paste", *words], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    base = tmp_path_factory.mktemp("paste")
    world, photos, out = base / "world", base / "photos", base / "pasted"
    write_world(world)
    write_photos(photos)
    done = paste(world, photos, out)
    assert done.returncode == 0, done.stderr
    assert f"{VIEWS} views with 1 things of photos" in done.stdout, "what is cut off, tiny or no tableware is left out"
    return world, photos, out


def test_pasted_things_are_in_picture_mask_and_caption(folders: tuple[Path, Path, Path]) -> None:
    world, _, out = folders
    table = json.loads((out / "panoptic.json").read_text())
    captions = {c["image_id"]: c["caption"] for c in json.loads((out / "captions.json").read_text())["annotations"]}
    names = {category["id"]: category["name"] for category in table["categories"]}
    heights = []
    for annotation in table["annotations"]:
        stem = Path(annotation["file_name"]).stem
        rgb, ids = read_image(out / "images" / f"{stem}.jpg").astype(int), read_ids(out / "panoptic" / f"{stem}.png")
        before = read_image(world / "images" / f"{stem}.jpg").astype(int)
        infos = {info["id"]: names[info["category_id"]] for info in annotation["segments_info"]}
        cups = [number for number, name in infos.items() if name == "cup"]
        assert len(cups) <= 4
        for number in cups:
            rows = np.flatnonzero((ids == number).any(1))
            heights.append(np.ptp(rows) + 1)
            red, green, blue = rgb[ids == number].mean(0)
            assert red > 2.5 * green and red > 2.5 * blue
            assert rows.max() >= 80, "it stands on the table"
        assert {number: int((ids == number).sum()) for number in infos} == {
            info["id"]: info["area"] for info in annotation["segments_info"]
        }
        far = cv2.dilate((ids > 3).astype(np.uint8), np.ones((33, 33), np.uint8)) == 0  # JPEG works in blocks
        assert np.abs(rgb - before)[far].mean() < 2
        caption = captions[annotation["image_id"]].lower()
        assert ("cup" in caption) == bool(cups) and ("ball" in caption) == ("ball" in infos.values())
    assert len(heights) > VIEWS and min(heights) < 0.6 * max(heights), "sizes are drawn"


def test_the_seed_alone_decides(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    world, photos, out = folders
    for seed in (0, 1):
        assert paste(world, photos, tmp_path / str(seed), seed).returncode == 0
    same, other = ((tmp_path / str(seed) / "panoptic.json").read_bytes() for seed in (0, 1))
    assert same == (out / "panoptic.json").read_bytes() != other


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "instances.json"),
        ("{}", "is not in COCO's layout: KeyError('categories')"),
        ('{"images": [], "annotations": [], "categories": []}', "has no whole thing of kitchen, food"),
    ],
)
def test_photos_that_cannot_be_used_are_named(
    folders: tuple[Path, Path, Path], tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "instances.json").write_text(content)
    done = paste(folders[0], tmp_path, tmp_path / "out")
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert message in done.stderr
