"""From what a person says to what to look for: "pick up the red mug next to the banana" becomes "red mug",
which is to be next to "banana".

Plain phrases ("red mug; bowl") pass as they are. Only what is recognisably a command or a question is taken apart: by
its first words and its determiners, and with TextBlob's tagger for verbs that are not listed and for plurals. The
tagger alone would not do: it takes "hand" for a noun, "can" for a modal and "left" for a verb, always. What is not
understood is used whole, and the message says so: a strange phrase finds nothing, a damaged one the wrong thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from openseg_ros.text import command_words as words
from openseg_ros.text.command_words import Words
from openseg_ros.text.named_object import (
    SENTENCE_ENDS,
    NamedObject,
    begins_with,
    has_place,
    lower,
    named_object,
    without_closings,
)
from openseg_ros.text.part_of_speech import tag
from openseg_ros.text.vocabulary import MAX_PHRASE_CHARACTERS, Query

_TOKEN = re.compile(r"(?:[^\s,.!?:\"“”„«»()]|[.,:](?=\d))+|[,.!?:]")


@dataclass(frozen=True)
class ParsedQueries:
    """What a text asks for."""

    queries: tuple[Query, ...]  # the first object of the first command is marked as target
    message: str = ""  # for the person who asked: what was left out, changed or not understood; "" if nothing


@dataclass(frozen=True)
class _Part:
    """What one of the pieces between ";" says."""

    objects: tuple[NamedObject, ...]
    is_command: bool = False
    notes: Words = ()


@dataclass(frozen=True)
class _Verb:
    """The beginning of a command."""

    name: str  # "" for a question or a wish
    length: int  # tokens up to the object
    certain: bool = True  # False: "pick hammer" is a hammer or a command


def parse_query_text(text: str) -> ParsedQueries:
    """Find the phrases to look for in a text.

    Args:
        text: a phrase, several separated by ";" or line breaks, or command sentences. Any text is taken; phrases are
            not checked here (`build_vocabulary` does that).

    Returns:
        The queries in the order of the text. Relations ("next to the banana") are parsed out of commands, and out of
        plain phrases where they are unmistakable. A plural in a command gets its singular as alias.
    """
    parts = [_parse_part(part.strip()) for part in re.split(r"[;\n\r]+", text) if part.strip()]
    command = next((part for part in parts if part.is_command), None)
    objects = [(part_object, part) for part in parts for part_object in part.objects]
    notes = [note for part in parts for note in part.notes]
    queries = tuple(
        Query(
            found.text,
            found.aliases,
            is_target=part is command and found is command.objects[0],
            relations=found.relations,
        )
        for found, part in objects
    )
    return ParsedQueries(queries, _message(notes, queries))


def parse_typed_queries(queries: Sequence[Query]) -> ParsedQueries:
    """Typed queries, the text of each understood like a text without ";": "mug next to the plate" has a relation.

    Args:
        queries: with plain texts. What is only background stays as it is, and so does a text that names several things.

    Returns:
        One query for each, in their order; their marks and thresholds are not touched.
    """
    found, notes = [], []
    for query in queries:
        part = _parse_part(query.text.strip())
        if query.background:
            found.append(query)
        elif len(part.objects) > 1:
            found.append(query)
            notes.append(f"'{query.text}' names {len(part.objects)} things and is used whole; send one query for each")
        else:
            (own,) = part.objects
            aliases = (*own.aliases, *query.aliases)
            found.append(replace(query, text=own.text, aliases=aliases, relations=own.relations))
            notes += part.notes
    return ParsedQueries(tuple(found), _message(notes, found))


def _message(notes: Sequence[str], queries: Sequence[Query]) -> str:
    chosen = [
        f"'{query.text}' is chosen by: {', '.join(relation.spoken for relation in query.relations)}"
        for query in queries
        if query.relations
    ]
    return "; ".join(dict.fromkeys([*notes, *chosen]))


def _parse_part(part: str) -> _Part:
    if len(part) > MAX_PHRASE_CHARACTERS:  # no sentence to a robot; the check of the phrases will reject it
        return _Part((NamedObject(part),))
    tokens = _TOKEN.findall(part)
    clauses = _clauses(tokens)
    verbs = [_verb(clause) for clause in clauses]
    if not any(verbs):
        if len(clauses) > 1 and all(lower(clause[0]) in words.DETERMINERS for clause in clauses):
            return _Part(tuple(found for clause in clauses for found in _plain(" ".join(clause), clause).objects))
        return _plain(part, tokens)
    objects: list[NamedObject] = []
    notes: list[str] = []
    for clause, verb in zip(clauses, verbs, strict=True):
        if verb is None and not (objects and lower(clause[0]) in words.DETERMINERS):
            if not _is_filler(clause):
                notes.append(f"'{' '.join(clause)}' is not used")
            continue
        start = verb.length if verb is not None else 0
        found, left_out = named_object(clause[start:], verb is not None and verb.name in words.PLACING_VERBS)
        if found is None:
            notes.append(f"'{' '.join(clause)}' names nothing to look for")
            continue
        if verb is not None and not verb.certain:
            notes.append(f"'{' '.join(clause)}' may be a name or a command, so it and '{found.text}' are looked for")
            found = NamedObject(" ".join(clause), (found.text, *found.aliases), found.relations)
        elif found.aliases:
            notes.append(f"'{found.text}' is also looked for as '{found.aliases[0]}'")
        objects.append(found)
        notes += left_out
    if not objects:
        return _Part((NamedObject(part),), notes=(f"'{part}' names nothing to look for and is used whole",))
    return _Part(tuple(objects), is_command=True, notes=tuple(notes))


def _plain(part: str, tokens: Sequence[str]) -> _Part:
    """A part without a command: itself, but for politeness, a final stop, and an unmistakable relation."""
    text = part.strip(" \t,.!?") or part
    notes = []
    polite = without_closings(_without_openings(tokens, words.POLITENESS), words.POLITENESS)
    core = [token for token in polite if token not in SENTENCE_ENDS]
    if core and len(core) < len([token for token in tokens if token not in SENTENCE_ENDS]):
        text = " ".join(core).replace(" ,", ",").strip(" ,")
    if has_place(core):
        found, left_out = named_object(core)
        if found is not None and found.relations:
            return _Part((NamedObject(found.text, relations=found.relations),), notes=tuple(left_out))
    if any(lower(token) in words.SENTENCE_WORDS for token in tokens):
        notes.append(f"'{text}' is not understood as a command and is used whole")
    elif "," in text:
        notes.append(f"'{text}' is looked for as one thing; separate several with ';'")
    return _Part((NamedObject(text),), notes=tuple(notes))


def _clauses(tokens: Sequence[str]) -> list[list[str]]:
    """Split at sentence ends, and at a comma, "and" or "then" before another command or object."""
    clauses: list[list[str]] = [[]]
    for index, token in enumerate(tokens):
        if token in SENTENCE_ENDS:
            clauses.append([])
        elif token == "," or lower(token) in ("and", "then"):
            rest = list(tokens[index + 1 :])
            follows = bool(rest) and (lower(rest[0]) in words.DETERMINERS or _verb(rest) is not None)
            if follows and not ("between" in map(lower, clauses[-1]) and _verb(rest) is None):
                clauses.append([])
            elif token != ",":
                clauses[-1].append(token)
        else:
            clauses[-1].append(token)
    return [clause for clause in clauses if clause]


def _verb(clause: Sequence[str]) -> _Verb | None:
    """How a clause begins if it is a command, a question or a wish, else None."""
    rest = _without_openings(clause, words.OPENINGS)
    if len(rest) > 2 and lower(rest[0]) == "go" and lower(rest[1]) in words.VERBS:  # "go find the cup"
        rest = rest[1:]
    opened = len(clause) - len(rest)
    asking = next((phrase for phrase in words.ASKING if begins_with(rest, phrase)), None)
    if asking is not None and len(rest) > len(asking):
        return _Verb("", opened + len(asking))
    if len(rest) < 2:
        return None
    name = lower(rest[0])
    if name in ("is", "are") and lower(rest[1]) in words.DETERMINERS:  # "is the banana next to the cup?"
        return _Verb("", opened + 1)
    if opened:
        name = words.GERUNDS.get(name, name)
    following = list(map(lower, rest[1:]))
    links = 0
    while links < len(following) and following[links] in words.PERSONS | words.PARTICLES:
        links += 1
    if links == len(following):
        return None
    verb = _Verb(name, opened + 1 + links)
    has_object = following[links] in words.DETERMINERS | words.PRONOUNS
    if name not in words.VERBS:
        # No name begins with a verb and a determiner, so this is a command whose verb the tagger knows.
        return verb if has_object and tag(" ".join(rest))[0][1] in ("VB", "VBP") else None
    if has_object or name in words.CLEAR_VERBS or any(link in words.PERSONS for link in following[:links]):
        return verb
    if (name, following[0]) in words.CLEAR_VERB_PAIRS and " ".join((name, *following)) not in words.NAMES_LIKE_COMMANDS:
        return verb
    if name in words.GRIPPING_VERBS and " ".join((name, *following)) not in words.NAMES_LIKE_COMMANDS:
        return _Verb(name, verb.length, certain=bool(opened))
    return None


def _is_filler(clause: Sequence[str]) -> bool:
    """Whether a clause says nothing about objects: a greeting, thanks, a verb that the next clause completes."""
    rest = _without_openings(_without_openings(clause, words.OPENINGS), words.CLOSINGS)
    return not rest or (len(rest) == 1 and lower(rest[0]) in words.VERBS)


def _without_openings(tokens: Sequence[str], openings: Iterable[Words]) -> list[str]:
    rest = list(tokens)
    while opening := next((phrase for phrase in openings if begins_with(rest, phrase)), None):
        rest = rest[len(opening) :]
        while rest and rest[0] == ",":
            rest = rest[1:]
    return rest
