"""From annotated folders to training batches."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle_codec
from shared_data import shared_data
from tiny_coco import COLOURS, write_tiny_coco, write_tiny_masks
from torch.utils.data import DataLoader

from openseg_ros.model.openseg import PIXEL_CENTRE
from training.data.augmentation import PADDING, AugmentationConfig, Placement, augment
from training.data.broken_records import DatasetError
from training.data.grid_labels import cell_classes, mask_shares, segment_shares
from training.data.json_file import stream_json
from training.data.pixels import read_ids, read_image, read_pixels
from training.data.prepared_words import PreparedWords
from training.data.records import AnnotatedImages
from training.data.samples import CaptionedMasks, SampleConfig, StepSampler, collate
from training.data.sources import DataSource, read_source, sources_below
from training.data.stored_masks import StoredMasks
from training.data.words import WordRule, extract_words
from training.run import LoadedBatches

STILL = AugmentationConfig(scale=(1.0, 1.0), flip_probability=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_coco(tmp_path_factory.mktemp("coco") / "tiny", 6)


def tagged(sources: list[AnnotatedImages], **rule: object) -> PreparedWords:
    """The words of `sources` without an encoder, whose vectors samples do not need."""
    found = [
        [extract_words(text, WordRule(**rule)) for text in record.captions]  # type: ignore[arg-type]
        for source in sources
        for record in source.records
    ]
    vocabulary = sorted({word for record in found for words in record for word in words})
    rows = [[np.array([vocabulary.index(word) for word in words], np.int64) for words in record] for record in found]
    return PreparedWords(tuple(vocabulary), np.zeros((len(vocabulary), 2), np.float32), rows)


def samples(*sources: DataSource, augmentation: AugmentationConfig = STILL, **rule: object) -> CaptionedMasks:
    read = [read_source(source) for source in sources]
    config = SampleConfig((64, 96), 4, keep_probability=1.0)
    return CaptionedMasks(read, tagged(read, **rule), augmentation=augmentation, config=config)


def rewrite(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        (
            "A red mug stands next to the yellow banana.",
            ["red", "mug", "yellow", "banana", "red mug", "yellow banana"],
        ),
        ("a dog and a dog", ["dog"]),
        ("a can, a wrench and a teddy bear", ["can", "wrench", "teddy", "bear", "teddy bear"]),
        ("a blue soda can", ["blue", "soda", "can", "blue soda can", "soda can"]),
        ("a dog can run", ["dog"]),
        ("a man and a woman walk dogs", ["man", "woman", "dogs"]),
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
    data = read_source(DataSource(str(folder)))
    image, ids = read_pixels(data.records[0])
    assert ids.dtype == np.int32
    assert set(np.unique(ids)) == {1, 2, 302}
    segment = next(s for s in data.records[0].segments if s.id == 302)
    assert tuple(image[30, 60]) == COLOURS[segment.phrase.split()[0]]
    assert data.categories[segment.category] == segment.phrase.split()[1]
    third = folder / "panoptic" / "blue.png"
    cv2.imwrite(str(third), np.full((2, 2, 3), (7, 1, 2), np.uint8))  # OpenCV writes blue first
    assert (read_ids(third) == 2 + 256 * 1 + 65536 * 7).all()


def test_a_sample_keeps_pixels_masks_classes_and_words_together(folder: Path) -> None:
    data = samples(DataSource(str(folder)), phrases=True)
    assert data.class_names == ("ball", "box", "table")
    sample = data[0, 5]
    record = data.records[0]
    assert sample["image"].shape == (64, 96, 3)
    # 60 x 80 fits 64 x 96 at factor 16/15: 64 rows of 85 columns, the rest is padding.
    assert (sample["image"][:, 86:] == PADDING).all()
    assert sample["valid"].sum() == pytest.approx(64 * 85 / 16)
    assert sample["labels"].shape == (3, 16, 24)
    assert sample["labels"].sum(0)[:, :21].min() == pytest.approx(1)  # every cell belongs to some segment
    words = {data.words.words[row] for row in sample["words"]}
    assert words >= {"table"} | {w for s in record.segments[1:] for w in (s.phrase, *s.phrase.split())}
    # The two shapes stand at (30, 20) and (30, 60); their cells have their class, the rest is table or padding.
    for segment, x in zip(record.segments[1:], (20, 60), strict=True):
        row, column = int(30 * 16 / 15) // 4, int(x * 16 / 15) // 4
        assert sample["classes"][row, column] == segment.category - 1
    assert (sample["classes"][0, :21] == 2).all()
    assert (sample["classes"][:, 22:] == -1).all()


def test_shares_and_classes_equal_a_plain_count() -> None:
    random = np.random.default_rng(0)
    for case in range(8):
        ids = cv2.resize(random.integers(0, 5, (6, 7)).astype(np.uint8), (50, 40), interpolation=cv2.INTER_NEAREST)
        ids = ids.astype(np.int32) * 70_000
        segment_ids = np.array([210_000, 70_000, 999], np.int32)[: case % 4]  # 140,000 and 280,000 are crowds; unsorted
        config = AugmentationConfig(scale=(0.6, 1.6), flip_probability=case % 2)
        _, placement = augment(np.zeros((40, 50, 3), np.uint8), (48, 64), config, random)
        shares = segment_shares(ids, segment_ids, placement, 8)
        rows = np.array([1, 0, 1])[: len(segment_ids)]
        classes = cell_classes(shares, rows)
        assert shares.shape == (len(segment_ids), 6, 8)
        placed = np.full((48, 64), -5)
        placed[: placement.shown_size[0], : placement.shown_size[1]] = ids[placement.rows][:, placement.columns]
        for row in range(6):
            for column in range(8):
                cell = placed[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
                assert [int((cell == i).sum()) for i in segment_ids] == (64 * shares[:, row, column]).tolist()
                of_class = [
                    sum((cell == i).sum() for i, r in zip(segment_ids, rows, strict=True) if r == k) for k in (0, 1)
                ]
                most = max(of_class)
                expected = of_class.index(most) if most and most >= 64 - sum(of_class) else -1
                assert classes[row, column] == expected


def test_stored_masks_land_where_an_id_map_does(folder: Path, tmp_path: Path) -> None:
    ids = read_ids(read_source(DataSource(str(folder))).records[0].panoptic_file)
    masks = write_tiny_masks(tmp_path / "masks.json", {"a.png": [ids == 1, ids == 2, ids == 302, ids > 1]})
    random = np.random.default_rng(3)
    for case in range(8):
        config = AugmentationConfig(scale=(0.6, 1.8), flip_probability=case % 2)
        _, placement = augment(np.zeros((60, 80, 3), np.uint8), (64, 96), config, random)
        shares = mask_shares(masks["a.png"], placement, 4)
        expected = segment_shares(ids, np.array([1, 2, 302]), placement, 4)
        assert np.array_equal(shares[:3], expected)
        assert np.array_equal(shares[3], expected[1] + expected[2])  # masks may overlap


def test_flip_moves_image_and_ids_alike(folder: Path) -> None:
    image, ids = read_pixels(read_source(DataSource(str(folder))).records[0])
    config = AugmentationConfig((1.0, 1.0), flip_probability=1.0)
    flipped, placement = augment(image, (60, 80), config, np.random.default_rng(0))
    assert np.array_equal(flipped, image[:, ::-1])
    assert np.array_equal(ids[placement.rows][:, placement.columns], ids[:, ::-1])
    assert (placement.valid(4) == 1).all()


def test_no_photometric_change_leaves_every_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    out, _ = augment(image, (60, 80), STILL, np.random.default_rng(1))
    assert np.array_equal(out, image)


def test_photometric_changes_do_what_their_names_say() -> None:
    edge = np.full((60, 80, 3), 40, np.uint8)
    edge[:, 40:] = 200

    def pictures(**change: float) -> np.ndarray:
        config = replace(STILL, **change)
        return np.stack([augment(edge, (60, 80), config, np.random.default_rng(seed))[0] for seed in range(40)])

    dark = pictures(low_light=1.0)[..., 60, 0].astype(float) / 200
    assert dark.min() >= 0.24 and dark.max() <= 0.76 and np.ptp(dark) > 0.3
    blurred = pictures(blur=2.0)
    assert len(np.unique(blurred[:, 0, 39, 0])) > 10 and (blurred[:, 0, [5, 75], 0] == [40, 200]).all()
    noise = pictures(noise=0.05)[:, :, :30].std((1, 2, 3))
    assert 8 < noise.max() < 14 and noise.min() < 3
    packed = pictures(jpeg_quality=20)
    assert (packed[:, :, 30:50] != edge[:, 30:50]).any() and np.abs(packed[:, :, :20].astype(int) - 40).max() < 8


def test_scale_jitter_crops_and_pads_inside_the_frame(folder: Path) -> None:
    ids = read_ids(folder / "panoptic" / "0.png")
    red = np.where(ids[..., None] == 2, 255, 0) * np.ones(3)
    seen = set()
    for seed in range(20):
        out, placement = augment(red.astype(np.uint8), (60, 80), AugmentationConfig(), np.random.default_rng(seed))
        rows, columns = placement.shown_size
        assert out.shape == (60, 80, 3)
        assert (out[rows:] == PADDING).all() and (out[:, columns:] == PADDING).all()
        assert placement.valid(4).sum() * 16 == pytest.approx(rows * columns)
        seen.add((rows, columns) == (60, 80))
        # Labels follow the pixels to half a pixel: all that differs lies on the border of the shape.
        inside = (ids[placement.rows][:, placement.columns] == 2).astype(np.uint8)
        differs = (inside > 0) != (out[:rows, :columns, 0] > 127)
        near = np.ones((3, 3), np.uint8)
        away = cv2.erode(inside, near, borderValue=0) == cv2.dilate(inside, near)
        assert not (differs & away).any()
    assert seen == {True, False}


def test_sampler_covers_each_source_equally_and_resumes() -> None:
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
    data = samples(DataSource(str(folder)))
    first, second = data[0, 1], data[1, 1]
    second["words"] = second["words"][:1]
    batch = collate([first, second])
    assert batch.images.shape == (2, 3, 64, 96)
    assert batch.images[0, 0, 0, 0].item() == (int(first["image"][0, 0, 0]) - PIXEL_CENTRE) / PIXEL_CENTRE
    assert batch.word_exists.sum(1).tolist() == [len(first["words"]), 1]
    assert batch.label_exists.all()
    assert batch.classes.dtype == torch.int64 and batch.classes.shape == (2, 16, 24)
    assert np.array_equal(batch.classes[1].numpy(), second["classes"])
    empty = collate([{**first, "labels": first["labels"][:0], "words": first["words"][:0]}])
    assert not empty.label_exists.any() and not empty.word_exists.any()
    assert torch.isfinite(empty.images).all()


def test_keep_probability_drops_words_but_never_all(folder: Path) -> None:
    data = samples(DataSource(str(folder)))
    data.config = SampleConfig((64, 96), 4, keep_probability=0.5)
    counts = [len(data[0, seed]["words"]) for seed in range(60)]
    everything = len(data.words.rows[0][0])
    assert min(counts) >= 1
    assert 0.35 * everything < np.mean(counts) < 0.65 * everything


def test_images_without_captions_and_captions_without_masks_both_train(folder: Path, tmp_path: Path) -> None:
    mixed = write_tiny_coco(tmp_path / "mixed", 3)
    rewrite(mixed / "captions.json", lambda content: content["annotations"].pop(0))
    rewrite(mixed / "panoptic.json", lambda content: content["annotations"].pop(2))
    data = samples(DataSource(str(mixed)))
    assert len(data) == 3
    batch = collate([data[row, 0] for row in range(3)])
    assert batch.word_exists.any(1).tolist() == [False, True, True]
    assert batch.label_exists.any(1).tolist() == [True, True, False]
    assert (batch.classes[2] == -1).all() and (batch.classes[0] >= 0).any()


def test_nameless_masks_stand_in_for_missing_panoptic_images(folder: Path, tmp_path: Path) -> None:
    mixed = write_tiny_coco(tmp_path / "mixed", 2)
    rewrite(mixed / "panoptic.json", lambda content: content["annotations"].pop(1))
    square = np.zeros((60, 80), bool)
    square[:30, :40] = True
    write_tiny_masks(mixed / "masks.json", {"0.png": [square], "1.png": [square, ~square]})
    data = samples(DataSource(str(mixed), masks_json="masks.json"))
    assert [record.masks is None for record in data.records] == [True, False]  # drawn by people is better
    sample = data[1, 0]
    assert sample["labels"].shape == (2, 16, 24)
    assert sample["labels"][0].sum() == 32 * 42 / 16  # a quarter of 64 x 85 pixels, in whole ones
    assert (sample["classes"] == -1).all()
    masks_alone = DataSource(str(mixed), panoptic_json="", captions_json="", masks_json="masks.json")
    assert len(samples(masks_alone)[0, 0]["labels"]) == 1


def test_official_instances_of_any_form_are_masks(tmp_path: Path) -> None:
    square = np.zeros((60, 80), np.uint8)
    square[10:20, 30:50] = 1
    code = rle_codec.encode(np.asfortranarray(square))
    plain = [30 * 60 + 10, *[10, 50] * 19, 10, 30 * 60 + 40]
    polygon = [[30, 10, 50, 10, 50, 20, 30, 20]]
    forms = [{"size": [60, 80], "counts": code["counts"].decode()}, {"size": [60, 80], "counts": plain}, polygon]
    annotations = [{"image_id": 7, "segmentation": form} for form in forms]
    annotations.append({"image_id": 7, "segmentation": forms[1], "iscrowd": 1})
    # Sorted by key, as some tools write it: annotations before images.
    images = [{"id": 5, "file_name": "none.png", "height": 9, "width": 9}]
    images.append({"id": 7, "file_name": "0.png", "height": 60, "width": 80})
    write_tiny_coco(tmp_path / "d", 1)
    (tmp_path / "d" / "masks.json").write_text(json.dumps({"annotations": annotations, "images": images}))
    source = DataSource(str(tmp_path / "d"), panoptic_json="", masks_json="masks.json", skip_limit=1)
    read = read_source(source)
    assert read.problems == (f"{tmp_path / 'd'}: image none.png: there is no file {tmp_path / 'd/images/none.png'}",)
    stored = read.records[0].masks
    assert stored is not None
    masks, boxes = stored.decode()
    assert np.array_equal(masks, [square.T] * 3)
    assert boxes.tolist() == [[30, 10, 20, 10]] * 3


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_large_json_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("training.data.json_file.CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(
        ' { "n" : 12345,"list" :[ {"a": [1, 2]} ,34, "é]," ] , "none": [],"last":{"x":null}} ', encoding="utf-8"
    )
    expected = [("n", 12345), ("list", {"a": [1, 2]}), ("list", 34), ("list", "é],"), ("last", {"x": None})]
    assert list(stream_json(path)) == expected
    path.write_text('{"images": [1, 2')
    with pytest.raises(DatasetError, match=r"a\.json is not JSON: expected ']' at character 16"):
        list(stream_json(path))
    path.write_text('{"images": [1, tru]}')
    with pytest.raises(DatasetError, match=r"is not JSON: Expecting value \(character 15\)"):
        list(stream_json(path))


def test_broken_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*panoptic\.json"):
        read_source(DataSource(str(tmp_path)))
    broken = write_tiny_coco(tmp_path / "broken", 1)
    (broken / "captions.json").write_text("{")
    with pytest.raises(DatasetError, match="is not JSON"):
        read_source(DataSource(str(broken)))
    (broken / "captions.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"captions\.json is not in the COCO captions layout: missing 'annotations'"):
        read_source(DataSource(str(broken)))


def break_five(folder: Path) -> None:
    """Break the first five images, each in another way."""

    def annotations(content: dict[str, Any]) -> None:
        del content["annotations"][0]["segments_info"]
        content["annotations"][1]["segments_info"][0]["category_id"] = 77
        content["annotations"][2]["image_id"] = 1000

    rewrite(folder / "panoptic.json", annotations)
    rewrite(folder / "captions.json", lambda content: content["annotations"][5].pop("caption"))
    rewrite(folder / "captions.json", lambda content: content["annotations"].pop(2))
    (folder / "panoptic" / "3.png").unlink()
    (folder / "images" / "4.png").unlink()


def test_broken_records_are_named_counted_and_skipped_up_to_a_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = write_tiny_coco(tmp_path / "broken", 8)
    break_five(broken)
    read = read_source(DataSource(str(broken), skip_limit=6))
    assert [record.image_file.name for record in read.records] == ["5.png", "6.png", "7.png"]
    assert read.problems == (
        f"{broken}/panoptic.json: annotations[0]: missing 'segments_info'",
        f"{broken}/panoptic.json: annotations[1]: missing 77",
        f"{broken}/panoptic.json: annotations[2]: image 1000 is not in images",
        f"{broken}/panoptic.json: annotations[3]: there is no file {broken}/panoptic/3.png",
        f"{broken}/captions.json: annotations[4]: missing 'caption'",
        f"{broken}: image 4.png: there is no file {broken}/images/4.png",
    )
    assert [message.split(": ", 1)[1] for message in caplog.messages] == list(read.problems)
    assert not read.records[0].captions  # its only caption was the broken one
    with pytest.raises(DatasetError, match=r"(?s)^6 broken records, skip_limit allows 5.*annotations\[0\]: missing"):
        read_source(DataSource(str(broken), skip_limit=5))
    with pytest.raises(DatasetError, match=r"^1 broken records, skip_limit allows 0"):
        read_source(DataSource(str(broken)))


def break_pixels(folder: Path) -> None:
    """Of 6 images: one cut short, one id map of another size, one id map that is no image."""
    whole = (folder / "images" / "0.png").read_bytes()
    (folder / "images" / "0.png").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(folder / "panoptic" / "1.png"), np.zeros((60, 79, 3), np.uint8))
    (folder / "panoptic" / "2.png").write_bytes(b"")


def test_unreadable_pixels_are_replaced_from_the_same_seed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken, other = write_tiny_coco(tmp_path / "broken", 6), write_tiny_coco(tmp_path / "other", 6)
    break_pixels(broken)
    sources = [DataSource(str(other)), DataSource(str(broken), skip_limit=3)]
    data = samples(*sources)
    replaced = [data[6 + row, 40 + row] for row in range(3)]
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"broken record replaced: {broken}/images/0.png is not a whole image",
        f"broken record replaced: {broken}/images/1.png has 80x60 pixels, {broken}/panoptic/1.png 79x60",
        f"broken record replaced: {broken}/panoptic/2.png is not a whole image",
    ]
    good = [data[6 + row, 0]["image"] for row in (3, 4, 5)]
    for sample in replaced:  # by an image of the same source
        assert any(np.array_equal(sample["image"], image) for image in good)
    again = samples(*sources)
    for row in (2, 1, 0):  # in any order, with what is known to be broken or without
        assert np.array_equal(again[6 + row, 40 + row]["image"], replaced[row]["image"])
    assert len(caplog.records) == 6  # each file reported once for each data set
    strict = samples(sources[0], DataSource(str(broken), skip_limit=2))
    with pytest.raises(DatasetError, match=r"^3 broken records, skip_limit allows 2") as raised:
        [strict[6 + row, 0] for row in range(3)]
    assert all(f"{row}.png" in str(raised.value) for row in range(3))


def test_loader_processes_count_broken_records_together(tmp_path: Path) -> None:
    broken = write_tiny_coco(tmp_path / "broken", 6)
    break_pixels(broken)
    data = samples(DataSource(str(broken), skip_limit=3))
    loader = DataLoader(data, batch_sampler=[[(row, row)] for row in range(6)], collate_fn=collate, num_workers=2)
    assert len(list(loader)) == 6
    assert data._unreadable.tolist() == [True] * 3 + [False] * 3
    strict = samples(DataSource(str(broken), skip_limit=2))
    loader = DataLoader(strict, batch_sampler=[[(row, row)] for row in range(6)], collate_fn=collate, num_workers=2)
    with pytest.raises(DatasetError, match=r"^3 broken records, skip_limit allows 2; [^:]*:\n  .*(\n  .*){2}$"):
        list(LoadedBatches(iter(loader)))  # the message alone, without the loader process's traceback


def test_a_source_without_one_readable_image_ends(tmp_path: Path) -> None:
    broken = write_tiny_coco(tmp_path / "broken", 2)
    for row in range(2):
        (broken / "images" / f"{row}.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="2 broken records, skip_limit allows 100"):
        samples(DataSource(str(broken), skip_limit=100))[0, 0]


def test_damaged_masks_are_broken_records(tmp_path: Path) -> None:
    broken = write_tiny_coco(tmp_path / "broken", 2)
    full = np.ones((60, 80), bool)
    write_tiny_masks(broken / "masks.json", {"0.png": [full], "1.png": [full]})

    def cut(content: dict[str, Any]) -> None:
        content["annotations"][0]["segmentation"]["counts"] = "0d1"
        content["annotations"].append({"image_id": 1, "segmentation": {"size": [60, 80], "counts": ""}})
        content["annotations"].append({"image_id": 1, "segmentation": {"size": [80, 60], "counts": "0"}})
        content["annotations"].append({"image_id": 9, "segmentation": {"size": [80, 60], "counts": "0"}})

    rewrite(broken / "masks.json", cut)
    source = DataSource(str(broken), panoptic_json="", masks_json="masks.json", skip_limit=9)
    read = read_source(source)
    assert [problem.split(": ", 1)[1] for problem in read.problems] == [
        "annotations[2]: the mask's code is empty",
        "annotations[3]: the mask is [80, 60], its image [60, 80] (height, width)",
        "annotations[4]: image 9 is not in images",
    ]
    first, second = (record.masks for record in read.records)
    assert isinstance(first, StoredMasks) and isinstance(second, StoredMasks)
    with pytest.raises(DatasetError, match="a damaged mask"):
        first.decode()
    assert second.decode()[0].all()


def test_classes_of_one_name_are_one_class_whatever_their_numbers(folder: Path, tmp_path: Path) -> None:
    def renumber(content: dict[str, Any]) -> None:
        for category in content["categories"]:
            category["id"] += 40
            category["name"] = {"ball": "sphere"}.get(category["name"], category["name"])
        for annotation in content["annotations"]:
            for info in annotation["segments_info"]:
                info["category_id"] += 40

    other = write_tiny_coco(tmp_path / "other", 1)
    rewrite(other / "panoptic.json", renumber)
    joined = samples(DataSource(str(folder)), DataSource(str(other)))
    assert joined.class_names == ("ball", "box", "table", "sphere")
    alone = samples(DataSource(str(other)))
    assert alone.class_names == ("sphere", "box", "table")
    names = [np.array((*data.class_names, "none"))[data[len(data) - 1, 3]["classes"]] for data in (joined, alone)]
    assert {"sphere", "table"} <= set(names[0].ravel())
    assert (names[0] == names[1]).mean() > 0.98  # a cell that two classes share evenly goes to the lower row
    assert samples(DataSource(str(other), panoptic_json="")).class_names == ()


def test_words_of_other_captions_are_refused(folder: Path) -> None:
    read = [read_source(DataSource(str(folder)))]
    config = SampleConfig((64, 96), 4)
    with pytest.raises(DatasetError, match="belong to other captions"):
        CaptionedMasks(read, PreparedWords((), np.zeros((0, 2)), []), augmentation=STILL, config=config)


def test_images_of_many_things_can_be_left_out(tmp_path: Path) -> None:
    crowded = write_tiny_coco(tmp_path / "crowded", 3)

    def fewer(content: dict[str, Any]) -> None:
        content["categories"][2]["isthing"] = 0  # the table
        content["annotations"][1]["segments_info"].pop()  # one thing and the table are left

    rewrite(crowded / "panoptic.json", fewer)
    assert [len(read_source(DataSource(str(crowded), max_things=limit)).records) for limit in (2, 1)] == [3, 1]
    with pytest.raises(DatasetError, match=r"no annotations \(max_things: 0\)"):
        read_source(DataSource(str(crowded), max_things=0))


def test_images_of_chosen_classes_can_be_left_out(tmp_path: Path) -> None:
    folder = write_tiny_coco(tmp_path / "kinds", 3)

    def rename(content: dict[str, Any]) -> None:  # the first image alone shows a cone
        content["categories"].append({"id": 99, "name": "cone", "isthing": 1})
        content["annotations"][0]["segments_info"][0]["category_id"] = 99

    rewrite(folder / "panoptic.json", rename)
    every = read_source(DataSource(str(folder))).records
    assert read_source(DataSource(str(folder), without=("cone",))).records == every[1:]
    with pytest.raises(DatasetError, match="no class 'sphere' to be left out"):
        read_source(DataSource(str(folder), without=("cone", "sphere")))
    # A crowd is no thing to train on, but the image shows its class.
    rewrite(folder / "panoptic.json", lambda content: content["annotations"][0]["segments_info"][0].update(iscrowd=1))
    assert read_source(DataSource(str(folder), without=("cone",))).records == every[1:]


def test_images_whose_classes_nobody_knows_cannot_be_left_out(tmp_path: Path) -> None:
    mixed = write_tiny_coco(tmp_path / "mixed", 3)
    rewrite(mixed / "panoptic.json", lambda content: content["annotations"].pop(1))
    with pytest.raises(DatasetError, match=r"the classes of 1 images, such as 1\.png, so they may show"):
        read_source(DataSource(str(mixed), without=("ball",)))
    with pytest.raises(DatasetError, match="narratives have no classes"):
        read_source(DataSource(str(mixed), kind="localized_narratives", without=("ball",)))


def test_captions_after_the_first_ones_can_be_left_out(folder: Path) -> None:
    def more(content: dict[str, Any]) -> None:
        content["annotations"] += [{**a, "caption": "Again " + a["caption"]} for a in content["annotations"]]

    rewrite(folder / "captions.json", more)
    for limit, texts in ((None, 2), (1, 1)):
        record = read_source(DataSource(str(folder), max_captions=limit)).records[0]
        assert [text.startswith("Again ") for text in record.captions] == [False, True][:texts]


def test_sources_lie_below_the_data_folder() -> None:
    sources = sources_below([DataSource("a"), DataSource("/b", skip_limit=3)], Path("/data"))
    assert sources == (DataSource("/data/a"), DataSource("/b", skip_limit=3))


def test_official_coco_photos_become_samples() -> None:
    source = DataSource(
        str(shared_data("coco_train")),
        panoptic_json="panoptic_train2017.json",
        captions_json="captions_train2017.json",
        masks_json="instances_train2017.json",
    )
    read = read_source(source)
    assert not read.problems and len(read.categories) == 133
    kinds = [(bool(r.panoptic_file), bool(r.captions), r.masks is not None) for r in read.records]
    assert kinds.count((True, False, False)) == 100
    assert sum(captions for _, captions, _ in kinds) == 130
    assert len(kinds) == 337  # the instances are of all photos, some captioned
    assert sum(len(r.captions) for r in read.records) == 650
    nine = next(r for r in read.records if r.image_file.name == "000000000009.jpg")
    image, ids = read_pixels(nine)
    assert image.shape == (480, 640, 3)
    assert {int(s.id): int((ids == s.id).sum()) for s in nine.segments}[2005197] == 70036  # its `area`
    data = CaptionedMasks(
        [read], tagged([read]), augmentation=AugmentationConfig(), config=SampleConfig((640, 640), 4, 1.0)
    )
    for row in (0, 60, 150, 300):
        sample = data[row, row]
        assert sample["labels"].shape[1:] == (160, 160) and len(sample["labels"])
        assert sample["labels"].max() == 1


def test_panopticapi_samples_by_the_format_s_authors() -> None:
    folder = shared_data("formats/panopticapi/sample_data")
    layout = DataSource(
        str(folder),
        images="input_images",
        panoptic_json="panoptic_examples.json",
        panoptic_images="panoptic_examples",
        captions_json="",
    )
    for record, annotation in zip(
        read_source(layout).records,
        json.loads((folder / "panoptic_examples.json").read_text())["annotations"],
        strict=True,
    ):
        _, ids = read_pixels(record)
        areas = {info["id"]: info["area"] for info in annotation["segments_info"] if not info["iscrowd"]}
        assert {segment.id: int((ids == segment.id).sum()) for segment in record.segments} == areas


def test_a_truncated_photo_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    content = shared_data("coco_train/images/000000000009.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match="is not a whole image"):
        read_image(tmp_path / "a.jpg")


def test_labels_lie_on_the_pixels_as_they_are_stored(tmp_path: Path) -> None:
    """What nobody has drawn over is turned upright instead, as the camera saw it."""
    folder = write_tiny_coco(tmp_path / "photos", 1)
    write_tiny_masks(folder / "masks.json", {"0.png": [np.ones((60, 80), bool)]})
    file = folder / "images" / "0.png"
    pixels = read_image(file)
    exif = Image.Exif()
    exif[0x0112] = 3  # half a turn
    Image.fromarray(pixels).save(file, "JPEG", exif=exif, quality=100, subsampling=0)
    drawn, nameless, captioned = (
        samples(source)[0, 0]["image"][:64, :85].astype(int)
        for source in (
            DataSource(str(folder)),
            DataSource(str(folder), panoptic_json="", masks_json="masks.json"),
            DataSource(str(folder), panoptic_json=""),
        )
    )
    stored = cv2.resize(pixels, (85, 64), interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(drawn - stored).mean() < 3 and np.array_equal(drawn, nameless)
    assert np.abs(captioned[::-1, ::-1] - stored).mean() < 3 < np.abs(captioned - stored).mean()


def test_placement_maps_centres() -> None:
    placement = Placement((4, 6), (8, 3), (2, 0), False, (8, 4))
    assert placement.rows.tolist() == [1, 1, 2, 2, 3, 3]
    assert placement.columns.tolist() == [1, 3, 5]  # the middle of each pair
    assert placement.valid(4).tolist() == [[0.75], [0.375]]
