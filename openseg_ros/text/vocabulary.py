"""A vocabulary: the queries that one image is scored with, encoded and frozen."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from openseg_ros.text.text_encoder import TextEncoder

MAX_PHRASE_CHARACTERS = 200
MAX_QUERIES = 1000  # looked for; and as many background queries
MAX_ALIASES = 32  # per query; with MAX_QUERIES it bounds what one message can make the encoder do
MAX_UINT8_LABELS = 254  # 255 is the unlabelled pixel of a uint8 mask
SHOWN_CHARACTERS = 40  # of a phrase in a message


class QueryError(ValueError):
    """None of the queries can be used; the message names what is wrong."""


@dataclass(frozen=True)
class Relation:
    """How an object lies to others, or among its likes; `openseg_ros.segmenter.relations` tells what each means."""

    name: str  # next to, left of, right of, behind, in front of, on, in, under, above, between, from, closest
    # The other objects, which may have relations themselves; none for a place among its likes: left, right, middle,
    # closest, farthest, largest, smallest.
    references: tuple[Query, ...] = ()
    rank: int = 1  # of a place among its likes: 2 with "left" is the second from the left

    @property
    def spoken(self) -> str:
        """In words, for messages."""
        if self.rank > 1:
            return f"number {self.rank} by {self.name}"
        return " ".join([self.name, " and ".join(f"'{reference.text}'" for reference in self.references)]).strip()


@dataclass(frozen=True)
class Query:
    """One thing to look for."""

    text: str
    aliases: tuple[str, ...] = ()  # other names; the best of all names counts (paper 4.3)
    threshold: float = -1.0  # probability from which a region is reported; negative: the segmenter's setting
    is_target: bool = False
    background: bool = False  # competes for regions and pixels, but is never reported
    relations: tuple[Relation, ...] = ()  # choose among the regions that look right


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """An immutable snapshot of queries; every output is scored with one and says its version."""

    version: int
    queries: tuple[Query, ...]
    labels: tuple[int, ...]  # per query: 1..K in order, 0 for background queries
    embeddings: np.ndarray  # (P, D) float32, unit length: all names of all queries, read-only
    owner: np.ndarray  # (P,) int: the query that a name belongs to, rising, read-only
    rejected: tuple[str, ...] = field(default=())  # names that cannot be used, each with the reason
    references: Vocabulary | None = None  # what the queries' relations name: looked for, but neither label nor region

    @cached_property
    def thresholds(self) -> np.ndarray:
        """(Q,) float32 probabilities; negative where a query has none of its own."""
        return np.array([query.threshold for query in self.queries], np.float32)

    @cached_property
    def background(self) -> np.ndarray:
        """(Q,) bool: which queries are background."""
        return np.array([query.background for query in self.queries], bool)

    @cached_property
    def num_labels(self) -> int:
        """K, the number of queries that are looked for (background queries are not)."""
        return max(self.labels, default=0)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Text of label 1, 2, … K."""
        return tuple(query.text for query in self.queries if not query.background)

    @cached_property
    def target(self) -> int | None:
        """Index of the query that the target mask answers: the first marked, else the first looked for."""
        asked = [index for index, query in enumerate(self.queries) if not query.background]
        return next((index for index in asked if self.queries[index].is_target), next(iter(asked), None))

    @cached_property
    def has_relations(self) -> bool:
        """Whether some query is chosen by its place."""
        return any(query.relations for query in self.queries)

    @property
    def mask_dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Type of the mask's pixels."""
        return np.uint8 if self.num_labels <= MAX_UINT8_LABELS else np.uint16

    @property
    def unlabelled(self) -> int:
        """The mask's value where no region lies: 255, or 65535 in a mask of 16 bits."""
        return int(np.iinfo(self.mask_dtype).max)


def build_vocabulary(queries: Sequence[Query], encoder: TextEncoder, version: int) -> Vocabulary:
    """Check, merge and encode queries.

    A name that cannot be used is left out and told in `rejected`; the others stay. Queries with the same text (but for
    case and spaces) become one with all aliases. A phrase that is looked for is not background as well: the looked-for
    one stays.

    Args:
        queries: what to look for, and what else may be there (background).
        encoder: turns names into vectors.
        version: number of the new snapshot.

    Raises:
        QueryError: more than 1000 queries, or queries are looked for but not one of them can be used.
    """
    for kind, count in Counter("background queries" if query.background else "queries" for query in queries).items():
        if count > MAX_QUERIES:
            raise QueryError(f"{count} {kind} are too many; at most {MAX_QUERIES} are possible")
    rejected: list[str] = []
    clean = [query for query in (_clean(query, rejected) for query in queries) if query is not None]
    merged = _merge(clean, rejected)

    names = [(index, name) for index, query in enumerate(merged) for name in (query.text, *query.aliases)]
    vectors = np.asarray(encoder.encode([name for _, name in names]), np.float32)
    if vectors.shape != (len(names), encoder.dim):
        raise QueryError(f"text encoder {encoder.name} gave {vectors.shape} for {len(names)} names of {encoder.dim}")
    usable = np.isfinite(vectors).all(1)
    rejected += [f"{_shown(names[row][1])}: the text encoder gives no vector" for row in np.flatnonzero(~usable)]
    owner = np.array([index for index, _ in names], np.intp)
    # A query whose every name failed is gone; the others move up.
    alive, owner_kept = np.unique(owner[usable], return_inverse=True)
    kept = tuple(merged[index] for index in alive)
    if any(not query.background for query in queries) and all(query.background for query in kept):
        raise QueryError("no query can be used: " + "; ".join(rejected))

    asked = np.cumsum([not query.background for query in kept])
    labels = tuple(0 if query.background else int(label) for query, label in zip(kept, asked, strict=True))
    embeddings = vectors[usable]
    embeddings.flags.writeable = owner_kept.flags.writeable = False
    named = [replace(reference, relations=()) for query in kept for reference in _references(query)]
    references = build_vocabulary(named, encoder, version) if named else None
    if references is not None:
        rejected += references.rejected
    return Vocabulary(version, kept, labels, embeddings, owner_kept, tuple(rejected), references)


