"""The words by which `command` recognises and takes apart what people say to a robot. All lower case."""

from __future__ import annotations

from collections.abc import Iterable

Words = tuple[str, ...]


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


def _longest_first(phrases: Iterable[str]) -> tuple[Words, ...]:
    return tuple(sorted((tuple(phrase.split()) for phrase in phrases), key=len, reverse=True))


DETERMINERS = _words(
    "the a an that this these those my your our his her its their some any all every each both another whichever"
)
PERSONS = _words("me us him her them you everybody everyone")
PARTICLES = _words("up out for at over down away off back to onto into on towards around")
PRONOUNS = frozenset(("it", "them"))
OBJECTLESS = _words("one ones thing things object objects something anything everything stuff")
COUNTS = _words("one two three four five six seven eight nine ten")
SENTENCE_WORDS = PERSONS | _words("i we it he she they what who how why when where")

# No object's name begins with one of these, so even a bare noun after it ("find bottles") is its object.
CLEAR_VERBS = _words(
    "find locate fetch bring give detect segment retrieve identify seize collect grasp choose select remove"
)
# Names begin with these too ("pick hammer", "grab bar", "hold all"), so a bare noun after one proves nothing.
GRIPPING_VERBS = _words("pick grab get take lift hold")
# Verbs only before a determiner or a person: "hand me the soap", "clean the cup", but "hand soap", "clean cup".
OTHER_VERBS = _words(
    "hand pass show place put move push pull drop release touch reach raise track follow search look point go come use "
    "turn open close tell spot clean clear wipe pour fill empty stack see want need carry"
)
VERBS = CLEAR_VERBS | GRIPPING_VERBS | OTHER_VERBS
# After these, "on the plate" says where to, not where from.
PLACING_VERBS = _words("place put move drop push pull stack pour")
CLEAR_VERB_PAIRS = frozenset((("pick", "up"), ("look", "for"), ("search", "for"), ("look", "at"), ("point", "at")))
NAMES_LIKE_COMMANDS = frozenset(("pick up truck", "pick up trucks", "pick up line"))
GERUNDS = {
    "handing": "hand", "passing": "pass", "giving": "give", "bringing": "bring", "getting": "get", "fetching": "fetch",
    "picking": "pick", "taking": "take", "grabbing": "grab", "finding": "find", "showing": "show",
}  # fmt: skip

# Dropped before a command.
OPENINGS = _longest_first((
    "please", "kindly", "just", "now", "then", "and", "so", "ok", "okay", "hey", "hi", "hello", "robot", "carefully",
    "gently", "slowly", "quickly", "can you", "could you", "would you", "will you", "can we", "could we", "do you",
    "would you mind", "you should", "you can", "i want you to", "i need you to", "i would like you to",
    "i'd like you to", "i would like to", "i want to", "i'd like to", "we need to", "let's", "lets", "let us",
    "try to", "try and", "go and", "come and", "help me", "help me to",
))  # fmt: skip
# Stand for a verb: an object follows.
ASKING = _longest_first((
    "i want", "i need", "i would like", "i'd like", "we need", "we want", "where is", "where are", "where's",
    "is there", "are there", "which", "which of", "what about", "how about", "i am looking for", "i'm looking for",
))  # fmt: skip
# Dropped after an object.
CLOSINGS = _longest_first((
    "please", "thanks", "thank you", "now", "right now", "again", "instead", "too", "first", "robot",
    "for me", "for us", "for him", "for her", "for them", "to me", "to us", "to him", "to her", "to them",
    "up", "out", "over", "over here", "over there", "here", "there", "down", "away", "back", "off", "carefully",
    "gently", "slowly", "quickly", "as well", "if you can", "if possible", "will you", "would you", "can you",
    "could you", "that is", "which is", "that are", "which are", "that's", "that", "which", "is", "are",
))  # fmt: skip
# Dropped between an object and its relation: "the box standing behind the lamp".
POSTURES = _longest_first((
    "lying", "laying", "lies", "standing", "stands", "sitting", "sits", "resting", "rests", "leaning", "leans",
    "placed", "located", "situated", "positioned", "found", "hidden",
))  # fmt: skip
# Dropped around a plain phrase.
POLITENESS = _longest_first(("please", "thanks", "thank you"))

