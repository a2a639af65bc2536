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
from dataclasses import dataclass

from textblob.en import tag
from textblob.en.inflect import singularize

from openseg_ros.text import command_words as words
from openseg_ros.text.command_words import Words
from openseg_ros.text.vocabulary import MAX_PHRASE_CHARACTERS, Query, Relation

_TOKEN = re.compile(r"(?:[^\s,.!?:\"“”„«»()]|[.,:](?=\d))+|[,.!?:]")
_SENTENCE_ENDS = frozenset(".!?:")


@dataclass(frozen=True)
class ParsedQueries:
    """What a text asks for."""

    queries: tuple[Query, ...]  # the first object of the first command is marked as target
    message: str = ""  # for the person who asked: what was left out, changed or not understood; "" if nothing


@dataclass(frozen=True)
class _Object:
    """A thing that a part of the text names."""

    text: str
    aliases: Words = ()
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True)
class _Part:
    """What one of the pieces between ";" says."""

    objects: tuple[_Object, ...]
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
        plain phrases where several words make them unmistakable. A plural in a command gets its singular as alias.
    """
    parts = [_parse_part(part.strip()) for part in re.split(r"[;\n\r]+", text) if part.strip()]
    command = next((part for part in parts if part.is_command), None)
    objects = [(part_object, part) for part in parts for part_object in part.objects]
    notes = [note for part in parts for note in part.notes]
    notes += [
        f"'{found.text}' is chosen by: {', '.join(relation.spoken for relation in found.relations)}"
        for found, _ in objects
        if found.relations
    ]
    return ParsedQueries(
        queries=tuple(
            Query(
                found.text,
                found.aliases,
                is_target=part is command and found is command.objects[0],
                relations=found.relations,
            )
            for found, part in objects
        ),
        message="; ".join(dict.fromkeys(notes)),
    )


def _parse_part(part: str) -> _Part:
    if len(part) > MAX_PHRASE_CHARACTERS:  # no sentence to a robot; the check of the phrases will reject it
        return _Part((_Object(part),))
    tokens = _TOKEN.findall(part)
    clauses = _clauses(tokens)
    verbs = [_verb(clause) for clause in clauses]
    if not any(verbs):
        return _plain(part, tokens)
    objects: list[_Object] = []
    notes: list[str] = []
    for clause, verb in zip(clauses, verbs, strict=True):
        if verb is None and not (objects and _lower(clause[0]) in words.DETERMINERS):
            if not _is_filler(clause):
                notes.append(f"'{' '.join(clause)}' is not used")
            continue
        start = verb.length if verb is not None else 0
        found, left_out = _object(clause[start:], verb)
        if found is None:
            notes.append(f"'{' '.join(clause)}' names nothing to look for")
            continue
        if verb is not None and not verb.certain:
            notes.append(f"'{' '.join(clause)}' may be a name or a command, so it and '{found.text}' are looked for")
            found = _Object(" ".join(clause), (found.text, *found.aliases), found.relations)
        elif found.aliases:
            notes.append(f"'{found.text}' is also looked for as '{found.aliases[0]}'")
        objects.append(found)
        notes += left_out
    if not objects:
        return _Part((_Object(part),), notes=(f"'{part}' names nothing to look for and is used whole",))
    return _Part(tuple(objects), is_command=True, notes=tuple(notes))


def _plain(part: str, tokens: Sequence[str]) -> _Part:
    """A part without a command: itself, but for politeness, a final stop, and an unmistakable relation."""
    text = part.strip(" \t,.!?") or part
    notes = []
    polite = _without_closings(_without_openings(tokens, words.POLITENESS), words.POLITENESS)
    core = [token for token in polite if token not in _SENTENCE_ENDS]
    if core and len(core) < len([token for token in tokens if token not in _SENTENCE_ENDS]):
        text = " ".join(core).replace(" ,", ",").strip(" ,")
    position, relation = _first_phrase(core, [spelling for spelling in words.RELATIONS if len(spelling) > 1])
    if relation and position + len(relation) < len(core):
        found, left_out = _object(core, None)
        if found is not None:
            return _Part((_Object(found.text, relations=found.relations),), notes=tuple(left_out))
    if any(_lower(token) in words.SENTENCE_WORDS for token in tokens):
        notes.append(f"'{text}' is not understood as a command and is used whole")
    elif "," in text:
        notes.append(f"'{text}' is looked for as one thing; separate several with ';'")
    return _Part((_Object(text),), notes=tuple(notes))


def _clauses(tokens: Sequence[str]) -> list[list[str]]:
    """Split at sentence ends, and at a comma, "and" or "then" before another command or object."""
    clauses: list[list[str]] = [[]]
    for index, token in enumerate(tokens):
        if token in _SENTENCE_ENDS:
            clauses.append([])
        elif token == "," or _lower(token) in ("and", "then"):
            rest = list(tokens[index + 1 :])
            follows = bool(rest) and (_lower(rest[0]) in words.DETERMINERS or _verb(rest) is not None)
            if follows and not ("between" in map(_lower, clauses[-1]) and _verb(rest) is None):
                clauses.append([])
            elif token != ",":
                clauses[-1].append(token)
        else:
            clauses[-1].append(token)
    return [clause for clause in clauses if clause]


def _verb(clause: Sequence[str]) -> _Verb | None:
    """How a clause begins if it is a command, a question or a wish, else None."""
    rest = _without_openings(clause, words.OPENINGS)
    if len(rest) > 2 and _lower(rest[0]) == "go" and _lower(rest[1]) in words.VERBS:  # "go find the cup"
        rest = rest[1:]
    opened = len(clause) - len(rest)
    asking = next((phrase for phrase in words.ASKING if _begins(rest, phrase)), None)
    if asking is not None and len(rest) > len(asking):
        return _Verb("", opened + len(asking))
    if len(rest) < 2:
        return None
    name = _lower(rest[0])
    if opened:
        name = words.GERUNDS.get(name, name)
    following = list(map(_lower, rest[1:]))
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


def _object(tokens: Sequence[str], verb: _Verb | None) -> tuple[_Object | None, list[str]]:
    """The object that `tokens` begin with, and notes about what is left out."""
    noun = [token for token in tokens if token != ","]
    if not noun or _lower(noun[0]) in words.PRONOUNS:
        return None, []
    if _lower(noun[0]) in ("where", "what"):
        noun = noun[1:]
    undetermined = noun
    while noun and _lower(noun[0]) in words.DETERMINERS:
        noun = noun[2:] if len(noun) > 2 and _lower(noun[1]) == "of" else noun[1:]
    determined = len(noun) < len(undetermined)
    place_at, place = _first_phrase(noun, words.RANKS_AFTER)
    end = place_at + len(place)
    if place and len(_without_closings(noun[end - 1 :], words.CLOSINGS)) == 1:
        noun = noun[:end]  # the "to me" of "closest to me" is no closing
    else:
        noun = _without_closings(noun, words.CLOSINGS)
    noun, relations, notes = _without_place(noun, verb, determined)
    if len(noun) > 1 and _lower(noun[0]) in words.RANKS_BEFORE:
        rank = _lower(noun[0])
        is_side = rank in ("left", "right")
        if not is_side or (determined and _lower(noun[1]).removesuffix("s") not in words.SIDED):
            relations.append(Relation(words.RANKS_BEFORE[rank]))
            noun = noun[1:]
    plural = _plural_position(noun)
    if len(noun) > 1 and _lower(noun[0]) in words.COUNTS and (plural is not None or _lower(noun[1]) == "of"):
        notes.append(f"the number '{noun[0]}' is not used")
        noun = noun[2:] if _lower(noun[1]) == "of" else noun[1:]
        while noun and _lower(noun[0]) in words.DETERMINERS:
            noun = noun[1:]
        plural = _plural_position(noun)
    if not noun or all(_lower(word) in words.OBJECTLESS for word in noun):
        return None, []
    aliases: Words = ()
    if plural is not None:
        aliases = (" ".join((*noun[:plural], singularize(noun[plural]), *noun[plural + 1 :])),)
    return _Object(" ".join(noun), aliases, tuple(relations)), notes


def _without_place(
    noun: Sequence[str], verb: _Verb | None, determined: bool
) -> tuple[list[str], list[Relation], list[str]]:
    """Cut off where the object lies or is to go: the rest, the relations, notes about what is not kept."""
    is_placing = verb is not None and verb.name in words.PLACING_VERBS
    rank_at, rank = _first_phrase(noun, words.RANKS_AFTER)
    relation_at, relation = _first_relation(noun, determined)
    goal_at, _ = _first_phrase(noun, (("to",), ("into",), ("onto",)))
    if rank and rank_at + len(rank) == len(noun) and not (is_placing and rank[0] == "to"):
        return _without_closings(noun[:rank_at], words.CLOSINGS), [Relation(words.RANKS_AFTER[rank])], []
    at = min(relation_at, goal_at)
    target = _without_closings(noun[:at], words.CLOSINGS)
    if at == len(noun):
        return list(noun), [], []
    if goal_at < relation_at or (is_placing and words.RELATIONS[relation] != "from"):
        return target, [], [f"'{' '.join(noun[at:])}' is not used: nothing is moved here, only found"]
    name = words.RELATIONS[relation]
    named = noun[at + len(relation) :]
    halves = [named]
    if name == "between" and (middle := _first_phrase(named, (("and",),))[0]) < len(named) - 1:
        halves = [named[:middle], named[middle + 1 :]]
    references = [_reference(half) for half in halves]
    return (
        target,
        [Relation(name, tuple(query for query, _ in references))],
        [n for _, notes in references for n in notes],
    )


def _reference(tokens: Sequence[str]) -> tuple[Query, list[str]]:
    """What a relation names, with its own relations ("the plate next to the bowl"), and notes."""
    found, notes = _object(tokens, None)
    if found is None:
        return Query(" ".join(tokens)), []
    return Query(found.text, found.aliases, relations=found.relations), notes


def _first_relation(noun: Sequence[str], determined: bool) -> tuple[int, Words]:
    """Where another object is brought in, and by which words.

    A single "on" or "in" belongs to a name ("the plug in heater") unless a determiner follows, or none was said at all
    ("find cup on table").
    """
    position, spelling = _first_phrase(noun, words.RELATIONS)
    while spelling:
        following = noun[position + len(spelling) :]
        is_clear = spelling in words.CLEAR_RELATIONS or not determined
        if following and (is_clear or _lower(following[0]) in words.DETERMINERS):
            break
        position, spelling = _first_phrase(noun, words.RELATIONS, first=position + 1)
    return position, spelling


def _plural_position(noun: Sequence[str]) -> int | None:
    """Where in `noun` its head is, if that is a plural with a singular of its own."""
    head = (
        next((index for index, word in enumerate(noun) if index and _lower(word) in words.POSTMODIFIERS), len(noun)) - 1
    )
    if head < 0 or _lower(noun[head]) in words.PAIRS:
        return None
    is_plural = tag(_lower(noun[head]))[0][1] == "NNS" and singularize(noun[head]) != noun[head]
    return head if is_plural else None


def _without_openings(tokens: Sequence[str], openings: Iterable[Words]) -> list[str]:
    rest = list(tokens)
    while opening := next((phrase for phrase in openings if _begins(rest, phrase)), None):
        rest = rest[len(opening) :]
        while rest and rest[0] == ",":
            rest = rest[1:]
    return rest


def _without_closings(tokens: Sequence[str], closings: Iterable[Words]) -> list[str]:
    """`tokens` without what may follow an object; the first word always stays."""
    rest = list(tokens)
    while True:
        while rest and (rest[-1] == "," or rest[-1] in _SENTENCE_ENDS):
            rest.pop()
        closing = next(
            (phrase for phrase in closings if len(phrase) < len(rest) and _begins(rest[-len(phrase) :], phrase)), None
        )
        if closing is None:
            return rest
        rest = rest[: -len(closing)]


def _is_filler(clause: Sequence[str]) -> bool:
    """Whether a clause says nothing about objects: a greeting, thanks, a verb that the next clause completes."""
    rest = _without_openings(_without_openings(clause, words.OPENINGS), words.CLOSINGS)
    return not rest or (len(rest) == 1 and _lower(rest[0]) in words.VERBS)


def _first_phrase(tokens: Sequence[str], phrases: Iterable[Words], first: int = 1) -> tuple[int, Words]:
    """Position and words of the earliest of `phrases` from position `first`, the longest if several begin there."""
    longest_first = sorted(phrases, key=len, reverse=True)
    for index in range(first, len(tokens)):
        for phrase in longest_first:
            if _begins(tokens[index:], phrase):
                return index, phrase
    return len(tokens), ()


def _begins(tokens: Sequence[str], phrase: Words) -> bool:
    return tuple(map(_lower, tokens[: len(phrase)])) == phrase


def _lower(token: str) -> str:
    return token.lower().replace("’", "'")
