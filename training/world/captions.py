"""True English sentences about what a view shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from training.world import grammar
from training.world.room import BACKGROUND, FLOOR, WALL
from training.world.view import Segment, View

Rng = np.random.Generator
CAPTIONS_PER_VIEW = 5
SURROUNDINGS = 0.4  # share of captions, the first apart, that name floor, wall or background too
SEEN_SHARE = 0.02  # of the picture, from which a surface is worth a word
_SIZE_WORDS = {"big": ("big", "large"), "small": ("small", "little")}
_NEXT_TO = ("next to", "beside", "near")
_LEFT = ("to the left of", "left of")
_RIGHT = ("to the right of", "right of")
_FRONT = ("in front of",)
_BEHIND = ("behind",)
_UNDER_WORDS = ("on", "on top of")


def noun_phrase(thing: Segment, rng: Rng, *, colour: float = 0.6, article: bool = True) -> str:
    """One thing in words: a true noun, with its colour at the given probability, and pattern and size
    sometimes.
    """
    noun = thing.nouns[0]
    if len(thing.nouns) > 1 and rng.random() < 0.4:
        noun = thing.nouns[int(rng.integers(1, len(thing.nouns)))]
    adjectives = []
    if thing.size and rng.random() < 0.6:
        adjectives.append(str(rng.choice(_SIZE_WORDS[thing.size])))
    if thing.colour and rng.random() < colour:
        adjectives.append(thing.colour)
    if thing.pattern and rng.random() < 0.6:
        adjectives.append(thing.pattern)
    phrase = grammar.described(noun, adjectives)
    return grammar.with_article(phrase, noun) if article else phrase


def _groups(things: Sequence[Segment], rng: Rng) -> list[str]:
    """Phrases for all things, those of one name counted together ("two red mugs") half the time."""
    by_name: dict[str, list[Segment]] = {}
    for thing in things:
        by_name.setdefault(thing.name, []).append(thing)
    phrases: list[str] = []
    for group in by_name.values():
        countable = [noun for noun in group[0].nouns if grammar.is_countable(noun)]
        if len(group) > 1 and countable and rng.random() < 0.7:
            noun = countable[0]  # "two pairs of scissors"
            shared = {thing.colour for thing in group}
            colour = next(iter(shared)) if len(shared) == 1 and rng.random() < 0.6 else None
            words = grammar.plural(grammar.described(noun, [colour] if colour else []))
            phrases.append(f"{grammar.NUMBER_WORDS[min(len(group), len(grammar.NUMBER_WORDS) - 1)]} {words}")
        else:
            phrases.extend(noun_phrase(thing, rng, colour=0.6 if len(group) == 1 else 1.0) for thing in group)
    return phrases


def _pick(things: Sequence[Segment], rng: Rng, most: int) -> list[Segment]:
    """Some of the things in random order; the larger in the picture the likelier."""
    count = int(rng.integers(1, min(most, len(things)) + 1))
    weights = np.sqrt([thing.area for thing in things])
    chosen = rng.choice(len(things), size=count, replace=False, p=weights / weights.sum())
    return [things[int(i)] for i in chosen]


def relation(first: Segment, second: Segment, pose: np.ndarray, rng: Rng) -> str | None:
    """Where `first` is, seen from the camera, relative to `second`; None where no word would clearly be
    true.

    pose is camera to world (4, 4). "Behind" is away from the camera along the table, so it also holds
    top-down, where it is the upper side of the picture.
    """
    if first.support == second.id:
        return "in" if first.inside else str(rng.choice(_UNDER_WORDS))
    if second.support == first.id or first.support is not None or second.support is not None:
        return None
    offset = (np.array(first.position) - np.array(second.position))[:2]
    distance = float(np.hypot(*offset))
    if distance < max(first.radius, second.radius):
        return None
    away = pose[:2, 2] - pose[:2, 1]  # forwards and up in the picture agree on the table
    away = away / np.linalg.norm(away)
    ahead = float(offset @ away)
    right = float(offset[0] * away[1] - offset[1] * away[0])
    gap = distance - first.radius - second.radius
    options: list[str] = []
    if gap < 0.08:
        options.append(str(rng.choice(_NEXT_TO)))
    if abs(right) > 2.0 * abs(ahead) and distance > 0.04:
        options.append(str(rng.choice(_RIGHT if right > 0 else _LEFT)))
    elif abs(ahead) > 2.0 * abs(right) and distance > 0.04 and gap < 0.25:
        options.append(str(rng.choice(_BEHIND if ahead > 0 else _FRONT)))
    return str(rng.choice(options)) if options else None


def _where(view: View, rng: Rng) -> str:
    """Where the things are: "on a wooden table", "on the floor", or "" where that cannot be seen."""
    if not any(segment.name == view.ground for segment in view.segments):
        return ""
    if view.ground == FLOOR:
        return " on the floor"
    material = f"{view.table_word} " if view.table_word and rng.random() < 0.75 else ""
    return f" on {rng.choice(['a', 'a', 'the'])} {material}table"


def _everything(view: View, things: Sequence[Segment], rng: Rng) -> str:
    order = [things[int(i)] for i in rng.permutation(len(things))]
    names = _groups(order, rng)
    several = names[0].split()[0] in grammar.NUMBER_WORDS
    start = str(rng.choice(["", "", "a photo of ", "there are " if several else "there is "]))
    return f"{start}{grammar.listed(names)}{_where(view, rng)}"


def _some(view: View, things: Sequence[Segment], rng: Rng) -> str:
    start = str(rng.choice(["", "", "a photo of ", "a close view of ", "a picture showing "]))
    names = grammar.listed([noun_phrase(thing, rng) for thing in _pick(things, rng, 3)])
    return f"{start}{names}{_where(view, rng) if rng.random() < 0.7 else ''}"


def _one(view: View, things: Sequence[Segment], rng: Rng) -> str:
    thing = _pick(things, rng, 1)[0]
    return f"{noun_phrase(thing, rng, colour=0.85)}{_where(view, rng) if rng.random() < 0.5 else ''}"


def _related(view: View, things: Sequence[Segment], rng: Rng) -> str:
    on_others = [t for t in things if t.support is not None]
    for _ in range(12):
        first, second = (things[int(i)] for i in rng.permutation(len(things))[:2]) if len(things) > 1 else (None, None)
        if on_others and rng.random() < 0.5:
            first = on_others[int(rng.integers(len(on_others)))]
            second = next(t for t in things if t.id == first.support)
        if first is None or second is None:
            break
        words = relation(first, second, view.pose, rng)
        if words is not None and first.name != second.name:
            tail = _where(view, rng) if rng.random() < 0.4 and first.support is None else ""
            return f"{noun_phrase(first, rng)} {words} {noun_phrase(second, rng)}{tail}"
    return _some(view, things, rng)


def _bare_list(view: View, things: Sequence[Segment], rng: Rng) -> str:
    del view
    return ", ".join(noun_phrase(thing, rng, colour=0.5, article=False) for thing in _pick(things, rng, 6))


def _table_with(view: View, things: Sequence[Segment], rng: Rng) -> str:
    if view.ground == FLOOR or not _where(view, rng):
        return _some(view, things, rng)
    table = grammar.with_article(f"{view.table_word} table" if view.table_word else "table", "table")
    chosen = _pick(things, rng, 4)
    rest = " and other things" if len(chosen) < len(things) and rng.random() < 0.4 else ""
    names = [noun_phrase(thing, rng) for thing in chosen]
    return f"{table} with {', '.join(names) + rest if rest else grammar.listed(names)}{'' if rest else ' on it'}"


def surroundings(shares: Mapping[str, float], rng: Rng) -> str:
    """What else can be seen, as the end of a sentence: ", with a wall and the floor in view"; "" where nothing can.

    shares: name of a surface to its share of the picture.
    """
    seen = [name for name in (FLOOR, WALL) if shares.get(name, 0.0) >= SEEN_SHARE]
    ends = []
    if seen:
        names = [f"{rng.choice(['a', 'the'])} {seen[int(index)]}" for index in rng.permutation(len(seen))]
        ends.append(f"{grammar.listed(names)} in view")
    if shares.get(BACKGROUND, 0.0) >= SEEN_SHARE:
        ends.append("a photo in the background")
    return f", with {' and '.join(ends)}" if ends else ""


_FORMS: tuple[tuple[Callable[[View, Sequence[Segment], Rng], str], float], ...] = (
    (_everything, 0.26),
    (_some, 0.20),
    (_one, 0.12),
    (_related, 0.26),
    (_bare_list, 0.08),
    (_table_with, 0.08),
)


def write_captions(view: View, rng: Rng, count: int = CAPTIONS_PER_VIEW) -> list[str]:
    """`count` captions; the first names everything visible, the others are of random form. They mention
    only what `view.segments` holds.
    """
    things = [segment for segment in view.segments if segment.is_thing]
    if not things:
        names = {segment.name for segment in view.segments}
        empty = f"an empty {view.table_word + ' ' if view.table_word else ''}{view.ground}"
        return [empty if view.ground in names else "a room"] * count
    total = sum(segment.area for segment in view.segments)
    shares = {
        segment.name: segment.area / total
        for segment in view.segments
        if not segment.is_thing and segment.name != view.ground
    }
    room_rng = rng.spawn(1)[0]  # of its own, so that pictures do not depend on these words
    weights = np.array([weight for _, weight in _FORMS])
    captions = []
    for index in range(count):
        form = _everything if index == 0 else _FORMS[int(rng.choice(len(_FORMS), p=weights / weights.sum()))][0]
        text = form(view, things, rng)
        if index == 0 or room_rng.random() < SURROUNDINGS:
            text += surroundings(shares, room_rng)
        captions.append(f"{text[0].upper()}{text[1:]}." if rng.random() < 0.5 else text)
    return captions
