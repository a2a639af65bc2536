"""How well recorded masks agree with the truth: mIoU and grounding mIoU over the phrases that were asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from openseg_ros.bags.ground_truth import TrueImage
from openseg_ros.bags.recorded_run import Phrase, RecordedRun


@dataclass(frozen=True)
class PhraseAgreement:
    """One phrase over all images."""

    phrase: str
    iou: float | None  # None: neither there nor predicted
    grounding_iou: float | None
    images: int  # that show it


@dataclass(frozen=True)
class Agreement:
    """All phrases over all images with a mask and a truth."""

    images: int
    miou: float | None  # mean over the phrases that are there; None: none is
    grounding_miou: float | None
    phrases: tuple[PhraseAgreement, ...]
    image_iou: dict[int, float]  # by stamp: mean over the phrases that this image shows


def agreement(run: RecordedRun, truth: Mapping[int, TrueImage]) -> Agreement:
    """Compare the masks of a run with the truth of the same stamps.

    Pixels are counted over all images, per phrase: those of an object that may be called so, and those labelled so.
    Unlabelled pixels (255, 65535) and those of the background are pixels of no phrase. Grounding mIoU, the paper's
    second figure, takes only the phrases of which an image shows something: here the pixels of the others become pixels
    of no phrase. They are not scored again, as they would be if the network were asked for the shown phrases alone.
    """
    # Per phrase: pixels in both, true, predicted, and predicted in images that show the phrase.
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(4, np.int64))
    shown: dict[str, int] = defaultdict(int)
    image_iou: dict[int, float] = {}
    compared = 0
    for stamp, phrases in run.phrases_at().items():
        if stamp not in truth or stamp not in run.masks:
            continue
        compared += 1
        pixels = _pixels(run.masks[stamp].ids(), truth[stamp], phrases)
        there = pixels[:, 1] > 0
        for row, phrase in enumerate(phrases):
            both, true, predicted = pixels[row].tolist()
            counts[phrase.text] += (both, true, predicted, predicted if there[row] else 0)
            shown[phrase.text] += bool(there[row])
        if there.any():
            both, true, predicted = pixels[there].T
            image_iou[stamp] = float((both / (true + predicted - both)).mean())
    rows = tuple(
        PhraseAgreement(
            phrase=phrase,
            iou=_ratio(both, true + predicted - both),
            grounding_iou=_ratio(both, true + grounded - both),
            images=shown[phrase],
        )
        for phrase, (both, true, predicted, grounded) in ((name, row.tolist()) for name, row in counts.items())
    )
    return Agreement(
        images=compared,
        miou=_mean([row.iou for row in rows if row.images and row.iou is not None]),
        grounding_miou=_mean([row.grounding_iou for row in rows if row.images and row.grounding_iou is not None]),
        phrases=rows,
        image_iou=image_iou,
    )


def true_labels(truth: TrueImage, phrases: tuple[Phrase, ...], size: tuple[int, int]) -> np.ndarray:
    """(H, W) int: the label that each pixel should have, 0 for none.

    An object gets the first phrase that it may be called. Truth of another size than the mask is sampled, nearest
    pixel.
    """
    ids = truth.ids.ids()
    rows, columns = ((np.arange(to) + 0.5) * of / to for to, of in zip(size, ids.shape, strict=True))
    ids = ids[rows.astype(int)[:, None], columns.astype(int)]
    table = np.zeros(int(ids.max()) + 1, np.int64)
    for number, names in truth.names.items():
        label = next((label for label, phrase in enumerate(phrases, start=1) if phrase.names & names), 0)
        if 0 < number < len(table):
            table[number] = label
    return table[ids]


def _pixels(mask: np.ndarray, truth: TrueImage, phrases: tuple[Phrase, ...]) -> np.ndarray:
    """(K, 3): pixels in both, true and predicted, per label."""
    number = len(phrases) + 1
    true = true_labels(truth, phrases, (mask.shape[0], mask.shape[1]))
    predicted = np.where(mask < number, mask, 0).astype(np.int64)  # unlabelled is no phrase
    pairs = np.bincount((true * number + predicted).ravel(), minlength=number**2).reshape(number, number)
    return np.stack([pairs.diagonal(), pairs.sum(1), pairs.sum(0)], axis=1)[1:]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
