"""Vocabularies: what is kept, merged, refused, and that nothing in them can change."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder
from openseg_ros.text.vocabulary import Query, QueryError, build_vocabulary


@cache
def encoder() -> TextEncoder:
    return load_text_encoder("minilm")


def build(*queries, version=1):
    return build_vocabulary(
        [Query(query) if isinstance(query, str) else query for query in queries], encoder(), version
    )


def test_labels_count_the_queries_looked_for():
    vocabulary = build("cup", Query("table", background=True), "red mug", version=7)
    assert vocabulary.version == 7
    assert [query.text for query in vocabulary.queries] == ["cup", "table", "red mug"]
    assert vocabulary.labels == (1, 0, 2)
    assert vocabulary.num_labels == 2
    assert vocabulary.phrases == ("cup", "red mug")


def test_every_name_has_the_vector_of_its_own_text():
    vocabulary = build(Query("cup", aliases=("mug", "beaker")), "bowl")
    assert vocabulary.owner.tolist() == [0, 0, 0, 1]
    np.testing.assert_array_equal(vocabulary.embeddings, encoder().encode(["cup", "mug", "beaker", "bowl"]))
    np.testing.assert_allclose(np.linalg.norm(vocabulary.embeddings, axis=1), 1, atol=1e-5)


def test_a_vocabulary_cannot_be_changed():
    vocabulary = build("cup")
    with pytest.raises(dataclasses.FrozenInstanceError):
        vocabulary.version = 2
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.embeddings[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.owner[0] = 1


def test_no_queries_make_an_empty_vocabulary():
    vocabulary = build()
    assert (vocabulary.queries, vocabulary.labels, vocabulary.num_labels, vocabulary.target) == ((), (), 0, None)
    assert vocabulary.embeddings.shape == (0, encoder().dim)


def test_background_alone_looks_for_nothing():
    vocabulary = build(Query("table", background=True))
    assert (vocabulary.labels, vocabulary.num_labels, vocabulary.target) == ((0,), 0, None)


@pytest.mark.parametrize(
    ("queries", "target"),
    [
        ((Query("cup"), Query("bowl")), 0),
        ((Query("cup"), Query("bowl", is_target=True)), 1),
        ((Query("table", background=True), Query("cup")), 1),
        ((Query("table", background=True, is_target=True), Query("cup")), 1),
        ((Query("cup"), Query("bowl", is_target=True), Query("fork", is_target=True)), 1),
    ],
)
def test_target_is_the_first_marked_or_the_first_looked_for(queries, target):
    assert build(*queries).target == target


def test_same_texts_become_one_query():
    vocabulary = build(
        Query("Red  mug", aliases=("cup",)),
        "bowl",
        Query("red mug", aliases=("CUP", "beaker"), threshold=0.3, is_target=True),
    )
    assert vocabulary.queries == (
        Query("Red mug", aliases=("cup", "beaker"), threshold=0.3, is_target=True),
        Query("bowl"),
    )


def test_looked_for_beats_background():
    asked = Query("Table", is_target=True)
    assert build(Query("table", background=True), asked).queries == (asked,)
    assert build(asked, Query("table", background=True)).queries == (asked,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'': it is empty"),
        (" \t\n", "it is empty"),
        ("\x00\x07\x1b", "it is empty"),
        ("\ud800", "it is empty"),
        ("?!…", "'?!…': it has no letter or digit"),
        ("x" * 201, "it has 201 characters; at most 200 are possible"),
    ],
)
def test_an_unusable_phrase_is_told_and_the_others_stay(text, reason):
    vocabulary = build(text, "cup")
    assert vocabulary.phrases == ("cup",)
    assert vocabulary.labels == (1,)
    assert len(vocabulary.rejected) == 1 and reason in vocabulary.rejected[0]


@pytest.mark.parametrize("threshold", [float("nan"), 1.01, float("inf")])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    vocabulary = build(Query("cup", threshold=threshold), "bowl")
    assert vocabulary.phrases == ("bowl",)
    assert f"'cup': threshold {threshold} is not a probability" in vocabulary.rejected


def test_a_bad_alias_does_not_cost_the_query():
    vocabulary = build(Query("cup", aliases=("", "mug", *(f"cup {n}" for n in range(40)))))
    assert vocabulary.queries[0].aliases[:2] == ("mug", "cup 0")
    assert len(vocabulary.queries[0].aliases) == 31
    assert vocabulary.rejected[0] == "'' (alias of 'cup'): it is empty"
    assert vocabulary.rejected[-1] == "'cup 39' (alias of 'cup'): more than 32 aliases"


def test_nothing_usable_is_an_error_that_names_every_reason():
    with pytest.raises(QueryError, match="no query can be used: '': it is empty; '---': it has no letter or digit"):
        build("", "---", Query("table", background=True))


def test_limits_hold_for_queries_and_background_apart():
    full = [Query(f"thing {number}") for number in range(1000)]
    with pytest.raises(QueryError, match="1001 queries are too many; at most 1000"):
        build(*full, "one more")

    class Counting:  # a thousand phrases through BERT would take a minute
        name, dim = "counting", 3

        def encode(self, texts):
            return np.eye(3, dtype=np.float32)[np.arange(len(texts)) % 3]

    vocabulary = build_vocabulary([*full, Query("table", background=True)], Counting(), 1)
    assert (vocabulary.num_labels, vocabulary.mask_dtype, vocabulary.unlabelled) == (1000, np.uint16, 65535)


@pytest.mark.parametrize(("count", "dtype", "unlabelled"), [(254, np.uint8, 255), (255, np.uint16, 65535)])
def test_pixel_type_leaves_room_for_unlabelled(count, dtype, unlabelled):
    vocabulary = build(*(f"thing {number}" for number in range(count)))
    assert (vocabulary.mask_dtype, vocabulary.unlabelled) == (dtype, unlabelled)


def test_a_name_without_a_vector_is_refused_and_the_next_query_moves_up():
    class Failing:
        name, dim = "failing", 2

        def encode(self, texts):
            return np.array([[np.nan, 0] if text == "cup" else [1, 0] for text in texts], np.float32)

    vocabulary = build_vocabulary([Query("cup"), Query("bowl", aliases=("cup",))], Failing(), 1)
    assert vocabulary.phrases == ("bowl",)
    assert (vocabulary.labels, vocabulary.owner.tolist()) == ((1,), [0])
    assert vocabulary.rejected == ("'cup': the text encoder gives no vector",) * 2


@pytest.mark.parametrize("text", ["rote Tasse", "红色的杯子", "كوب أحمر", "☕", "tasse à café", "7up"])
def test_other_languages_and_symbols_are_accepted(text):
    assert build(text).phrases == (text,)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(Query, st.text(max_size=20), st.just(()), st.floats(-1, 1)), min_size=1, max_size=4))
def test_any_text_is_encoded_or_refused_with_a_reason(queries):
    try:
        vocabulary = build_vocabulary(queries, encoder(), 1)
    except QueryError as error:
        assert "no query can be used" in str(error)
        return
    assert np.isfinite(vocabulary.embeddings).all()
    assert sorted(vocabulary.labels) == list(range(1, len(vocabulary.queries) + 1))
    assert len(vocabulary.queries) + len(vocabulary.rejected) <= len(queries)
