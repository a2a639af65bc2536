"""Identities of regions over drawn and rendered sequences; a switch is an object that goes on under another name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openseg_ros.runtime.engine import EngineOutput
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.segmenter.proposals import Proposals, select_proposals
from openseg_ros.segmenter.settings import SegmenterSettings
from openseg_ros.segmenter.tracker import Tracker
from training.world.scene import Scene, Sources
from training.world.sequence import Motion, film

pytestmark = pytest.mark.rendering

GRID = (60, 80)
LETTERBOX = Letterbox((240, 320), (240, 320), 4)
CUP, BOWL, FORK, TABLE = np.eye(8, dtype=np.float32)[:4]
Thing = tuple[np.ndarray, np.ndarray]  # (h, w) bool mask, (D,) unit embedding


def proposals(things: Sequence[Thing], letterbox: Letterbox = LETTERBOX) -> Proposals:
    """What the segmenter makes of a network's answer with these masks; falling certainty keeps their order."""
    logits = [np.where(mask, 6.0 - 0.01 * row, -6.0) for row, (mask, _) in enumerate(things)]
    return select_proposals(
        EngineOutput(
            np.array(logits, np.float32).reshape(1, len(things), *letterbox.grid_size),
            np.array([embedding for _, embedding in things] or np.zeros((0, 8)), np.float32)[None],
        ),
        letterbox,
        SegmenterSettings(),
    )


def box(top: float, left: float, height: int = 10, width: int = 10) -> np.ndarray:
    mask = np.zeros(GRID, bool)
    top, left = round(top), round(left)
    mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = True
    return mask


class Watch:
    """A tracker that is shown one frame after the other."""

    def __init__(self, numbers: count | None = None, rate: float = 10.0, memory_s: float = 1.0) -> None:
        self.tracker = Tracker(numbers)
        self.step_ns = round(1e9 / rate)
        self.stamp_ns = 5_000_000_000
        self.memory_s = memory_s

    def see(self, *things: Thing, space: str = "space", letterbox: Letterbox = LETTERBOX) -> tuple[str, ...]:
        self.stamp_ns += self.step_ns
        return self.tracker.identify(
            proposals(things, letterbox),
            stamp_ns=self.stamp_ns,
            embedding_space=space,
            memory_s=self.memory_s,
        ).track_ids


def test_things_that_move_keep_their_names_in_any_order() -> None:
    watch = Watch()
    first = watch.see((box(5, 5), CUP), (box(40, 60), BOWL))
    assert len(set(first)) == 2 and all(first)
    for step in range(1, 12):
        things = [(box(5 + step, 5 + 4 * step), CUP), (box(40 - step, 60 - 3 * step), BOWL)]
        order = [0, 1] if step % 2 else [1, 0]
        assert watch.see(*(things[row] for row in order)) == tuple(first[row] for row in order)


def test_two_alike_pass_each_other_and_keep_their_names() -> None:
    """Their look says nothing here; their velocity does."""
    watch = Watch()
    names = watch.see((box(10, 5), CUP), (box(22, 60), CUP))
    for step in range(1, 14):
        assert watch.see((box(10, 5 + 4 * step), CUP), (box(22, 60 - 4 * step), CUP)) == names


@pytest.mark.parametrize("speed", [0.0, 1.5, 2.5])
def test_a_thing_that_passes_behind_another_keeps_its_name(speed: float) -> None:
    watch = Watch(memory_s=2.0)
    front = box(0, 30, 60, 16)
    hidden, names = 0, []
    for step in range(30):
        left = 4 + speed * step if speed else 32
        occluded = front if speed or 8 < step < 20 else box(50, 0, 8, 8)
        visible = box(20, left) & ~occluded
        things = [(occluded, TABLE)] + ([(visible, CUP)] if visible.sum() > 4 else [])
        ids = watch.see(*things)
        hidden += len(things) == 1
        names += ids[1:]
    assert hidden >= 3, "without an occlusion this shows nothing"
    assert len(set(names)) == 1 and len(names) > 10


def test_what_is_away_for_longer_than_the_memory_is_new() -> None:
    watch = Watch(memory_s=0.5)
    (name,) = watch.see((box(20, 20), CUP))
    for _ in range(4):
        assert watch.see() == ()
    assert watch.see((box(20, 20), CUP)) == (name,)
    for _ in range(5):
        watch.see()
    assert watch.see((box(20, 20), CUP)) != (name,)


def test_another_thing_in_the_same_place_is_new() -> None:
    watch = Watch()
    (cup,) = watch.see((box(20, 20), CUP))
    (bowl,) = watch.see((box(20, 20), BOWL))
    assert bowl != cup
    assert watch.see((box(20, 20), CUP)) == (cup,), "the cup is back within the memory"


def test_a_part_of_a_thing_is_another_region() -> None:
    watch = Watch()
    names = watch.see((box(20, 20, 20, 20), CUP), (box(24, 36, 6, 8), CUP))
    assert len(set(names)) == 2
    assert watch.see((box(21, 21, 20, 20), CUP), (box(25, 37, 6, 8), CUP)) == names


