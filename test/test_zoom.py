"""Close views cut out of rendered images, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data.pixels import read_ids
from training.world.room import STUFF_NAMES
from training.world.zoom import draw_window

pytestmark = pytest.mark.rendering
SIZE = (96, 128)


def run(module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small rendered data set and its close views."""
    base = tmp_path_factory.mktemp("zoom")
    world, zoomed = base / "world", base / "zoomed"
    run("training.world.render", "--out", str(world), "--scenes", "3", "--views", "2", "--seed", "7")
    run("training.world.zoom", "--data", str(world), "--out", str(zoomed), "--per-image", "3", "--seed", "1")
    return world, zoomed


def test_views_name_what_they_show_and_nothing_else(folders: tuple[Path, Path]) -> None:
    _, zoomed = folders
    table = json.loads((zoomed / "panoptic.json").read_text())
    names = {category["id"]: category["name"] for category in table["categories"]}
    captions = json.loads((zoomed / "captions.json").read_text())["annotations"]
    said = {caption["image_id"]: caption["caption"].lower() for caption in captions}
    assert 6 < len(table["annotations"]) <= 6 * 3 and len(captions) == len(said) == len(table["annotations"])
    for annotation in table["annotations"]:
        ids = read_ids(zoomed / "panoptic" / annotation["file_name"])
        assert ids.shape == SIZE
        infos = {info["id"]: info for info in annotation["segments_info"]}
        assert set(np.unique(ids)) - {0} == set(infos)
        assert all((ids == number).sum() == info["area"] for number, info in infos.items())
        things = [info for info in infos.values() if names[info["category_id"]] not in STUFF_NAMES]
        assert things  # the one that the window was drawn round
        caption = said[annotation["image_id"]]
        assert all(any(noun in caption for noun in spoken(info)) for info in things)
        absent = {names[i] for i in names} - {names[info["category_id"]] for info in infos.values()}
        nouns = {noun for info in things for noun in info["nouns"]}
        assert not any(f"a {name} " in f"{caption} " for name in absent - nouns - set(STUFF_NAMES))


def spoken(info: dict[str, object]) -> list[str]:
    """Forms in which a thing's nouns may stand in a caption: "two red mugs" drops the end of "berry"."""
    nouns = info["nouns"]
    assert isinstance(nouns, list)
    return [noun[:-2] if len(noun) > 3 else noun for noun in nouns]


def test_pixels_are_those_of_the_image(folders: tuple[Path, Path]) -> None:
    """A thing's mean colour in the close view is its colour in the image: picture and id map were cut alike."""
    world, zoomed = folders
    sources = {}
    for annotation in json.loads((world / "panoptic.json").read_text())["annotations"]:
        stem = annotation["file_name"][:-4]
        picture, ids = cv2.imread(str(world / "images" / f"{stem}.jpg")), read_ids(world / "panoptic" / f"{stem}.png")
        for info in annotation["segments_info"]:
            sources.setdefault(info["phrase"], []).append(picture[ids == info["id"]].mean(0))
    checked = 0
    for annotation in json.loads((zoomed / "panoptic.json").read_text())["annotations"]:
        stem = annotation["file_name"][:-4]
        picture, ids = cv2.imread(str(zoomed / "images" / f"{stem}.jpg")), read_ids(zoomed / "panoptic" / f"{stem}.png")
        for info in annotation["segments_info"]:
            if info["area"] > 600:
                colour = picture[ids == info["id"]].mean(0)
                assert min(np.abs(colour - other).max() for other in sources[info["phrase"]]) < 35, info["phrase"]
                checked += 1
    assert checked > 5


def test_windows_hold_their_thing_and_stay_in_the_image() -> None:
    random = np.random.default_rng(0)
    for _ in range(500):
        width, height = random.integers(5, 320), random.integers(5, 240)
        box = np.array([random.integers(0, 321 - width), random.integers(0, 241 - height), width, height])
        top, left, rows, columns = draw_window(box, (240, 320), SIZE, random)
        assert 0 <= top <= 240 - rows and 0 <= left <= 320 - columns
        assert top <= box[1] and box[1] + height <= top + rows
        assert left <= box[0] and box[0] + width <= left + columns
        assert rows / columns == pytest.approx(SIZE[0] / SIZE[1], abs=0.02)
