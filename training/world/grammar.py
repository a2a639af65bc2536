"""The little English grammar that captions need: articles, plurals, number words."""

from collections.abc import Sequence

NUMBER_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    "many",  # from thirteen on
)
_IRREGULAR = {
    "knife": "knives",
    "loaf": "loaves",
    "mouse": "mice",
    "dice": "dice",
    "box": "boxes",
    "calf": "calves",
}
_UNCOUNTABLE = {"bread", "tape", "cloth"}
_MEASURES = ("pair", "roll", "loaf", "jar", "bunch")  # "pair of scissors": the first word takes the plural


def _measure(noun: str) -> bool:
    words = noun.split()
    return len(words) > 2 and words[0] in _MEASURES and words[1] == "of"


def is_plural_only(noun: str) -> bool:
    """Whether a noun has no singular ("scissors", "marbles"); such a noun takes no article and cannot be
    counted.
    """
    last = noun.split()[-1]
    return not _measure(noun) and last.endswith("s") and not last.endswith(("ss", "us"))


def is_countable(noun: str) -> bool:
    """Whether "two ..." can be said of it."""
    return noun not in _UNCOUNTABLE and not is_plural_only(noun)


def plural(noun: str) -> str:
    """Plural of a countable noun: "red mug" -> "red mugs", "roll of tape" -> "rolls of tape"."""
    if _measure(noun):
        first, rest = noun.split(" ", 1)
        return f"{plural(first)} {rest}"
    head, _, last = noun.rpartition(" ")
    start = f"{head} " if head else ""
    if last in _IRREGULAR:
        return start + _IRREGULAR[last]
    if last.endswith(("s", "x", "ch", "sh")) or last in ("tomato", "potato"):
        return f"{start}{last}es"
    if last.endswith("y") and last[-2] not in "aeiou":
        return f"{start}{last[:-1]}ies"
    return f"{start}{last}s"


def described(noun: str, adjectives: Sequence[str]) -> str:
    """Puts adjectives where they belong: "red mug", but "roll of red tape"."""
    words = [word for word in adjectives if word]
    if _measure(noun) and noun.split()[0] in ("pair", "roll"):
        first, of, *rest = noun.split()
        return " ".join([first, of, *words, *rest])
    return " ".join([*words, noun])


def with_article(phrase: str, noun: str) -> str:
    """Puts "a" or "an" before a phrase where English has one.

    "a red mug", "an apple", but plain "red scissors" and "bread". `noun` is the bare noun of the phrase.
    """
    if not is_countable(noun):
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' and not phrase.startswith(('one', 'uni')) else 'a'} {phrase}"


def listed(items: Sequence[str]) -> str:
    """Joins items as in "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
