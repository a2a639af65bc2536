"""A thing in words: its phrase, and where it lies ("red mug", which is next to "banana").

Tokens are words and punctuation marks as they were said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from openseg_ros.text import command_words as words
from openseg_ros.text.command_words import Words
from openseg_ros.text.part_of_speech import singularize, tag
from openseg_ros.text.vocabulary import Query, Relation

SENTENCE_ENDS = frozenset(".!?:")


@dataclass(frozen=True)
class NamedObject:
    """A thing that a part of the text names."""

    text: str
    aliases: Words = ()
    relations: tuple[Relation, ...] = ()


def named_object(tokens: Sequence[str], is_placing: bool = False) -> tuple[NamedObject | None, list[str]]:
    """The object that `tokens` begin with, and notes about what is left out.

    Args:
        tokens: without a verb.
        is_placing: whether the verb before them is one that moves the object ("put"), so that a place is its goal.
    """
    noun = [token for token in tokens if token != ","]
    if not noun or lower(noun[0]) in words.PRONOUNS:
        return None, []
    if lower(noun[0]) in ("where", "what"):
        noun = noun[1:]
    undetermined = noun
    while noun and lower(noun[0]) in words.DETERMINERS:
        noun = noun[2:] if len(noun) > 2 and lower(noun[1]) == "of" else noun[1:]
    determined = len(noun) < len(undetermined)
    place_at, place = _last_rank(noun)
    order = 1
    if len(noun) > 2 and lower(noun[0]) in words.ORDINALS:
        is_superlative = lower(noun[1]) in words.RANKS_BEFORE and lower(noun[1]) not in words.RANKS_OR_NAMES
        if is_superlative or (place and lower(place[0]) == "from"):
            order, noun, place_at = words.ORDINALS[lower(noun[0])], noun[1:], place_at - 1
    # The "to me" of "closest to me" is no closing.
    noun = noun[: place_at + len(place)] if place else without_closings(noun, words.CLOSINGS)
    noun, relations, notes = _without_place(noun, is_placing, determined)
    if len(noun) > 2 and determined and lower(noun[0]) == "far" and lower(noun[1]) in ("left", "right"):
        noun = noun[1:]  # "the far left cup" is the leftmost
    if len(noun) > 1 and lower(noun[0]) in words.RANKS_BEFORE:
        rank = lower(noun[0])
        is_side = rank in ("left", "right", "middle")
        if not is_side or (determined and lower(noun[1]).removesuffix("s") not in words.SIDED):
            relations.append(Relation(words.RANKS_BEFORE[rank]))
            noun = noun[1:]
            if len(noun) > 2 and lower(noun[0]) == "one" and lower(noun[1]) == "of":
                noun = noun[1:]
            if len(noun) > 1 and lower(noun[0]) == "of":  # "the largest of the bowls"
                noun = _without_determiners(noun[1:])
    if order > 1:
        relations = [relation if relation.references else replace(relation, rank=order) for relation in relations]
    while len(noun) > 1 and lower(noun[0]) in words.COUNTS:
        is_of = lower(noun[1]) == "of"
        if not is_of and _plural_position(noun) is None:
            break
        notes.append(f"the number '{noun[0]}' is not used")
        noun = _without_determiners(noun[2:] if is_of else noun[1:])
    plural = _plural_position(noun)
    if not noun or all(lower(word) in words.OBJECTLESS for word in noun):
        return None, []
    aliases: Words = ()
    if plural is not None:
        aliases = (" ".join((*noun[:plural], singularize(noun[plural]), *noun[plural + 1 :])),)
    return NamedObject(" ".join(noun), aliases, tuple(relations)), notes


def _without_place(
    noun: Sequence[str], is_placing: bool, determined: bool
) -> tuple[list[str], list[Relation], list[str]]:
    """Cut off where the object lies or is to go: the rest, the relations, notes about what is not kept."""
    rank_at, rank = _last_rank(noun)
    relation_at, relation = _first_relation(noun, determined)
    goal_at, _ = first_phrase(noun, (("to",), ("into",), ("onto",)))
    # In "the mug next to the plate on the left", it is the plate's.
    if rank and rank_at <= relation_at and not (is_placing and rank[0] == "to"):
        return (
            without_closings(noun[:rank_at], words.CLOSINGS + words.POSTURES),
            [Relation(words.RANKS_AFTER[rank])],
            [],
        )
    at = min(relation_at, goal_at)
    target = without_closings(noun[:at], words.CLOSINGS + words.POSTURES)
    if at == len(noun):
        return list(noun), [], []
    if goal_at < relation_at or (is_placing and words.RELATIONS[relation] != "from"):
        return target, [], [f"'{' '.join(noun[at:])}' is not used: nothing is moved here, only found"]
    name = words.RELATIONS[relation]
    named = noun[at + len(relation) :]
    halves = [named]
    if name == "between" and (middle := first_phrase(named, (("and",),))[0]) < len(named) - 1:
        halves = [named[:middle], named[middle + 1 :]]
    references = [_reference(half) for half in halves]
    return (
        target,
        [Relation(name, tuple(query for query, _ in references))],
        [n for _, notes in references for n in notes],
    )


def _reference(tokens: Sequence[str]) -> tuple[Query, list[str]]:
    """What a relation names, with its own relations ("the plate next to the bowl"), and notes."""
    found, notes = named_object(tokens)
    if found is None:
        return Query(" ".join(tokens)), []
    return Query(found.text, found.aliases, relations=found.relations), notes


def _first_relation(noun: Sequence[str], determined: bool) -> tuple[int, Words]:
    """Where another object is brought in, and by which words.

    A single "on" or "in" belongs to a name ("the plug in heater") unless a determiner follows, or none was said at all
    ("find cup on table").
    """
    position, spelling = first_phrase(noun, words.RELATIONS)
    while spelling:
        following = noun[position + len(spelling) :]
        is_clear = spelling in words.CLEAR_RELATIONS or not determined
        if following and (is_clear or lower(following[0]) in words.DETERMINERS):
            break
        position, spelling = first_phrase(noun, words.RELATIONS, first=position + 1)
    return position, spelling


def _last_rank(noun: Sequence[str]) -> tuple[int, Words]:
    """Position and words of the place among its likes that `noun` ends with, closings aside."""
    position, rank = first_phrase(noun, words.RANKS_AFTER)
    while rank and len(without_closings(noun[position + len(rank) - 1 :], words.CLOSINGS)) > 1:
        position, rank = first_phrase(noun, words.RANKS_AFTER, first=position + 1)
    return position, rank


def _plural_position(noun: Sequence[str]) -> int | None:
    """Where in `noun` its head is, if that is a plural with a singular of its own."""
    head = (
        next((index for index, word in enumerate(noun) if index and lower(word) in words.POSTMODIFIERS), len(noun)) - 1
    )
    if head < 0 or lower(noun[head]) in words.PAIRS:
        return None
    is_plural = tag(lower(noun[head]))[0][1] == "NNS" and singularize(noun[head]) != noun[head]
    return head if is_plural else None


def _without_determiners(tokens: Sequence[str]) -> list[str]:
    rest = list(tokens)
    while rest and lower(rest[0]) in words.DETERMINERS:
        rest = rest[1:]
    return rest


def has_place(tokens: Sequence[str]) -> bool:
    """Whether words without a command unmistakably tell a place, and are no name like "jack in the box"."""
    determined = len(tokens) > 1 and lower(tokens[0]) in words.DETERMINERS
    first = lower(tokens[1 if determined else 0]) if tokens else ""
    if first in words.RANKS_BEFORE and (determined or first not in words.RANKS_OR_NAMES):
        return True
    if _last_rank(tokens)[1]:
        return True
    position, relation = first_phrase(tokens, words.RELATIONS)
    while relation:
        following = tokens[position + len(relation) :]
        names_another = bool(following) and lower(following[0]) in words.DETERMINERS
        if following and (len(relation) > 1 or (names_another and (determined or relation in words.CLEAR_RELATIONS))):
            return True
        position, relation = first_phrase(tokens, words.RELATIONS, first=position + 1)
    return False


def without_closings(tokens: Sequence[str], closings: Iterable[Words]) -> list[str]:
    """`tokens` without what may follow an object; the first word always stays."""
    rest = list(tokens)
    while True:
        while rest and (rest[-1] == "," or rest[-1] in SENTENCE_ENDS):
            rest.pop()
        closing = next(
            (phrase for phrase in closings if len(phrase) < len(rest) and begins_with(rest[-len(phrase) :], phrase)),
            None,
        )
        if closing is None:
            return rest
        rest = rest[: -len(closing)]


def first_phrase(tokens: Sequence[str], phrases: Iterable[Words], first: int = 1) -> tuple[int, Words]:
    """Position and words of the earliest of `phrases` from position `first`, the longest if several begin there."""
    longest_first = sorted(phrases, key=len, reverse=True)
    for index in range(first, len(tokens)):
        for phrase in longest_first:
            if begins_with(tokens[index:], phrase):
                return index, phrase
    return len(tokens), ()


def begins_with(tokens: Sequence[str], phrase: Words) -> bool:
    """Whether `tokens` begin with `phrase`, in any case."""
    return tuple(map(lower, tokens[: len(phrase)])) == phrase


def lower(token: str) -> str:
    """`token` in lower case, with a typewriter's apostrophe."""
    return token.lower().replace("’", "'")
