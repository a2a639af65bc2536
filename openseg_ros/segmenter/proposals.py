"""Proposals: the network's masks for one image, cleaned of empty, vague and doubled ones.

Nothing here depends on words, so it is done once per image however many vocabularies are scored with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openseg_ros.runtime.engine import EngineOutput
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.segmenter.settings import SegmenterSettings


@dataclass(frozen=True)
class Proposals:
    """M class-agnostic regions of one image, at the network's grid, best mask quality first."""

    letterbox: Letterbox
    mask_logits: np.ndarray  # (M, h, w) float32, the cells that show the image
    soft_masks: np.ndarray  # (M, h, w) float32, sigmoid of the logits
    masks: np.ndarray  # (M, h, w) bool: the logit is positive
    area: np.ndarray  # (M,) float32 cells of each mask
    embeddings: np.ndarray  # (M, D) float32, unit length
    mask_quality: np.ndarray  # (M,) float32 in (0.5, 1]
    overlap: np.ndarray  # (M, M) float32: intersection over the smaller mask
    degraded: bool  # some of the network's output was not finite and has been dropped
    track_ids: tuple[str, ...] = ()  # M identities over several images; empty while nothing tracks

    def __len__(self) -> int:
        return len(self.mask_logits)


def select_proposals(output: EngineOutput, letterbox: Letterbox, settings: SegmenterSettings) -> Proposals:
    """Keep the useful masks of the one image in `output`.

    Args:
        output: the network's answer for a batch of 1.
        letterbox: geometry of the image.
        settings: the area, quality and overlap limits.
    """
    logits = letterbox.crop(output.mask_logits[0])
    embeddings = output.embeddings[0]
    # A sum is finite only if every term is (or +inf met -inf, which gives nan): cheaper than looking at every cell.
    finite = np.isfinite(logits.sum((1, 2))) & np.isfinite(embeddings.sum(1))
    masks = logits > 0
    area = np.count_nonzero(masks, axis=(1, 2))
    share = area / (masks.shape[1] * masks.shape[2])
    usable = finite & (area > 0) & (share >= settings.min_relative_area) & (share <= settings.max_relative_area)

    logits, embeddings = np.ascontiguousarray(logits[usable], np.float32), embeddings[usable]
    masks, area = masks[usable], area[usable].astype(np.float32)
    soft_masks = sigmoid(logits)
    as_float = masks.reshape(len(masks), logits.shape[1] * logits.shape[2]).astype(np.float32)
    quality = _quality(soft_masks.reshape(as_float.shape), as_float, area)
    order = np.argsort(-quality, kind="stable")
    order = order[quality[order] >= settings.min_mask_quality]

    common = as_float[order]
    intersection = common @ common.T  # common cells, exact below 2^24 of them
    area = area[order]
    kept = suppress_duplicates(intersection / (area[:, None] + area - intersection), settings.nms_iou)
    order, area, intersection = order[kept], area[kept], intersection[np.ix_(kept, kept)]
    return Proposals(
        letterbox=letterbox,
        mask_logits=logits[order],
        soft_masks=soft_masks[order],
        masks=masks[order],
        area=area,
        embeddings=embeddings[order],
        mask_quality=quality[order],
        overlap=intersection / np.minimum(area[:, None], area),
        degraded=not bool(finite.all()),
    )


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) in the type of `logits`, with one temporary."""
    result = np.negative(logits)
    with np.errstate(over="ignore"):  # exp(-x) of a very negative logit is inf, and the sigmoid rightly 0
        np.exp(result, out=result)
    result += 1
    np.divide(1, result, out=result)
    return result


def mask_quality(soft_masks: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Mean certainty inside each mask, (N,) float32: as MaskFormer's ensemble weighs it, it needs no words.

    Args:
        soft_masks: (N, cells) float32 in [0, 1].
        masks: (N, cells) bool; the quality of an empty one is 0.
    """
    return _quality(soft_masks, masks.astype(np.float32), np.count_nonzero(masks, axis=1))


def _quality(soft_masks: np.ndarray, masks: np.ndarray, area: np.ndarray) -> np.ndarray:
    """`mask_quality` of (N, cells) float32 0 or 1 with their (N,) areas: what has the same type goes fast."""
    quality: np.ndarray = np.einsum("nc,nc->n", soft_masks, masks) / np.maximum(area, 1)
    return quality.astype(np.float32, copy=False)


def suppress_duplicates(iou: np.ndarray, limit: float) -> np.ndarray:
    """Greedy non-maximum suppression without a loop over regions.

    A region goes if a better region *that stays itself* overlaps it by more than `limit`. The one-pass form of this
    ("fast NMS") also lets regions suppress that were suppressed: in a chain a > b > c with neighbours overlapping it
    drops c though c does not overlap a, and an object is lost. Repeating the pass until nothing changes gives exactly
    the greedy answer, since after pass k the k best regions are settled; two or three passes are usual.

    Args:
        iou: (M, M) float32, regions in falling order of quality.
        limit: largest IoU at which two regions are different ones.

    Returns:
        (M,) bool, True for the regions that stay.
    """
    suppresses = np.triu(iou > limit, k=1)
    kept: np.ndarray = np.ones(len(iou), bool)
    while True:
        settled = np.logical_not(np.any(suppresses & kept[:, None], axis=0))
        if np.array_equal(settled, kept):
            return kept
        kept = settled
