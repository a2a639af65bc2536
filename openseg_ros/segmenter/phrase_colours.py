"""The colour of a phrase, in pictures and wherever else people meet it."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Iterable

Colour = tuple[int, int, int]  # red green blue

HUES = 12  # that people tell from each other


def phrase_colours(phrases: Iterable[str]) -> dict[str, Colour]:
    """RGB per phrase.

    A phrase brings its own hue, so it keeps its colour from one vocabulary to the next. Only where an earlier phrase
    has taken that hue, it moves to a free one; above twelve phrases hues repeat.
    """
    colours: dict[str, Colour] = {}
    taken: list[int] = []
    for phrase in dict.fromkeys(phrases):
        hue = hashlib.blake2b(phrase.casefold().encode("utf-8", "replace"), digest_size=1).digest()[0] % HUES
        if len(taken) % HUES:
            while hue in taken[len(taken) // HUES * HUES :]:
                hue = (hue + 5) % HUES  # not the neighbour, which looks alike; 5 and 12 have no common divisor
        taken.append(hue)
        red, green, blue = colorsys.hsv_to_rgb(hue / HUES, 0.85, 1.0)
        colours[phrase] = (round(red * 255), round(green * 255), round(blue * 255))
    return colours
