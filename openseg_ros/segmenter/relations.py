"""Which of the regions that look right also stands right: "the red mug next to the banana".

Left and right, above and below are the image's, as the person who sees the picture says them. Sizes and distances
come from the masks on the network's grid; where all regions that are compared have a measured position (metres, in the
camera's optical frame: x right, y down, z forward), depth is used where the table says so.

left of, right of: its middle lies beyond the reference's box on that side, within 60 degrees of the horizontal.
above: its middle is higher by more than it is sideways. under: lower.
behind, in front of: with depth, its middle is farther from (nearer to) the camera by more than 1 cm, and at most 60
    degrees off that direction; without, it is higher (lower) in the image, at most 60 degrees off the vertical.
next to: the gap between the masks is at most the size (square root of the area) of the larger; the nearest wins.
closest to: the smallest gap between the masks wins; with depth, the smallest distance of the middles.
on, in, from: it touches the reference, and its lowest point lies over the reference's box, not below it.
between: the directions to the two references differ by at least 120 degrees; with depth, in space.
left, right: the outermost middle wins, or with a rank the second, third, ... of them.
middle: as many to its left as to its right; of an even number none is.
closest, farthest: with depth, by the distance to the camera; without, the lowest (highest) lower edge wins.
largest, smallest: by the mask's area; with depth, times the squared distance.

Where one wins by measure, a second one that comes within 2 % (of the image's diagonal, or of the measure) makes the
answer ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.segmenter.proposals import Proposals, suppress_duplicates
from openseg_ros.text.vocabulary import Query, Vocabulary

SAME_OBJECT_OVERLAP = 0.5  # of the smaller mask; a cup and its handle are no two candidates to choose between
CONE = np.tan(np.radians(60))
TOUCHING = 2.0  # cells between the middles of two masks' nearest cells; neighbours have 1, masks are a cell unsure
LEAST_DEPTH = 0.01  # metres; below it depth cameras do not tell which is nearer
OPPOSITE = np.cos(np.radians(120))
TIE = 0.02


@dataclass(frozen=True)
class Choice:
    """The regions that a query with relations leaves, best first."""

    regions: np.ndarray  # (C,) indices of proposals
    is_ambiguous: bool = False  # the first two come too close to each other in what decides
    is_ranked: bool = False  # a measure has decided, not the score
    reason: str = ""  # why nothing is left


class Relations:
    """The geometry of one image's proposals, and how it decides."""

    def __init__(
        self,
        proposals: Proposals,
        references: Vocabulary | None,
        probability: np.ndarray,
        threshold: float,
        points: ImagePoints | None = None,
    ) -> None:
        """Of one image.

        Args:
            proposals: M regions.
            references: the F things that relations name.
            probability: (M, F) that a region shows such a thing.
            threshold: from which it counts as one.
            points: of the image; None without depth.
        """
        self._proposals = proposals
        self._masks = proposals.masks
        self._area = proposals.area.astype(np.float64)
        names = references.queries if references is not None else ()
        self._column = {query.text.casefold(): column for column, query in enumerate(names)}
        self._probability = probability
        self._threshold = threshold
        self._diagonal = float(np.hypot(*self._masks.shape[1:]))
        rows, columns = np.any(self._masks, axis=2), np.any(self._masks, axis=1)
        # left, top, right, bottom of the outermost cells' outer sides
        self._box = np.stack([columns.argmax(1), rows.argmax(1), _last(columns), _last(rows)], 1).astype(np.float64)
        self._middle = (self._box[:, :2] + self._box[:, 2:]) / 2
        self._points = points
        self._position = np.full((len(proposals), 3), np.nan)
        self._is_located = np.zeros(len(proposals), bool)

    def choose(self, query: Query, probability: np.ndarray, passes: np.ndarray) -> Choice:
        """The regions that match a query and all its relations.

        Args:
            query: with its relations.
            probability: (M,) of the query.
            passes: (M,) bool: regions that look right.
        """
        looks = np.flatnonzero(passes)
        looks = looks[np.argsort(-probability[looks], kind="stable")]
        looks = looks[suppress_duplicates(self._proposals.overlap[np.ix_(looks, looks)], SAME_OBJECT_OVERLAP)]
        if not looks.size:
            return Choice(looks, reason=f"'{query.text}' is not found")
        left = looks
        rank = 1
        measures: dict[str, np.ndarray] = {}  # (M,) smaller is better, by what decides: superlatives over the others
        for relation in (relation for relation in query.relations if relation.references):
            groups = []
            for reference in relation.references:
                chosen = self._references(reference, probability)
                if not chosen.regions.size:
                    return Choice(chosen.regions, reason=f"'{relation.spoken}' cannot be decided: {chosen.reason}")
                groups.append(chosen.regions)
                # What fits the reference better than the target is no target.
                left = left[probability[left] >= self._of(reference)[left]]
            holds, measure = self._holds(relation.name, left, groups)
            left = left[holds]
            if not left.size:
                return Choice(left, reason=f"of {len(looks)} that look like '{query.text}' none is {relation.spoken}")
            if measure is not None:
                measures["nearest"] = np.full(len(passes), np.inf)
                measures["nearest"][left] = measure[holds]
        for relation in (relation for relation in query.relations if not relation.references):
            measures["superlative"] = np.full(len(passes), np.inf)
            measures["superlative"][left] = self._extreme(relation.name, left)
            rank = relation.rank
        deciding = measures.get("superlative", measures.get("nearest"))
        if deciding is None:
            return Choice(left)
        left = left[np.argsort(deciding[left], kind="stable")]
        if len(left) < rank:
            return Choice(left[:0], reason=f"of '{query.text}' only {len(left)} can be seen")
        rivals = deciding[left[max(rank - 2, 0) : rank + 1]]
        ordered = np.concatenate([left[rank - 1 :], left[: rank - 1]])
        return Choice(ordered, is_ambiguous=bool((np.diff(rivals) < TIE).any()), is_ranked=True)

    def _of(self, reference: Query) -> np.ndarray:
        """(M,) probability of a thing that a relation names; 0 if the text encoder could not encode it."""
        column = self._column.get(reference.text.casefold())
        nothing: np.ndarray = np.zeros(len(self._proposals), np.float32)
        return nothing if column is None else self._probability[:, column]

    def _references(self, reference: Query, target: np.ndarray) -> Choice:
        own = self._of(reference)
        chosen = self.choose(reference, own, (own >= self._threshold) & (own >= target))
        return Choice(chosen.regions[:1]) if chosen.is_ranked else chosen

    def _holds(self, name: str, regions: np.ndarray, groups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """(C,) whether each region stands so to any of the references; (C,) what decides among them, if anything."""
        references = np.concatenate(groups)
        different = self._different(regions, references)
        if name == "between":
            return self._between(regions, groups), None
        if name in ("next to", "closest", "on", "in", "from"):
            gap = self._gaps(regions, references)
            if name == "closest":
                positions = self._positions(np.concatenate([regions, references]))
                if positions is not None:
                    here, there = positions[: len(regions)], positions[len(regions) :]
                    distance = np.linalg.norm(here[:, None] - there, axis=2)
                    gap = distance / max(float(np.linalg.norm(positions, axis=1).mean()), 1e-6) * self._diagonal
                near = different
            elif name == "next to":
                near = different & (gap <= np.sqrt(np.maximum(self._area[regions][:, None], self._area[references])))
            else:
                left, top, right, bottom = self._box[references].T
                x, foot = self._middle[regions, 0][:, None], self._box[regions, 3][:, None]
                over = (x >= left) & (x <= right) & (foot >= top - TOUCHING) & (foot <= bottom)
                return np.any(different & (gap <= TOUCHING) & over, axis=1), None
            return np.any(near, axis=1), np.where(near, gap, np.inf).min(1, initial=np.inf) / self._diagonal
        return np.any(different & self._lies(name, regions, references), axis=1), None

    def _lies(self, name: str, regions: np.ndarray, references: np.ndarray) -> np.ndarray:
        """(C, R) bool for the directions."""
        right, down = np.moveaxis(self._middle[regions][:, None] - self._middle[references], 2, 0)
        if name in ("left of", "right of"):
            x, (left, _, right_side, _) = self._middle[regions, 0][:, None], self._box[references].T
            beyond = x < left if name == "left of" else x > right_side
            return np.asarray(beyond & (np.abs(down) <= CONE * np.abs(right)))
        if name in ("above", "under"):
            return np.asarray((-down if name == "above" else down) > np.abs(right))
        farther, aside, least = -down, right, 0.0
        positions = self._positions(np.concatenate([regions, references]))
        if positions is not None:
            offset = positions[: len(regions), None] - positions[len(regions) :]
            farther, aside, least = offset[..., 2], offset[..., 0], LEAST_DEPTH
        toward = farther if name == "behind" else -farther
        return np.asarray((toward > least) & (np.abs(aside) <= CONE * toward))

    def _between(self, regions: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
        """(C,) whether any pair of references, one of each kind, has a region between them."""
        first, second = groups[0], groups[-1]
        involved = np.concatenate([regions, first, second])
        positions = self._positions(involved)
        places = self._middle[involved] if positions is None else positions
        here, one, other = np.split(places, np.cumsum([len(regions), len(first)]))
        to_one, to_other = _directions(here, one), _directions(here, other)
        opposite = np.einsum("cad,cbd->cab", to_one, to_other) <= OPPOSITE
        opposite &= self._different(regions, first)[:, :, None] & self._different(regions, second)[:, None]
        return np.asarray(opposite.any((1, 2)))

    def _extreme(self, name: str, regions: np.ndarray) -> np.ndarray:
        """(C,) the smallest is the most so."""
        positions = self._positions(regions)
        if name in ("largest", "smallest"):
            size = self._area[regions] * (1 if positions is None else positions[:, 2] ** 2)
            return np.log(size) * (-1 if name == "largest" else 1)
        if name == "middle":
            x = self._middle[regions, 0]
            return np.abs(np.sign(x[:, None] - x).sum(1))
        if name in ("left", "right"):
            return self._middle[regions, 0] / self._diagonal * (1 if name == "left" else -1)
        if positions is None:
            distance = -self._box[regions, 3] / self._diagonal
        else:
            distance = np.log(np.linalg.norm(positions, axis=1))
        return np.asarray(distance if name == "closest" else -distance)

    def _different(self, regions: np.ndarray, references: np.ndarray) -> np.ndarray:
        """(C, R) bool: not one object seen twice. What lies on a plate may lie within the plate's mask."""
        smaller = np.minimum(self._area[regions][:, None], self._area[references])
        larger = np.maximum(self._area[regions][:, None], self._area[references])
        common = self._proposals.overlap[np.ix_(regions, references)] * smaller
        return np.asarray(common <= SAME_OBJECT_OVERLAP * (smaller + larger - common))

    def _gaps(self, regions: np.ndarray, references: np.ndarray) -> np.ndarray:
        """(C, R) cells between the nearest cells of two masks; 0 where they share one, 1 for neighbours."""
        away = [cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) for mask in self._masks[references]]
        gaps = [np.where(self._masks[regions], distance, np.inf).min((1, 2), initial=np.inf) for distance in away]
        return np.stack(gaps, 1)

    def _positions(self, regions: np.ndarray) -> np.ndarray | None:
        """(C, 3) metres: the median of each region's points; None unless all have one."""
        if self._points is None or not regions.size:
            return None
        missing = np.unique(regions[~self._is_located[regions]])
        if missing.size:
            height, width = self._masks.shape[1:]
            rows, columns = (
                ((np.arange(cells) + 0.5) * pixels / cells).astype(np.intp)
                for cells, pixels in zip((height, width), self._points.camera.size, strict=True)
            )
            points = self._points.at(rows, columns)
            measured = self._masks[missing] & ~np.isnan(points[..., 2])
            seen = measured.any((1, 2))
            own = np.where(measured[seen][..., None], points, np.nan).reshape(int(seen.sum()), height * width, 3)
            self._position[missing[seen]] = np.nanmedian(own, axis=1) if seen.any() else 0
            self._is_located[missing] = True
        positions = self._position[regions]
        return None if np.isnan(positions).any() else positions


def _directions(origin: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """(C, R, D) unit vectors from each of (C, D) to each of (R, D)."""
    offset = goal - origin[:, None]
    unit: np.ndarray = offset / np.maximum(np.linalg.norm(offset, axis=2, keepdims=True), 1e-9)
    return unit


def _last(occupied: np.ndarray) -> np.ndarray:
    """(M, n) bool -> (M,) one past the last true."""
    end: np.ndarray = occupied.shape[1] - occupied[:, ::-1].argmax(1)
    return end