def _references(query: Query) -> list[Query]:
    """Everything that the relations of a query name, also those of what they name."""
    direct = [reference for relation in query.relations for reference in relation.references]
    return direct + [deeper for reference in direct for deeper in _references(reference)]


def encode_phrases(phrases: Sequence[str], encoder: TextEncoder) -> np.ndarray:
    """The vectors of phrases, for those who compare them themselves.

    Returns:
        (P, D) float32, unit length, in the order of `phrases`.

    Raises:
        QueryError: no phrase, more than 1000, or some that cannot be used; all of those are named.
    """
    if not 0 < len(phrases) <= MAX_QUERIES:
        raise QueryError(f"{len(phrases)} phrases; 1 to {MAX_QUERIES} are possible")
    tidy = [_tidy(phrase) for phrase in phrases]
    faults = [
        f"phrase {number}, {_shown(phrase)}: {fault}"
        for number, phrase in enumerate(tidy, start=1)
        if (fault := _fault(phrase)) is not None
    ]
    if faults:
        raise QueryError("; ".join(faults))
    vectors = np.asarray(encoder.encode(tidy), np.float32)
    without = np.flatnonzero(~np.isfinite(vectors).all(1))
    if without.size:
        raise QueryError("the text encoder gives no vector for " + ", ".join(_shown(tidy[row]) for row in without))
    return vectors


def _clean(query: Query, rejected: list[str]) -> Query | None:
    """`query` with tidy names, or None; what is wrong is added to `rejected`."""
    text = _tidy(query.text)
    reason = _fault(text)
    if reason is None and (math.isnan(query.threshold) or query.threshold > 1):
        reason = f"threshold {query.threshold} is not a probability"
    if reason is not None:
        rejected.append(f"{_shown(query.text)}: {reason}")
        return None
    aliases = []
    for position, alias in enumerate(query.aliases):
        fault = _fault(_tidy(alias)) if position < MAX_ALIASES else f"more than {MAX_ALIASES} aliases"
        if fault is None:
            aliases.append(_tidy(alias))
        else:
            rejected.append(f"{_shown(alias)} (alias of {_shown(text)}): {fault}")
    relations = []
    for relation in query.relations:
        cleaned = (_clean(reference, rejected) for reference in relation.references)
        references = tuple(reference for reference in cleaned if reference is not None)
        if len(references) < len(relation.references):  # without it, any would do, and that was not asked for
            rejected.append(f"{_shown(text)}: what it is '{relation.name}' cannot be looked for")
            return None
        relations.append(replace(relation, references=references))
    return replace(query, text=text, aliases=tuple(aliases), relations=tuple(relations))


def _merge(queries: Sequence[Query], rejected: list[str]) -> list[Query]:
    """One query per text; the first keeps its place, looked for beats background, all aliases once.

    The relations are those of the target, else of the first; that others are not used is added to `rejected`.
    """
    merged: dict[str, Query] = {}
    for query in queries:
        key = query.text.casefold()
        first = merged.get(key)
        if first is None:
            merged[key] = query
            continue
        if first.background != query.background:
            merged[key] = query if first.background else first
            continue
        kept, dropped = (query, first) if query.is_target and not first.is_target else (first, query)
        if dropped.relations and dropped.relations != kept.relations:
            places = ", ".join(relation.spoken for relation in dropped.relations)
            rejected.append(f"{_shown(dropped.text)} ({places}): the same thing is asked for with another place")
        merged[key] = replace(
            first,
            relations=kept.relations,
            aliases=(*first.aliases, query.text, *query.aliases),
            threshold=first.threshold if first.threshold >= 0 else query.threshold,
            is_target=first.is_target or query.is_target,
        )
    return [replace(query, aliases=_distinct_aliases(query)) for query in merged.values()]


def _distinct_aliases(query: Query) -> tuple[str, ...]:
    names = {query.text.casefold(): query.text}
    for alias in query.aliases:
        names.setdefault(alias.casefold(), alias)
    return tuple(names.values())[1:]


def _tidy(text: str) -> str:
    """Control characters and lone surrogates become spaces, runs of spaces one space."""
    # Tokenisers fail on lone surrogates, which arrive when a peer sends bytes that are not UTF-8.
    printable = "".join(" " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text)
    return " ".join(printable.split())


def _fault(text: str) -> str | None:
    """Why a tidy text cannot name anything, or None."""
    if not text:
        return "it is empty"
    if len(text) > MAX_PHRASE_CHARACTERS:
        return f"it has {len(text)} characters; at most {MAX_PHRASE_CHARACTERS} are possible"
    # Letters and digits of any script, and symbols such as emoji.
    if not any(
        unicodedata.category(character)[0] in "LN" or unicodedata.category(character) == "So" for character in text
    ):
        return "it has no letter or digit"
    return None


def _shown(text: str) -> str:
    """`text` in quotes for a message: cut where it is long, unprintable characters escaped."""
    cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut) + "'"
