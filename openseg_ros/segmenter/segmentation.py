"""The answer for one image and one vocabulary; every picture in it is made when it is first read, and only then."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.segmenter.proposals import Proposals
from openseg_ros.segmenter.relations import Relations
from openseg_ros.segmenter.scoring import Scores, Status, best_answer, camera_masks
from openseg_ros.segmenter.settings import SegmenterSettings
from openseg_ros.text.vocabulary import Vocabulary

__all__ = ["QueryResult", "Regions", "Segmentation", "Status"]

EPSILON = 1e-6  # below it no region covers a cell and the share of a class means nothing


@dataclass(frozen=True)
class Regions:
    """The R reported regions, best score first."""

    id: np.ndarray  # (R,) uint16, 1..R: the value in `instances`
    label: np.ndarray  # (R,) uint16: the value in `mask`
    phrase: tuple[str, ...]  # what the region is called
    score: np.ndarray  # (R,) float32, calibrated probability
    margin: np.ndarray  # (R,) float32: score minus that of the second best query, or minus 0
    mask_quality: np.ndarray  # (R,) float32, needs no words
    roi: np.ndarray  # (R, 4) int64: x y width height, tight, camera pixels
    area: np.ndarray  # (R,) int64, camera pixels
    embeddings: np.ndarray  # (R, D) float32, unit length
    track_id: tuple[str, ...]  # identity over several images; "" while nothing tracks

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True)
class QueryResult:
    """The answer to one query."""

    text: str
    status: Status  # OK, NOT_FOUND or AMBIGUOUS
    region: int | None  # id of the best region; it may bear another, better fitting phrase
    score: float  # of that region for this query, or the best of all regions if none is good enough
    reason: str = ""  # why no region satisfies the query's relations, or which cannot be told apart; else empty


class Segmentation:
    """What `Segmenter.segment` returns. Immutable; arrays are shared, not copied: do not write into them."""

    def __init__(
        self,
        proposals: Proposals,
        vocabulary: Vocabulary,
        scores: Scores,
        settings: SegmenterSettings,
        points: ImagePoints | None = None,
    ) -> None:
        """See `Segmenter.segment`."""
        self.height, self.width = proposals.letterbox.image_size
        self.vocabulary = vocabulary
        self._proposals = proposals
        self._scores = scores
        self._settings = settings
        self._points = points

    @cached_property
    def regions(self) -> Regions:
        """The reported regions."""
        scores = self._scores
        labels = np.array((*self.vocabulary.labels, 0), np.uint16)  # the 0 keeps the type without queries
        return self._describe(
            scores.reported,
            scores.boxes,
            scores.masks,
            first_id=1,
            label=labels[scores.labelled],
            phrase=tuple(self.vocabulary.queries[query].text for query in scores.labelled),
            score=scores.probability[scores.reported, scores.labelled],
            margin=scores.margin,
        )

    @cached_property
    def unmatched(self) -> Regions:
        """Proposals that are not reported, for those who compare embeddings themselves: label 0, phrase "", margin 0.

        They answer no query, or a better region of the same name lies on the same thing. Best mask quality first, ids
        after those of `regions`, which they never share in `instances`. The score is the best for any query looked for,
        0 without one. `max_regions` bounds both together.
        """
        chosen, boxes, masks = self._unmatched
        asked = ~self.vocabulary.background
        return self._describe(
            chosen,
            boxes,
            masks,
            first_id=len(self._scores.reported) + 1,
            label=np.zeros(len(chosen), np.uint16),
            phrase=("",) * len(chosen),
            score=self._scores.probability[chosen][:, asked].max(1, initial=0.0),
            margin=np.zeros(len(chosen), np.float32),
        )

    @cached_property
    def query_results(self) -> tuple[QueryResult, ...]:
        """One result per query that is not background, in order."""
        return tuple(self._result(index) for index, query in enumerate(self.vocabulary.queries) if not query.background)

    @cached_property
    def target_result(self) -> QueryResult | None:
        """Result of the query marked as target, else of the first; None without a query."""
        target = self.vocabulary.target
        return None if target is None else self._result(target)

    @property
    def target_score(self) -> float:
        """Probability of the target's best region, whether it passes its threshold or not; 0 without a query."""
        return self.target_result.score if self.target_result is not None else 0.0

    @property
    def target_region(self) -> int | None:
        """Id of the target's best region."""
        return self.target_result.region if self.target_result is not None else None

    @cached_property
    def status(self) -> Status:
        """How the target fared; without a marked target, whether anything was found."""
        target = self.target_result
        if target is None:
            return Status.NO_QUERY
        if self._proposals.degraded:
            return Status.DEGRADED
        if any(query.is_target and not query.background for query in self.vocabulary.queries):
            return target.status
        if not self._anything_is_found:
            return Status.NOT_FOUND
        return Status.AMBIGUOUS if target.status == Status.AMBIGUOUS else Status.OK

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) uint8, or uint16 above 254 labels: 0 other, 1..K the vocabulary, 255 (65535) unlabelled.

        Semantic segmentation by eq. 6 of the paper with changes that make it an answer for a robot. Where the paper
        sums <w, z> s over all proposals, this takes the largest p s over the kept ones, relative to the largest s: a
        cup keeps its probability of 0.98 where a region of the table lies under it (their mean would be below any
        threshold), and so `mask` agrees with `regions` and `instances`, in which doubles have no part either. Pixels
        that no region covers are unlabelled instead of taking the least bad name.
        """
        vocabulary = self.vocabulary
        if not vocabulary.num_labels:
            return np.full((self.height, self.width), vocabulary.unlabelled, vocabulary.mask_dtype)
        winner, _ = self._winners
        label_of = np.zeros(len(vocabulary.queries) + 1, vocabulary.mask_dtype)
        label_of[1:] = vocabulary.labels
        mask = label_of.take(winner)
        np.copyto(mask, vocabulary.unlabelled, where=~self._covered)
        return mask

    @cached_property
    def confidence(self) -> np.ndarray:
        """(H, W) uint8: probability x 255 of the query (or background query) that wins the pixel.

        0 where no query reaches its threshold and where no region lies.
        """
        if not self.vocabulary.num_labels:
            return np.zeros((self.height, self.width), np.uint8)
        winner, share = self._winners
        confidence = np.rint(share * 255).astype(np.uint8)
        confidence[(winner == 0) | ~self._covered] = 0
        return confidence

    @cached_property
    def instances(self) -> np.ndarray:
        """(H, W) uint16: 0 none, k the region with id k; where regions overlap the higher score wins."""
        instances = np.zeros((self.height, self.width), np.uint16)
        regions = zip(self.regions.id, self._scores.boxes, self._scores.masks, strict=True)
        for region, (x, y, width, height), mask in reversed(list(regions)):  # the best is painted last
            ids = np.full(mask.shape, region, np.uint16)
            cv2.copyTo(ids, mask.view(np.uint8), instances[y : y + height, x : x + width])
        return instances

    @cached_property
    def target_mask(self) -> np.ndarray:
        """(H, W) uint8: 255 on the target's best region, else 0; all 0 if it is not found."""
        target = np.zeros((self.height, self.width), np.uint8)
        if self.target_region is not None:
            x, y, width, height = self._scores.boxes[self.target_region - 1]
            target[y : y + height, x : x + width][self._scores.masks[self.target_region - 1]] = 255
        return target

    def region_masks(self) -> list[np.ndarray]:
        """Per reported region its mask, cropped to its roi: (height, width) uint8, 0 or 255."""
        return [mask.astype(np.uint8) * 255 for mask in self._scores.masks]

    def unmatched_masks(self) -> list[np.ndarray]:
        """Like `region_masks`, for `unmatched`."""
        return [mask.astype(np.uint8) * 255 for mask in self._unmatched[2]]

    @cached_property
    def _unmatched(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """Proposals that are not reported, with their boxes and masks as in `Scores`."""
        others = np.setdiff1d(np.arange(len(self._proposals)), self._scores.reported)
        return camera_masks(self._proposals, others[: self._settings.max_regions - len(self._scores.reported)])

    def _describe(
        self,
        chosen: np.ndarray,
        boxes: np.ndarray,
        masks: tuple[np.ndarray, ...],
        *,
        first_id: int,
        label: np.ndarray,
        phrase: tuple[str, ...],
        score: np.ndarray,
        margin: np.ndarray,
    ) -> Regions:
        identities = self._proposals.track_ids
        return Regions(
            id=np.arange(first_id, first_id + len(chosen), dtype=np.uint16),
            label=label,
            phrase=phrase,
            score=score,
            margin=margin,
            mask_quality=self._proposals.mask_quality[chosen],
            roi=boxes,
            area=np.array([np.count_nonzero(mask) for mask in masks], np.int64),
            embeddings=self._proposals.embeddings[chosen],
            track_id=tuple(identities[index] for index in chosen) if identities else ("",) * len(chosen),
        )

    @property
    def _anything_is_found(self) -> bool:
        """Whether some query has a region; most of a large vocabulary has none, and costs nothing here."""
        return any(
            not self.vocabulary.queries[query].relations or self._result(query).region is not None
            for query in np.flatnonzero(self._is_answered).tolist()
        )

    @cached_property
    def _is_answered(self) -> np.ndarray:
        """(Q,) bool: some region looks like the query."""
        answered: np.ndarray = np.any(self._scores.passes, axis=0)
        return answered

    @cached_property
    def _highest(self) -> np.ndarray:
        """(Q,) largest probability of each query."""
        highest: np.ndarray = self._scores.probability.max(0, initial=0.0)
        return highest

    def _result(self, query: int) -> QueryResult:
        if self._is_answered[query]:
            return self._found(query)
        return QueryResult(self.vocabulary.queries[query].text, Status.NOT_FOUND, None, float(self._highest[query]))

    def _found(self, query: int) -> QueryResult:
        asked, scores = self.vocabulary.queries[query], self._scores
        probability, margin = scores.probability[:, query], self._settings.margin_threshold
        passing, reason = None, ""
        if asked.relations:
            choice = self._relations.choose(asked, probability, scores.passes[:, query])
            if not choice.regions.size:
                highest = float(probability.max(initial=0.0))
                return QueryResult(asked.text, Status.NOT_FOUND, None, highest, choice.reason)
            passing = choice.regions[:1] if choice.is_ranked else choice.regions
        status, proposal = best_answer(self._proposals, scores, query, margin, passing)
        if asked.relations:
            if choice.is_ambiguous:
                status = Status.AMBIGUOUS
            if status == Status.AMBIGUOUS:
                places = " and ".join(relation.spoken for relation in asked.relations)
                reason = f"several that look like '{asked.text}' are equally {places}"
        region = int(np.flatnonzero(scores.reported == proposal)[0]) + 1
        return QueryResult(asked.text, status, region, float(probability[proposal]), reason)

    @cached_property
    def _relations(self) -> Relations:
        return Relations(
            self._proposals,
            self.vocabulary.references,
            self._scores.reference_probability,
            self._settings.score_threshold,
            self._points,
        )

    @cached_property
    def _covered(self) -> np.ndarray:
        """(H, W) bool: some proposal's mask lies here. Includes every pixel of every region's own mask."""
        if not len(self._proposals):
            return np.zeros((self.height, self.width), bool)
        covered: np.ndarray = self._proposals.letterbox.upsample(self._proposals.mask_logits.max(0)) > 0
        return covered

    @cached_property
    def _winners(self) -> tuple[np.ndarray, np.ndarray]:
        """Per pixel: 1 + the winning query, 0 if the winner is below its threshold (H, W uint16); its share.

        A query whose best region is below the lowest threshold can neither be painted nor take a pixel from one that
        is, and of the queries of one region only the best can win a cell. So the cost depends on what is in the image,
        not on the size of the vocabulary. A query is interpolated only around the cells where its share reaches that
        threshold.
        """
        winner = np.zeros((self.height, self.width), np.uint16)
        best = np.zeros((self.height, self.width), np.float32)
        scores, proposals = self._scores, self._proposals
        floor = scores.thresholds.min(initial=np.inf)
        if not len(proposals):
            return winner, best
        named = scores.probability.argmax(1)
        strength = scores.probability[np.arange(len(named)), named]
        regions = np.flatnonzero((strength >= floor) & ~scores.is_double)
        if not regions.size:
            return winner, best
        covered = np.any(proposals.masks, axis=0).astype(np.uint8)
        # A covered pixel lies between cells of which one is covered, so no other cells but these and their neighbours
        # matter; far from every mask the shares are ratios of tiny numbers.
        near = cv2.dilate(covered, np.ones((3, 3), np.uint8)) > 0
        soft = proposals.soft_masks.reshape(len(proposals), -1)
        highest = np.maximum(soft.max(0), EPSILON)
        strengths = strength[regions, None] * soft[regions]
        strongest = strengths.max(0)
        painted = near.ravel() & (strongest / highest >= floor)
        wins = ((strengths == strongest) & painted).any(1)  # in some cell; argmax along this axis would be slow
        for query in np.unique(named[regions[wins]]):
            grid = (self._strongest(int(query), soft, floor) / highest).reshape(near.shape)
            x, y, width, height = proposals.letterbox.box_of(near & (grid >= floor))
            here = np.s_[y : y + height, x : x + width]
            value = proposals.letterbox.upsample(grid, (x, y, width, height))
            label = (value >= scores.thresholds[query]) * np.uint16(query + 1)
            better = cv2.compare(value, best[here], cv2.CMP_GT)
            cv2.copyTo(value, better, best[here])  # numpy's assignment by mask takes ten times longer
            cv2.copyTo(label, better, winner[here])
        return winner, best

    def _strongest(self, query: int, soft: np.ndarray, floor: float) -> np.ndarray:
        """(cells,) largest p_n s_n over the proposals with at least `floor` probability of `query`."""
        rows = (self._scores.probability[:, query] >= floor) & ~self._scores.is_double
        shares = soft[rows]
        shares *= self._scores.probability[rows, query, None]
        strongest: np.ndarray = shares.max(0)
        return strongest