_RELATION_SPELLINGS = {
    "left of": "left of|to the left of|on the left of|at the left of|to left of|on the left side of|to the left side of"
    "|at the left side of",
    "right of": "right of|to the right of|on the right of|at the right of|to right of|on the right side of"
    "|to the right side of|at the right side of",
    "next to": "next to|beside|near|near to|close to|by|alongside|adjacent to",
    "behind": "behind|in back of",
    "in front of": "in front of",
    "on": "on|on top of|atop|upon|in the middle of|in the center of|in the centre of",
    "in": "in|inside|inside of|within",
    "under": "under|below|beneath|underneath",
    "above": "above",
    "between": "between|in between",
    "from": "from|out of|off of|off",
    "closest": "closest to|nearest to|closest|nearest",
}
# Stand between the object and another one; of several words, longest first, and the name that each spells.
RELATIONS = {tuple(words.split()): name for name, all_ in _RELATION_SPELLINGS.items() for words in all_.split("|")}
# Before a bare noun these are relations too; "on", "in", "by" occur in names ("plug in heater", "stick on label").
CLEAR_RELATIONS = frozenset(
    words for words in RELATIONS if len(words) > 1 or words[0] in ("behind", "beside", "near", "beneath", "between")
)
# A place among its likes, before the object ...
RANKS_BEFORE = {
    "left": "left", "leftmost": "left", "left-most": "left", "right": "right", "rightmost": "right",
    "right-most": "right", "middle": "middle", "closest": "closest", "nearest": "closest", "farthest": "farthest",
    "furthest": "farthest", "largest": "largest", "biggest": "largest", "larger": "largest", "bigger": "largest",
    "smallest": "smallest", "tiniest": "smallest", "smaller": "smallest",
}  # fmt: skip
# Before "largest mug" or "mug from the left": not the first of them.
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6,
    "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "6th": 6,
}  # fmt: skip
# ... where these occur in names too ("left hand", "middle ear"), so a determiner must be said ...
RANKS_OR_NAMES = _words("left right middle larger bigger smaller")
# ... or after it.
RANKS_AFTER = (
    {
        tuple(f"{preposition} {side}{suffix}".split()): side.split()[-1]
        for preposition in ("on", "to", "at", "from")
        for side in (
            "the left",
            "the right",
            "your left",
            "your right",
            "my left",
            "my right",
            "the far left",
            "the far right",
        )
        for suffix in ("", " side")
    }
    | {
        tuple(f"{word} {person}".split()): "closest"
        for word in ("closest to", "nearest to", "closest", "nearest")
        for person in ("me", "you", "us", "the robot", "the camera")
    }
    | {("from", side): side for side in ("left", "right")}
    | {("in", "the", place): "middle" for place in ("middle", "center", "centre")}
    | {(word, "away"): "farthest" for word in ("farther", "further", "farthest", "furthest")}
    | {
        tuple(f"{link} {word}".split()): rank
        for link in ("is", "is the", "that's", "that's the")
        for word, rank in RANKS_BEFORE.items()
        if word not in ("left", "right", "middle")
    }
)
# Things that are left or right ones wherever they lie.
SIDED = _words("hand glove shoe boot sock arm mitten slipper sandal sneaker earbud earring foot handed")
# Things of two parts: their singular is another thing, or none.
PAIRS = _words("glasses eyeglasses sunglasses scissors pliers tongs shears goggles tweezers pants jeans")
# Begin what describes the noun before it.
POSTMODIFIERS = _words("of with without for that which in on from made containing")