@pytest.mark.parametrize("wide_by", [14, 22])  # with overlaps of 0.71 and 0.45
def test_two_proposals_of_one_object_share_its_name_whichever_comes_first(wide_by: int) -> None:
    watch = Watch()
    narrow, wide = (box(20, 20, 10, 10), CUP), (box(20, 20, 10, wide_by), CUP)
    one, two = watch.see(narrow, wide)
    assert one == two
    assert watch.see(wide, narrow) == (one, one)
    assert watch.see(wide) == (one,)


@pytest.mark.parametrize(
    "change",
    [
        lambda watch, thing: (setattr(watch, "stamp_ns", 1_000_000_000), watch.see(thing))[1],
        lambda watch, thing: watch.see(thing, space="other"),
        lambda watch, thing: watch.see(thing, letterbox=Letterbox((480, 640), (240, 320), 4)),
    ],
    ids=["clock_back", "other_space", "other_size"],
)
def test_everything_is_forgotten_when_nothing_compares(change: Callable[[Watch, Thing], tuple[str, ...]]) -> None:
    watch = Watch()
    thing = (box(20, 20), CUP)
    (before,) = watch.see(thing)
    (after,) = change(watch, thing)
    assert after != before
    assert change(watch, thing)[0] not in (before,), "a name is never given twice"


def test_the_same_stamp_again_changes_no_name() -> None:
    watch = Watch()
    (name,) = watch.see((box(20, 20), CUP))
    watch.step_ns = 0
    for _ in range(5):
        assert watch.see((box(20, 21), CUP)) == (name,)


def test_trackers_that_share_numbers_never_share_names() -> None:
    numbers = count(1)
    one, two = Watch(numbers), Watch(numbers)
    seen = [*one.see((box(5, 5), CUP)), *two.see((box(5, 5), CUP)), *one.see((box(5, 5), CUP), (box(40, 40), BOWL))]
    assert seen == ["1", "2", "1", "3"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_names_are_deterministic_and_unique_among_things(seed: int, frames: int) -> None:
    def run() -> list[tuple[str, ...]]:
        random, watch = np.random.default_rng(seed), Watch()
        answers = []
        for _ in range(frames):
            # One column each, so no two are one object.
            things = [
                (box(random.integers(0, 50), 10 * column, 10, 8), np.eye(8, dtype=np.float32)[random.integers(0, 3)])
                for column in random.choice(8, random.integers(0, 8), replace=False)
            ]
            answers.append(watch.see(*things))
        return answers

    first = run()
    assert all(len(set(names)) == len(names) for names in first)
    assert run() == first


def test_many_flickering_regions_stay_cheap_to_remember() -> None:
    random, watch = np.random.default_rng(0), Watch(memory_s=60.0)
    for _ in range(40):
        things = [(box(10 * (n // 8), 10 * (n % 8), 8, 8), _unit(random.normal(size=64))) for n in range(40)]
        watch.see(*things)
    tracks = watch.tracker._tracks
    assert tracks is not None and len(tracks.ids) <= 40 + 128


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_rendered_things_keep_their_names(seed: int) -> None:
    """A camera on an arc, one thing that slides, true masks with a ragged edge, missed and doubled ones, and noisy
    embeddings, two of three things alike. At most one switch in a hundred sightings.
    """
    random = np.random.default_rng(seed)
    scene = Scene(seed, 0, Sources(), height=240, width=320)
    looks = {name: _unit(random.normal(size=64)) for name in range(3)}
    watch = Watch(rate=10.0, memory_s=2.0)
    last: dict[int, str] = {}
    sightings = switches = 0
    motion = Motion(arc=1.2, seconds=3.0)
    for frame in film(scene, height=240, width=320, frames=30, rate=10.0, motion=motion, moving_object=0):
        seen: dict[int, Thing] = {}
        doubles: list[Thing] = []
        for segment in frame.view.segments:
            share = cv2.resize(
                (frame.view.instances == segment.id).astype(np.float32), GRID[::-1], interpolation=cv2.INTER_AREA
            )
            mask = share + random.normal(0, 0.15, GRID) * (share > 0) > 0.5
            if not segment.is_thing or mask.sum() < 8 or random.random() < 0.1:
                continue
            look = _unit(looks[segment.id % 3] + random.normal(0, 0.04, 64))
            seen[segment.id] = (mask, look)
            if random.random() < 0.3:
                doubles.append((mask & (np.arange(GRID[1]) > np.argwhere(mask)[:, 1].min() + 1), look))
        kept = proposals([*seen.values(), *doubles])
        watch.stamp_ns += watch.step_ns
        identified = watch.tracker.identify(kept, stamp_ns=watch.stamp_ns, embedding_space="space", memory_s=2.0)
        masks = identified.mask_logits > 0
        for number, (mask, _) in seen.items():
            name = identified.track_ids[int(np.flatnonzero((masks == mask).all((1, 2)))[0])]
            sightings += 1
            switches += last.setdefault(number, name) != name
            last[number] = name
    assert sightings > 60
    assert switches <= sightings / 100, f"{switches} switches in {sightings} sightings"
