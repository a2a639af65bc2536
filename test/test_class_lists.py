"""Class lists: facts of the data sets, and our own names where theirs mislead."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared_data

from training.data.broken_records import DatasetError
from training.evaluation import class_list
from training.evaluation.class_embeddings import ClassEmbeddings
from training.evaluation.class_list import LISTS, ClassList, load_class_list, read_class_file

SIZES = {
    "ade20k_150": 150,
    "ade20k_847": 847,
    "coco_panoptic": 133,
    "pascal_context_459": 459,
    "pascal_context_59": 59,
    "voc_20": 20,
}


def names_of(name: str, key: str, variant: class_list.Variant = "engineered") -> tuple[str, ...]:
    classes = load_class_list(name, variant)
    return classes.names[classes.keys.index(key)]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_complete(name: str) -> None:
    plain, engineered = load_class_list(name), load_class_list(name, "engineered")
    assert len(plain) == SIZES[name]
    assert plain.ids == engineered.ids and plain.keys == engineered.keys and plain.titles == engineered.titles
    assert len(set(plain.ids)) == len(set(plain.keys)) == len(set(plain.titles)) == len(plain)
    for names in (*plain.names, *engineered.names):
        assert names and all(text == text.strip() and text and "_" not in text and ";" not in text for text in names)
    assert plain.names != engineered.names


@pytest.mark.parametrize("name", LISTS)
def test_no_engineered_name_means_two_classes(name: str) -> None:
    # Two classes with one name have one score, and the second is never predicted.
    counts = Counter(text for names in load_class_list(name, "engineered").names for text in set(names))
    assert [text for text, count in counts.items() if count > 1] == []


def test_ids_are_those_of_the_files() -> None:
    for name in ("ade20k_150", "pascal_context_459", "voc_20"):
        assert load_class_list(name).ids == tuple(range(1, SIZES[name] + 1))
    coco = load_class_list("coco_panoptic")
    assert coco.ids[:12] == (*range(1, 12), 13) and coco.ids[-1] == 200  # with gaps: a row is not an id
    assert coco.names[coco.ids.index(200)] == ("rug",)
    assert names_of("coco_panoptic", "wall-other-merged", "plain") == ("wall",)


def test_pascal_context_59_takes_its_ids_from_459_and_its_order_from_the_alphabet() -> None:
    few, many = load_class_list("pascal_context_59"), load_class_list("pascal_context_459")
    assert [many.keys[many.ids.index(id_)] for id_ in few.ids] == list(few.keys)
    assert list(few.keys) == sorted(few.keys)
    assert few.keys[:3] == ("aeroplane", "bag", "bed")  # VOC-first lists begin aeroplane, bicycle, bird
    assert few.ids[few.keys.index("table")] == 397
    assert "diningtable" not in few.keys and "diningtable" in load_class_list("voc_20").keys


@pytest.mark.parametrize(
    ("name", "key", "wanted", "avoided"),
    [
        ("coco_panoptic", "mouse", "computer mouse", "mouse"),
        ("coco_panoptic", "tie", "necktie", "tie"),
        ("pascal_context_59", "mouse", "computer mouse", "mouse"),
        ("pascal_context_59", "track", "railway track", "track"),
        ("pascal_context_459", "crane", "construction crane", "crane"),
        ("ade20k_847", "crane", "construction crane", "crane"),
        ("ade20k_847", "mouse, computer mouse", "computer mouse", "mouse"),
        ("ade20k_150", "fan", "electric fan", "fan"),
        ("ade20k_150", "toilet, can, commode, crapper, pot, potty, stool, throne", "toilet", "can"),
    ],
)
def test_engineered_names_say_which(name: str, key: str, wanted: str, avoided: str) -> None:
    names = names_of(name, key)
    assert wanted in names and avoided not in names


def test_the_data_sets_own_synonyms_are_plain_names() -> None:
    assert names_of("ade20k_150", "building, edifice", "plain") == ("building", "edifice")
    assert names_of("ade20k_847", "palm, palm tree", "plain") == ("palm", "palm tree")
    titles = load_class_list("ade20k_847").titles
    assert "bag, handbag, pocketbook, purse" in titles and "palm" in titles  # three classes are called "bag"


def test_names_are_those_of_the_data_sets() -> None:
    folder = shared_data("class_lists")

    def shared(name: str) -> list[str]:
        names: list[str] = json.loads((folder / f"{name}.json").read_text())
        return names

    assert list(load_class_list("ade20k_847").keys) == shared("ade847")
    assert list(load_class_list("pascal_context_459").keys) == shared("pc459")
    assert list(load_class_list("voc_20").keys) == shared("voc20")
    assert [names[0] for names in load_class_list("ade20k_150").names] == [name.strip() for name in shared("ade150")]
    # That copy writes VOC's word for Pascal Context's table.
    context = ["table" if name == "diningtable" else name for name in shared("pc59")]
    assert list(load_class_list("pascal_context_59").keys) == context


def test_numbers_of_the_full_ade20k_are_those_of_its_annotations() -> None:
    classes = load_class_list("ade20k_847")
    ids = dict(zip(classes.keys, classes.ids, strict=True))
    found = {}
    for file in shared_data("formats/ade20k_full").rglob("*.json"):
        for entry in json.loads(file.read_text(encoding="utf-8"))["annotation"]["object"]:
            if entry["name"] in ids:
                found[entry["name"]] = entry["name_ndx"]
    assert len(found) > 20
    assert found == {name: ids[name] for name in found}


def test_an_unknown_list_is_named() -> None:
    with pytest.raises(DatasetError, match=r"no class list 'ade20k'.*ade20k_150"):
        load_class_list("ade20k")


def test_a_broken_list_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("classes:\n  - {id: 1, name: cup}\n  - {id: 1, name: bowl}\n")
    with pytest.raises(DatasetError, match=r"mine\.yaml has the same id"):
        read_class_file(file)
    other = tmp_path / "other.yaml"
    other.write_text("classes:\n  - {id: 1, nam: cup}\n")
    with pytest.raises(DatasetError, match=r"other\.yaml.*did you mean 'name'"):
        read_class_file(other)


def test_values_of_no_class_are_below_every_class() -> None:
    table = ClassList((3, 1), ("c", "a"), ("c", "a"), (("c",), ("a",))).rows_of_values(5)
    assert table.tolist() == [-1, 1, -1, 0, -1] and table.dtype == np.int32
    with pytest.raises(ValueError, match="do not fit"):
        ClassList((5,), ("c",), ("c",), (("c",),)).rows_of_values(5)


class NumberEncoder:
    """Gives every name the vector that it spells."""

    name, dim = "numbers", 2

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([[float(part) for part in text.split()] for text in texts], np.float32).reshape(-1, 2)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_score_of_a_class_is_that_of_its_best_name(data: st.DataObject) -> None:
    number = st.integers(-4, 4)
    names = data.draw(st.lists(st.lists(st.tuples(number, number), min_size=1, max_size=4), min_size=1, max_size=6))
    rows = data.draw(st.lists(st.integers(0, len(names) - 1), min_size=1, unique=True))
    regions = np.array(data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=3)), np.float32)
    texts = tuple(tuple(f"{x} {y}" for x, y in group) for group in names)
    keys = tuple(map(str, range(len(names))))
    classes = ClassList(tuple(range(len(names))), keys, keys, texts)
    scores = ClassEmbeddings.encode(classes, NumberEncoder()).scores(regions, np.array(rows))
    expected = [[max(x * a + y * b for x, y in names[row]) for a, b in regions] for row in rows]
    assert scores.tolist() == expected
