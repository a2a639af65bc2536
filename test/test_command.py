"""What people say to a robot, and what is looked for then."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openseg_ros.text.command import ParsedQueries, Relation, parse_query_text
from openseg_ros.text.vocabulary import Query

# One object, asked for by a command, a question or a wish: text, phrase, alias ("" for none).
COMMANDS = [
    ("pick the cup", "cup", ""),
    ("Pick up the red mug.", "red mug", ""),
    ("PICK THE CUP", "CUP", ""),
    ("pick up a cup", "cup", ""),
    ("pick the cup up", "cup", ""),
    ("please pick the cup", "cup", ""),
    ("pick the cup, please", "cup", ""),
    ("pick up cup", "cup", ""),
    ("please pick cup", "cup", ""),
    ("could you please pick up the small red mug for me?", "small red mug", ""),
    ("can you pick the can", "can", ""),
    ("can you grab that can for me please", "can", ""),
    ("grab that screwdriver for me", "screwdriver", ""),
    ("grab the can opener", "can opener", ""),
    ("hand me the soap", "soap", ""),
    ("hand me the hand soap", "hand soap", ""),
    ("hand the hammer to me", "hammer", ""),
    ("would you mind handing me the salt", "salt", ""),
    ("give me that", None, ""),
    ("give me a hand towel", "hand towel", ""),
    ("give me the pick", "pick", ""),
    ("pass me the ice cream scoop", "ice cream scoop", ""),
    ("bring me the bottle", "bottle", ""),
    ("bring the plate over here", "plate", ""),
    ("fetch my keys", "keys", "key"),
    ("find all bottles", "bottles", "bottle"),
    ("find all of the red cups", "red cups", "red cup"),
    ("find every box", "box", ""),
    ("find bottles of water", "bottles of water", "bottle of water"),
    ("find the scissors", "scissors", ""),
    ("locate the glasses", "glasses", ""),
    ("bring me two cups", "cups", "cup"),
    ("give me one of the forks", "forks", "fork"),
    ("grab the two liter bottle", "two liter bottle", ""),
    ("grab the 10 mm wrench", "10 mm wrench", ""),
    ("take the left glove", "left glove", ""),
    ("retrieve the remote control", "remote control", ""),
    ("seize the mug with the blue handle", "mug with the blue handle", ""),
    ("carefully lift the glass of water", "glass of water", ""),
    ("hey robot, pick the cup!", "cup", ""),
    ("Hello robot. Pick the cup. Thank you.", "cup", ""),
    ("go and get the scissors", "scissors", ""),
    ("go get the scissors", "scissors", ""),
    ("try to find the spoon", "spoon", ""),
    ("help me find my phone", "phone", ""),
    ("let's grab the apple", "apple", ""),
    ("I want you to find the tape", "tape", ""),
    ("I want the fork", "fork", ""),
    ("I'd like the fork, please", "fork", ""),
    ("I’d like the fork", "fork", ""),
    ("I need a spoon", "spoon", ""),
    ("where is the red mug?", "red mug", ""),
    ("where's the cup", "cup", ""),
    ("show me where the cup is", "cup", ""),
    ("is there a bowl?", "bowl", ""),
    ("do you see the bowl", "bowl", ""),
    ("I am looking for the stapler", "stapler", ""),
    ("look for the tape measure", "tape measure", ""),
    ("search for a blue pen", "blue pen", ""),
    ("point at the lamp", "lamp", ""),
    ("go to the table", "table", ""),
    ("pick and place the cup", "cup", ""),
    ('pick the "red mug"', "red mug", ""),
    ("pick the small, red mug", "small red mug", ""),
    ("pick the black and white cup", "black and white cup", ""),
    ("find the salt and pepper shaker", "salt and pepper shaker", ""),
    ("find the plug in heater", "plug in heater", ""),
    ("snatch the toy", "toy", ""),
    ("open the drawer", "drawer", ""),
    ("pick the screw driver", "screw driver", ""),
]

# A place of the target: text, phrase, relation, reference.
RELATIONS = [
    ("pick up the red mug next to the banana", "red mug", "next to", "banana"),
    ("please could you hand me the small red mug next to the banana", "small red mug", "next to", "banana"),
    ("grab the fork beside the white plate, please", "fork", "next to", "white plate"),
    ("pick the cup that is next to the bowl", "cup", "next to", "bowl"),
    ("take the cup to the left of the bowl", "cup", "left of", "bowl"),
    ("find the cup on the right side of the bowl", "cup", "right of", "bowl"),
    ("get the box behind the can", "box", "behind", "can"),
    ("get the box in front of the can", "box", "in front of", "can"),
    ("grab the apple on the plate", "apple", "on", "plate"),
    ("grab the book on top of the box", "book", "on", "box"),
    ("pick the pen in the mug", "pen", "in", "mug"),
    ("pick the ball under the table", "ball", "under", "table"),
    ("find the cup between the fork and the spoon", "cup", "between", "fork and the spoon"),
    ("take the cup from the shelf", "cup", "from", "shelf"),
    ("find cup on table", "cup", "on", "table"),
    ("hand me the cup closest to the edge", "cup", "closest", "edge"),
    ("the red mug next to the banana", "red mug", "next to", "banana"),
    ("red mug next to the banana", "red mug", "next to", "banana"),
    ("hand me the left mug", "mug", "left", ""),
    ("pick the leftmost cup", "cup", "left", ""),
    ("pick the mug on the left", "mug", "left", ""),
    ("find the biggest bowl", "bowl", "largest", ""),
    ("grab the smallest screw", "screw", "smallest", ""),
    ("take the nearest bottle", "bottle", "closest", ""),
]

# Names of things: nothing in them may be changed, whatever a tagger makes of it.
NAMES = [
    "cup", "red mug", "can", "hand", "left", "pick", "ice cream scoop", "hand soap", "screw driver",
    "can opener", "left hand", "left mug", "the cup", "a cup of coffee", "jack in the box",
    "salt and pepper shaker", "plug in heater", "mug with a handle", "place mat", "empty bottle",
    "open end wrench", "pick up truck", "pass card", "show case", "robot vacuum", "robot", "go pro camera",
    "hello kitty cup", "now", "over ear headphones", "two liter bottle", "2.5 liter bottle", "10:30 clock",
    "St. Agur cheese", "7-up can", "clean towel", "point and shoot camera", "look alike doll", "turn table",
    "push pin", "pull tab", "drop light", "spot lamp", "stack of plates", "use by label", "rote Tasse",
    "nimm die Tasse", "红色的杯子", "كوب أحمر", "☕", "tasse à café",
]  # fmt: skip


@pytest.mark.parametrize(("text", "phrase", "alias"), COMMANDS)
def test_a_command_names_its_object(text, phrase, alias):
    parsed = parse_query_text(text)
    if phrase is None:
        assert parsed.queries == (Query(text),)
        assert "used whole" in parsed.message
        return
    assert parsed.queries == (Query(phrase, aliases=(alias,) if alias else (), is_target=True),)
    assert parsed.relations == ()
    if alias:
        assert f"'{phrase}' is also looked for as '{alias}'" in parsed.message


@pytest.mark.parametrize(("text", "phrase", "name", "reference"), RELATIONS)
def test_a_relation_is_parsed_out_and_said_not_to_be_used(text, phrase, name, reference):
    parsed = parse_query_text(text)
    assert [query.text for query in parsed.queries] == [phrase]
    assert parsed.relations == (Relation(name, reference),)
    said = f"{name} {reference}".strip()
    assert parsed.message == f"'{said}' of '{phrase}' is understood but not used yet"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_damaged(name):
    assert parse_query_text(name).queries == (Query(name),)


def test_the_tables_are_large_enough():
    assert len(COMMANDS) + len(RELATIONS) >= 70


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


def test_relations_are_those_of_the_target():
    parsed = parse_query_text("mug next to the bowl; pick the cup behind the can; find the left fork")
    assert parsed.relations == (Relation("behind", "can"),)
    assert parsed.message.count("not used yet") == 3


def test_both_relations_of_a_target_are_kept():
    parsed = parse_query_text("pick the left mug behind the can")
    assert parsed.queries == (Query("mug", is_target=True),)
    assert parsed.relations == (Relation("behind", "can"), Relation("left"))


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("find the cup, the bowl and the fork", ["cup", "bowl", "fork"]),
        ("pick the cup, then pick the bowl", ["cup", "bowl"]),
        ("Pick the cup. Find a bowl.", ["cup", "bowl"]),
        ("pick up the knife and fork", ["knife and fork"]),
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
