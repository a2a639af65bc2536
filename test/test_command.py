"""What people say to a robot, and what is looked for then."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from openseg_ros.text.command import ParsedQueries, parse_query_text, parse_typed_queries
from openseg_ros.text.vocabulary import Query, Relation

# `commands.yaml` tells how they are written.
COMMANDS = yaml.safe_load((Path(__file__).parent / "commands.yaml").read_text())

# Names of things: nothing in them may be changed, whatever a tagger makes of it.
NAMES = [
    "cup", "red mug", "can", "hand", "left", "pick", "ice cream scoop", "hand soap", "screw driver",
    "can opener", "left hand", "left mug", "the cup", "a cup of coffee", "jack in the box",
    "salt and pepper shaker", "plug in heater", "mug with a handle", "place mat", "empty bottle",
    "open end wrench", "pick up truck", "pass card", "show case", "robot vacuum", "robot", "go pro camera",
    "hello kitty cup", "now", "over ear headphones", "two liter bottle", "2.5 liter bottle", "10:30 clock",
    "St. Agur cheese", "7-up can", "clean towel", "point and shoot camera", "look alike doll", "turn table",
    "middle ear model", "bigger bag", "standing lamp", "lid on a pot",
    "push pin", "pull tab", "drop light", "spot lamp", "stack of plates", "use by label", "rote Tasse",
    "nimm die Tasse", "红色的杯子", "كوب أحمر", "☕", "tasse à café",
]  # fmt: skip


def written(relations: tuple[Relation, ...]) -> str:
    """Relations as `commands.yaml` writes them."""

    def reference(query: Query) -> str:
        return query.text + (f" ({written(query.relations)})" if query.relations else "")

    return " | ".join(
        f"number {relation.rank} by {relation.name}"
        if relation.rank > 1
        else f"{relation.name} {' + '.join(map(reference, relation.references))}".strip()
        for relation in relations
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command["said"])
def test_a_command_names_its_object_and_its_place(command):
    parsed = parse_query_text(command["said"])
    target = parsed.queries[0]
    assert (target.text, written(target.relations)) == (command["target"], command.get("relations", ""))
    alias = command.get("alias")
    if not target.relations:
        assert target.aliases == ((alias,) if alias else ())
    if alias:
        assert f"'{target.text}' is also looked for as '{alias}'" in parsed.message
    if target.relations:
        assert f"'{target.text}' is chosen by: {target.relations[0].spoken}" in parsed.message


def test_the_table_is_large_enough():
    assert len(COMMANDS) >= 150
    assert len({command["said"].lower() for command in COMMANDS}) >= 149


def test_a_command_without_an_object_is_used_whole():
    parsed = parse_query_text("give me that")
    assert parsed.queries == (Query("give me that"),) and "used whole" in parsed.message


OPENINGS = [
    "pick up the",
    "please grab the",
    "could you hand me the",
    "find the",
    "Hey robot, bring me the",
    "I need the",
]
THINGS = ["cup", "red mug", "small wooden spoon", "can opener", "yellow banana", "bottle of water", "tape measure"]
PLACES = {
    "next to the": "next to", "beside the": "next to", "to the left of the": "left of", "right of the": "right of",
    "behind the": "behind", "in front of the": "in front of", "on the": "on", "inside the": "in", "under the": "under",
    "above the": "above", "closest to the": "closest",
}  # fmt: skip
RANKS = {"": "", "leftmost ": "left", "largest ": "largest", "nearest ": "closest", "smallest ": "smallest"}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(OPENINGS),
    st.sampled_from(sorted(RANKS)),
    st.sampled_from(THINGS),
    st.lists(
        st.tuples(st.sampled_from(sorted(PLACES)), st.sampled_from(sorted(RANKS)), st.sampled_from(THINGS)), max_size=2
    ),
    st.sampled_from(["", ".", ", please", " for me", " now, thank you."]),
)
def test_unseen_commands_of_the_same_kinds(opening, rank, thing, places, ending):
    said = f"{opening} {rank}{thing}" + "".join(f" {place} {r}{other}" for place, r, other in places) + ending
    expected = ""
    for place, own_rank, other in reversed(places):
        inner = " | ".join(filter(None, (expected, RANKS[own_rank])))
        expected = f"{PLACES[place]} {other}" + (f" ({inner})" if inner else "")
    expected = " | ".join(filter(None, (expected, RANKS[rank])))
    target = parse_query_text(said).queries[0]
    assert target.is_target
    assert (target.text, written(target.relations)) == (thing, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_damaged(name):
    assert parse_query_text(name).queries == (Query(name),)


def test_plain_phrases_pass_in_order_without_a_mark_or_a_message():
    assert parse_query_text("red mug; bowl;;  ice cream scoop ;") == ParsedQueries(
        (Query("red mug"), Query("bowl"), Query("ice cream scoop"))
    )


def test_the_first_object_of_the_first_command_is_the_target():
    parsed = parse_query_text("table; pick the cup and the bowl; find the fork")
    assert [(query.text, query.is_target) for query in parsed.queries] == [
        ("table", False),
        ("cup", True),
        ("bowl", False),
        ("fork", False),
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command["said"])
def test_a_typed_query_is_understood_like_the_same_words(command):
    said = command["said"].split(";")[0]
    asked = Query("plate", aliases=("dish",), threshold=0.3)
    sent = Query(said, aliases=("thing",), threshold=0.7, is_target=True)
    parsed = parse_typed_queries([asked, sent])
    assert parsed.queries[0] == asked
    spoken = parse_query_text(said)
    own = parsed.queries[1]
    assert (own.text, own.relations) == (spoken.queries[0].text, spoken.queries[0].relations)
    assert own.aliases == (*spoken.queries[0].aliases, "thing")
    assert (own.threshold, own.is_target) == (0.7, True)
    assert parsed.message == spoken.message


@pytest.mark.parametrize("name", [*NAMES, "", "cup; bowl", "a,b"])
def test_a_name_in_a_typed_query_is_never_damaged(name):
    assert parse_typed_queries([Query(name)]).queries == (Query(name),)


def test_what_a_typed_query_cannot_be_is_used_whole():
    background = Query("the table behind the box", background=True)
    several = Query("pick the cup and the bowl")
    parsed = parse_typed_queries([background, several])
    assert parsed.queries == (background, several)
    assert parsed.message == "'pick the cup and the bowl' names 2 things and is used whole; send one query for each"


def test_every_object_has_its_own_relations():
    parsed = parse_query_text("mug next to the bowl; pick the cup behind the can; find the left fork")
    assert [written(query.relations) for query in parsed.queries] == ["next to bowl", "behind can", "left"]
    assert [query.is_target for query in parsed.queries] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("find the cup, the bowl and the fork", ["cup", "bowl", "fork"]),
        ("pick the cup, then pick the bowl", ["cup", "bowl"]),
        ("Pick the cup. Find a bowl.", ["cup", "bowl"]),
        ("pick up the knife and fork", ["knife and fork"]),
        ("the cup and the plate", ["the cup", "the plate"]),
    ],
)
def test_several_objects_of_a_command(text, phrases):
    assert [query.text for query in parse_query_text(text).queries] == phrases


@pytest.mark.parametrize(
    ("text", "phrase", "left_out"),
    [
        ("put the cup in the box", "cup", "'in the box' is not used"),
        ("move the cup to the left", "cup", "'to the left' is not used"),
        ("bring the cup to the kitchen", "cup", "'to the kitchen' is not used"),
        ("find the screwdriver to open the box", "screwdriver", "'to open the box' is not used"),
        ("pick the cup and put it in the box", "cup", "'put it in the box' names nothing to look for"),
        ("bring me two cups", "cups", "the number 'two' is not used"),
    ],
)
def test_what_is_left_out_is_said(text, phrase, left_out):
    parsed = parse_query_text(text)
    assert [query.text for query in parsed.queries] == [phrase]
    assert left_out in parsed.message


@pytest.mark.parametrize(
    ("text", "alias"),
    [("pick cup", "cup"), ("grab bar", "bar"), ("take red cups", "red cups"), ("lift truck", "truck")],
)
def test_what_may_be_a_name_or_a_command_is_looked_for_as_both(text, alias):
    parsed = parse_query_text(text)
    assert parsed.queries[0].text == text and parsed.queries[0].aliases[0] == alias
    assert f"'{text}' may be a name or a command, so it and '{alias}' are looked for" in parsed.message


@pytest.mark.parametrize("text", ["pick it up", "give it to me", "hand me", "what is this", "why me", "pick this one"])
def test_a_sentence_without_an_object_is_used_whole_and_said_so(text):
    parsed = parse_query_text(text)
    assert parsed.queries == (Query(text),)
    assert f"'{text}'" in parsed.message and "used whole" in parsed.message


def test_politeness_and_a_final_stop_are_no_part_of_a_phrase():
    assert parse_query_text("red mug, please.").queries == (Query("red mug"),)
    assert parse_query_text("please, red mug").queries == (Query("red mug"),)
    assert parse_query_text("Cup!").queries == (Query("Cup"),)


def test_a_comma_in_a_phrase_is_pointed_out():
    parsed = parse_query_text("cup, bowl")
    assert parsed.queries == (Query("cup, bowl"),)
    assert "separate several with ';'" in parsed.message


@pytest.mark.parametrize("text", ["", "  ", ";", " ; \n;"])
def test_nothing_said_is_nothing_to_look_for(text):
    assert parse_query_text(text) == ParsedQueries(())


def test_a_long_text_is_no_command():
    text = "pick the " + "very " * 3000 + "red cup"
    assert parse_query_text(text).queries == (Query(text),)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_taken(text):
    parsed = parse_query_text(text)
    parts = [part for part in text.replace("\n", ";").replace("\r", ";").split(";") if part.strip()]
    assert len(parsed.queries) >= len(parts)
    assert all(query.text.strip() for query in parsed.queries)


WORDS = """
pick up the a cup red to me of and next left on it please can hand you is two , . where
"""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=12))
def test_any_order_of_command_words_gives_a_phrase_of_the_text(tokens):
    text = " ".join(tokens)
    for query in parse_query_text(text).queries:
        assert all(word.strip(",.") in ["", *tokens] for word in query.text.split())
        assert len(query.text) <= len(text)
