"""From annotated folders to training batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_coco import COLOURS, write_tiny_coco

from openseg_ros.model.openseg import PIXEL_CENTRE
from training.data.augmentation import PADDING, AugmentationConfig, augment
from training.data.coco import CocoSource, DatasetError, read_coco, read_pixels
from training.data.samples import CaptionedMasks, SampleConfig, StepSampler, collate, grid_average
from training.data.words import Vocabulary, WordRule, extract_words

STILL = AugmentationConfig(scale=(1.0, 1.0), flip_probability=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_coco(tmp_path_factory.mktemp("coco") / "tiny", 6)


def samples(folder: Path, **rule: object) -> CaptionedMasks:
    return CaptionedMasks(
        [read_coco(CocoSource(str(folder)))],
        rule=WordRule(**rule),  # type: ignore[arg-type]
        augmentation=STILL,
        config=SampleConfig((64, 96), 4, keep_probability=1.0),
    )


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        (
            "A red mug stands next to the yellow banana.",
            ["red", "mug", "yellow", "banana", "red mug", "yellow banana"],
        ),
        ("a dog and a dog", ["dog"]),
        (
            "A yellow rubber duck, a lemon",
            ["yellow", "rubber", "duck", "lemon", "yellow rubber duck", "rubber duck"],
        ),
        ("", []),
        ("!!! 12 ...", []),
        (
            "Two small green apples on a wooden table",
            ["small", "green", "apples", "wooden", "table", "small green apples", "wooden table"],
        ),
    ],
)
def test_words_are_nouns_and_adjectives(caption: str, words: list[str]) -> None:
    found = extract_words(caption, WordRule(phrases=True))
    assert found == words


def test_word_filters_of_table_5() -> None:
    caption = "the cat is eating"
    assert extract_words(caption, WordRule("noun_adjective")) == ["cat"]
    assert "eating" in extract_words(caption, WordRule("noun_adjective_verb"))
    assert extract_words(caption, WordRule("all")) == ["the", "cat", "is", "eating"]


def test_ids_above_255_are_read_from_all_channels(folder: Path) -> None:
    data = read_coco(CocoSource(str(folder)))
    image, ids = read_pixels(data.records[0])
    assert set(np.unique(ids)) == {1, 2, 302}
    segment = next(s for s in data.records[0].segments if s.id == 302)
    assert tuple(image[30, 60]) == COLOURS[segment.phrase.split()[0]]
    assert data.categories[segment.category] == segment.phrase.split()[1]


def test_a_sample_keeps_pixels_masks_and_words_together(folder: Path) -> None:
    data = samples(folder, phrases=True)
    sample = data[0, 5]
    assert sample["image"].shape == (64, 96, 3)
    # 60 x 80 fits 64 x 96 at factor 16/15: 64 rows of 85 columns, the rest is padding.
    assert (sample["image"][:, 86:] == PADDING).all()
    assert sample["valid"].sum() == pytest.approx(64 * 85 / 16)
    assert sample["labels"].shape == (3, 16, 24)
    assert sample["labels"].sum(0)[:, :21].min() == pytest.approx(1)  # every cell belongs to some segment
    words = {data.vocabulary.words[row] for row in sample["words"]}
    assert words >= {"table"} | {w for s in data.records[0].segments[1:] for w in (s.phrase, *s.phrase.split())}


def test_flip_moves_image_and_ids_alike(folder: Path) -> None:
    image, ids = read_pixels(read_coco(CocoSource(str(folder))).records[0])
    flipped = augment(
        image, ids, (60, 80), AugmentationConfig((1.0, 1.0), flip_probability=1.0), np.random.default_rng(0)
    )
    assert np.array_equal(flipped[0], image[:, ::-1])
    assert np.array_equal(flipped[1], ids[:, ::-1])
    assert flipped[2].all()


def test_scale_jitter_crops_and_pads_inside_the_frame(folder: Path) -> None:
    image, ids = read_pixels(read_coco(CocoSource(str(folder))).records[0])
    seen = set()
    for seed in range(20):
        out, out_ids, valid = augment(image, ids, (60, 80), AugmentationConfig(), np.random.default_rng(seed))
        assert out.shape == (60, 80, 3)
        assert (out[~valid] == PADDING).all()
        assert not out_ids[~valid].any()
        assert out_ids[valid].all()
        seen.add(bool(valid.all()))
    assert seen == {True, False}


def test_sampler_covers_each_source_equally_and_resumes(folder: Path) -> None:
    def batches(first: int, **share: int) -> list[list[tuple[int, int]]]:
        sampler = StepSampler(source_sizes=(4, 100), batch=4, seed=3, first_step=first, steps=10, **share)
        assert len(sampler) == 10 - first
        return list(sampler)

    whole = batches(0)
    assert whole[4:] == batches(4)
    records = [record for batch in whole for record, _ in batch]
    assert sum(record < 4 for record in records) == 20  # half of 40 from the small source
    assert sorted(record for record in records if record < 4)[:5] == [0] * 5  # each of its records 5 times
    assert len({record for record in records if record >= 4}) == 20  # none of the large source twice
    ranks = [
        StepSampler(source_sizes=(4, 100), batch=2, seed=3, first_step=0, steps=10, rank=r, processes=2) for r in (0, 1)
    ]
    assert [a + b for a, b in zip(*ranks, strict=True)] == whole  # two processes share what one would draw


def test_collate_pads_and_normalises(folder: Path) -> None:
    data = samples(folder)
    first, second = data[0, 1], data[1, 1]
    second["words"] = second["words"][:1]
    batch = collate([first, second])
    assert batch.images.shape == (2, 3, 64, 96)
    assert batch.images[0, 0, 0, 0].item() == (int(first["image"][0, 0, 0]) - PIXEL_CENTRE) / PIXEL_CENTRE
    assert batch.word_exists.sum(1).tolist() == [len(first["words"]), 1]
    assert batch.label_exists.all()
    empty = collate([{**first, "labels": first["labels"][:0], "words": first["words"][:0]}])
    assert not empty.label_exists.any() and not empty.word_exists.any()
    assert torch.isfinite(empty.images).all()


def test_keep_probability_drops_words_but_never_all(folder: Path) -> None:
    data = samples(folder)
    data.config = SampleConfig((64, 96), 4, keep_probability=0.5)
    counts = [len(data[0, seed]["words"]) for seed in range(60)]
    everything = len(data.captions[0][0])
    assert min(counts) >= 1
    assert 0.35 * everything < np.mean(counts) < 0.65 * everything


def test_grid_average_by_hand() -> None:
    mask = np.zeros((1, 4, 4), bool)
    mask[0, :2, :3] = True
    assert grid_average(mask, 2).tolist() == [[[1.0, 0.5], [0.0, 0.0]]]


def test_vocabulary_is_sorted_and_indexed() -> None:
    vocabulary = Vocabulary.of([["mug", "red"], ["apple", "mug"]])
    assert vocabulary.words == ("apple", "mug", "red")
    assert vocabulary.indices()["red"] == 2


def test_broken_folders_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*panoptic\.json"):
        read_coco(CocoSource(str(tmp_path)))
    broken = write_tiny_coco(tmp_path / "broken", 1)
    (broken / "captions.json").write_text("{")
    with pytest.raises(DatasetError, match="is not JSON"):
        read_coco(CocoSource(str(broken)))
    (broken / "captions.json").write_text(json.dumps({"annotations": [{"caption": "x"}]}))
    with pytest.raises(DatasetError, match="missing 'image_id'"):
        read_coco(CocoSource(str(broken)))
    (broken / "captions.json").write_text(json.dumps({"annotations": []}))
    record = read_coco(CocoSource(str(broken))).records[0]
    record.image_file.write_bytes(b"\x89PNG broken")
    with pytest.raises(DatasetError, match=r"0\.png is missing or not an image"):
        read_pixels(record)


def test_images_of_many_things_can_be_left_out(folder: Path, tmp_path: Path) -> None:
    crowded = write_tiny_coco(tmp_path / "crowded", 3)
    content = json.loads((crowded / "panoptic.json").read_text())
    content["categories"][2]["isthing"] = 0  # the table
    content["annotations"][1]["segments_info"].pop()  # one thing and the table are left
    (crowded / "panoptic.json").write_text(json.dumps(content))
    assert [len(read_coco(CocoSource(str(crowded), max_things=limit)).records) for limit in (2, 1)] == [3, 1]
    with pytest.raises(DatasetError, match=r"no annotations \(max_things: 0\)"):
        read_coco(CocoSource(str(crowded), max_things=0))
