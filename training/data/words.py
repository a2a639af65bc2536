"""Words of captions (paper 3.2): nouns and adjectives, found by TextBlob's tagger, which ships its lexicon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textblob.en import tag


@dataclass(frozen=True)
class WordRule:
    """Which parts of a caption become words."""

    parts: Literal["noun_adjective", "noun_adjective_verb", "all"] = "noun_adjective"  # paper table 5: best
    # Adds each noun phrase ("red mug") as one more unit. Not in the paper, which has single words; robots are asked
    # for phrases, and MiniLM places "red mug" away from both "red" and "mug".
    phrases: bool = False
    # Words of place and order that the tagger calls nouns or adjectives; a mirrored image would make them wrong.
    ignored: tuple[str, ...] = (
        *("left", "right", "front", "back", "top", "bottom", "side", "next", "other", "few", "several", "many"),
        *("one", "two", "three", "four", "five", "six", "image", "picture", "photo", "view", "scene"),
        *("object", "objects", "thing", "things"),
    )


_TAGS = {
    "noun_adjective": ("NN", "JJ"),
    "noun_adjective_verb": ("NN", "JJ", "VB"),
    "all": ("",),
}

_OPEN_A_NOUN_PHRASE = ("DT", "PRP$", "CD", "JJ", "VBN", "VBG")


def extract_words(caption: str, rule: WordRule) -> list[str]:
    """Distinct lower-case words of `caption` that `rule` keeps, in order of appearance, then its phrases."""
    prefixes = _TAGS[rule.parts]
    words: dict[str, None] = {}
    phrases: dict[str, None] = {}
    run: list[tuple[str, bool]] = []  # adjacent kept adjectives and nouns, with "is a noun"
    for token, part in [*_nouns_mended(tag(caption)), (".", ".")]:
        word = token.lower()
        kept = part.startswith(prefixes) and word not in rule.ignored and any(c.isalpha() for c in word)
        if kept:
            words[word] = None
        if kept and part.startswith(("JJ", "NN")):
            run.append((word, part.startswith("NN")))
        else:
            phrases.update(dict.fromkeys(_phrases_of(run)))
            run = []
    return [*words, *(phrases if rule.phrases else ())]


def _nouns_mended(tagged: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Tags in which a word at a noun's place is a noun, though the tagger's lexicon has it as a verb.

    "a can", "a wrench", "a teddy bear": the base form of a verb never follows an article or an adjective, it follows a
    singular noun only with its object ("a man and a woman walk dogs"), and a modal stands before its verb ("a dog can
    run").
    """
    mended: list[tuple[str, str]] = []
    for index, (token, part) in enumerate(tagged):
        before = mended[-1][1] if mended else "."
        after = tagged[index + 1][1] if index + 1 < len(tagged) else "."
        takes_more = after.startswith(("VB", "RB") if part == "MD" else ("DT", "JJ", "NN", "PRP"))
        is_noun = part in ("VB", "VBP", "MD") and (
            before in _OPEN_A_NOUN_PHRASE or (before == "NN" and part != "VBP" and not takes_more)
        )
        mended.append((token, "NN" if is_noun else part))
    return mended


def extract_all(captions: Sequence[str], rule: WordRule) -> list[list[str]]:
    """`extract_words` of many captions; here, so that a process that only tags loads little."""
    return [extract_words(caption, rule) for caption in captions]


def _phrases_of(run: list[tuple[str, bool]]) -> list[str]:
    """Noun phrases of one run: all of it up to its last noun ("yellow rubber duck"), and its compound noun alone."""
    while run and not run[-1][1]:
        run = run[:-1]
    first_noun = next((index for index, (_, noun) in enumerate(run) if noun), 0)
    parts = [run, run[first_noun:]]
    return [" ".join(word for word, _ in part) for part in parts if len(part) > 1]
