"""How often the best region for a phrase such as "red mug" is the right one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.evaluation.system import PhrasePrediction

MATCH_IOU = 0.5  # a region that overlaps the asked object by this is right


def fits(phrase: str, name: str) -> bool:
    """Whether a thing that is called `name` may be called `phrase`: "mug" fits a "red mug".

    The same noun at the end, and no other words than the name's: "orange" does not fit an "orange mug".
    """
    words, known = phrase.casefold().split(), name.casefold().split()
    return words[-1:] == known[-1:] and set(words) <= set(known)


def phrase_hits(prediction: PhrasePrediction, masks: np.ndarray, phrases: Sequence[str]) -> list[bool]:
    """For every phrase that fits one mask of the image: does the best region meet that mask (IoU >= 0.5)?

    Args:
        prediction: a system's answer.
        masks: (M, H, W) bool.
        phrases: (M,) what each mask is called.
    """
    unique = [index for index, phrase in enumerate(phrases) if sum(fits(phrase, other) for other in phrases) == 1]
    if not unique:
        return []
    found = prediction.find([phrases[index] for index in unique])
    wanted = masks[unique]
    intersection = (found & wanted).sum((1, 2))
    union = (found | wanted).sum((1, 2))
    return list(intersection >= MATCH_IOU * np.maximum(union, 1))
