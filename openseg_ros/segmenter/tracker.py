"""Which region of this image is which of the images before: identities that last through motion and short occlusion.

Tracked are the network's proposals, not the answers to a query, so an identity survives a change of the vocabulary.
Networks propose many objects twice, with masks that differ too much for the usual suppression; proposals that cover
each other by four tenths are one object here, and share one identity, whichever of them answers a query in which image.

A track and an object belong together by the overlap of their masks, the track's moved on by its velocity, and by the
cosine of their embeddings. Only numpy: the pairs are taken in falling order of affinity, and scipy's optimal
assignment, which the robot would need to install, differs only where two pairs compete at nearly the same value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from openseg_ros.segmenter.proposals import Proposals, suppress_duplicates

# Two proposals of one image that overlap more are one object. Of 1471 sightings in ten rendered sequences, with the
# weights of then, 201 had another name than the one before at 0.5, 118 at 0.4 and 123 at 0.35; 0, 3 and 7 shared
# their name with another thing.
ONE_OBJECT_IOU = 0.4
MIN_COSINE = 0.5  # below it two regions show different things, however well their masks fit
SAME_LOOK = 0.8  # cosine from which an object is recognised though its mask has changed: half hidden, or come back
MIN_IOU = 0.1
MIN_CONTAINED = 0.5  # of the smaller mask: a thing of which an edge comes out behind another one
REACH = (
    1.5  # distance of middles, in square roots of the larger area, at which a thing may be the one that was lost ...
)
DRIFT = (
    0.5  # ... and this much more of the way that it should have gone unseen, which is known as badly as its velocity
)
MIN_AREA_RATIO = 0.1  # smaller to larger area of such a thing, of which an edge may be the first to come out again
MAX_LOST = 128  # tracks without a region; the oldest go. Bounds the cost where proposals flicker
VELOCITY_GAIN = 0.4  # weight of the newest displacement ...
STEADY_AREA = 0.8  # ... which says nothing at this ratio of areas: the middle moves too where a thing becomes hidden
EMBEDDING_GAIN = 0.3  # weight of the newest embedding


@dataclass(frozen=True)
class _Tracks:
    """T tracks; positions in cells of the grid, times in nanoseconds."""

    ids: np.ndarray  # (T,) object: str
    masks: np.ndarray  # (T, h, w) bool, when last seen; of a half hidden thing the whole of it
    areas: np.ndarray  # (T,) float32 cells
    middles: np.ndarray  # (T, 2) float32 y x, when last seen
    velocities: np.ndarray  # (T, 2) float32 cells per second
    embeddings: np.ndarray  # (T, D) float32, unit length
    seen: np.ndarray  # (T,) int64

    def take(self, rows: np.ndarray) -> _Tracks:
        """A copy of those at `rows`."""
        return _Tracks(**{name: values[rows] for name, values in vars(self).items()})

    def joined(self, others: _Tracks) -> _Tracks:
        """These, then the others."""
        return _Tracks(**{name: np.concatenate([mine, getattr(others, name)]) for name, mine in vars(self).items()})


class Tracker:
    """Gives the regions of one camera's images identities.

    An identity is a short text, counted up, and never given to two things by trackers that share `numbers`. The same
    images give the same identities.
    """

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        """Make a tracker; several cameras of one process share `numbers`."""
        self._numbers = numbers if numbers is not None else count(1)
        self._tracks: _Tracks | None = None
        self._stamp = 0
        self._view: tuple[object, ...] = ()

    def identify(self, proposals: Proposals, *, stamp_ns: int, embedding_space: str, memory_s: float) -> Proposals:
        """The proposals with their identities.

        All tracks are forgotten when time goes back (a bag loops, the clock jumps), when the image's size changes and
        when the embeddings are of another space.

        Args:
            proposals: of the newest image.
            stamp_ns: when it was taken, nanoseconds.
            embedding_space: name of the space of the embeddings.
            memory_s: seconds that a track without a region is kept.
        """
        view = (proposals.letterbox, embedding_space)
        if self._tracks is None or stamp_ns < self._stamp or view != self._view:
            self._tracks = _new_tracks(proposals, np.zeros(0, np.intp), stamp_ns)
        self._stamp, self._view = stamp_ns, view
        known = self._tracks.take(stamp_ns - self._tracks.seen <= memory_s * 1e9)

        objects, member_of = _objects(proposals)
        new = _new_tracks(proposals, objects, stamp_ns)
        elapsed = ((stamp_ns - known.seen) * 1e-9).astype(np.float32)
        expected = _moved_on(known, elapsed)
        common = _cells(expected.masks) @ _cells(new.masks).T
        old_rows, new_rows = _assign(_affinity(known, expected, new, common))
        new = _continued(
            new, new_rows, known.take(old_rows), expected.take(old_rows), elapsed[old_rows], common[old_rows, new_rows]
        )
        unnamed = np.setdiff1d(np.arange(len(objects)), new_rows)
        new.ids[unnamed] = [str(next(self._numbers)) for _ in unnamed]

        lost = known.take(np.setdiff1d(np.arange(len(known.ids)), old_rows))
        newest = np.argsort(-lost.seen, kind="stable")[:MAX_LOST]
        self._tracks = new.joined(lost.take(newest))
        return replace(proposals, track_ids=tuple(new.ids[member_of].tolist()))


def _objects(proposals: Proposals) -> tuple[np.ndarray, np.ndarray]:
    """(K,) the proposals that stand for the K objects, best mask first; (M,) each proposal's object, 0..K-1."""
    area = proposals.area
    common = proposals.overlap * np.minimum(area[:, None], area)
    iou = common / (area[:, None] + area - common)
    objects = np.flatnonzero(suppress_duplicates(iou, ONE_OBJECT_IOU))
    member_of = iou[:, objects].argmax(1) if objects.size else np.zeros(0, np.intp)
    return objects, member_of


def _new_tracks(proposals: Proposals, chosen: np.ndarray, stamp_ns: int) -> _Tracks:
    """Tracks without an identity that begin with the `chosen` proposals."""
    masks, areas = proposals.masks[chosen], proposals.area[chosen]
    return _Tracks(
        ids=np.full(len(chosen), "", object),
        masks=masks,
        areas=areas,
        middles=_middles(masks, areas),
        velocities=np.zeros((len(chosen), 2), np.float32),
        embeddings=proposals.embeddings[chosen],
        seen=np.full(len(chosen), stamp_ns, np.int64),
    )


def _moved_on(known: _Tracks, elapsed: np.ndarray) -> _Tracks:
    """Where the tracks should be now, (T,) seconds after they were seen; the masks by whole cells."""
    shift = known.velocities * elapsed[:, None]
    cells = np.rint(shift).astype(np.intp)
    moving = np.flatnonzero(cells.any(1))
    masks, areas = known.masks.copy(), known.areas.copy()
    masks[moving] = moved = _moved(known.masks[moving], cells[moving])
    areas[moving] = np.count_nonzero(moved, axis=(1, 2))
    return replace(known, masks=masks, areas=areas, middles=known.middles + shift)


def _continued(
    new: _Tracks, rows: np.ndarray, known: _Tracks, expected: _Tracks, elapsed: np.ndarray, common: np.ndarray
) -> _Tracks:
    """`new`, whose P `rows` go on from `known`: with the identities, velocities and smoothed embeddings.

    A thing of which only a part of the expected mask is left is taken for half hidden: it keeps the whole mask, so that
    it is looked for in its true size and place until it is out again.

    Args:
        new: this image's tracks.
        rows: (P,) of `new`.
        known: P, as last seen.
        expected: P, as they should be now.
        elapsed: (P,) seconds since they were seen.
        common: (P,) cells that the expected and the new mask share.
    """
    old_area, new_area = known.areas, new.areas[rows]
    smaller, larger = np.minimum(old_area, new_area), np.maximum(old_area, new_area)
    steady = np.clip((smaller / np.maximum(larger, 1) - STEADY_AREA) / (1 - STEADY_AREA), 0, 1)
    is_timed = elapsed > 0  # the same stamp twice says nothing about motion
    measured = (new.middles[rows] - known.middles) / np.where(is_timed, elapsed, 1)[:, None]
    gain = (VELOCITY_GAIN * steady * is_timed).astype(np.float32)[:, None]
    smooth = known.embeddings + EMBEDDING_GAIN * (new.embeddings[rows] - known.embeddings)
    hidden = (new_area < STEADY_AREA * old_area) & (common >= STEADY_AREA * new_area)

    merged = new.take(np.arange(len(new.ids)))
    merged.ids[rows] = known.ids
    merged.velocities[rows] = known.velocities + gain * (measured - known.velocities)
    merged.embeddings[rows] = smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-6)
    merged.masks[rows[hidden]] = expected.masks[hidden]
    merged.areas[rows[hidden]] = expected.areas[hidden]
    merged.middles[rows[hidden]] = expected.middles[hidden]
    return merged


def _affinity(known: _Tracks, expected: _Tracks, new: _Tracks, common: np.ndarray) -> np.ndarray:
    """(T, M) float32: how well a track and a new region fit, -inf where they cannot be one thing.

    Args:
        known: T tracks as last seen.
        expected: the same where they should be now.
        new: M regions of this image.
        common: (T, M) cells that their masks share.
    """
    old_area, new_area = expected.areas[:, None], new.areas
    iou = common / np.maximum(old_area + new_area - common, 1)
    smaller, larger = np.minimum(old_area, new_area), np.maximum(old_area, new_area)
    distance = np.linalg.norm(expected.middles[:, None] - new.middles, axis=2)
    gone = np.linalg.norm(expected.middles - known.middles, axis=1)[:, None]
    near = np.clip(1 - distance / (REACH * np.sqrt(np.maximum(larger, 1)) + DRIFT * gone), 0, 1)
    near[smaller < MIN_AREA_RATIO * larger] = 0
    cosine = expected.embeddings @ new.embeddings.T
    recognised = (cosine >= SAME_LOOK) & ((near > 0) | (common >= MIN_CONTAINED * np.maximum(smaller, 1)))
    possible = (cosine >= MIN_COSINE) & ((iou >= MIN_IOU) | recognised)
    affinity: np.ndarray = np.where(possible, iou + cosine + near / 2, -np.inf)
    return affinity


def _assign(affinity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pairs, greedily by falling affinity, without a loop over pairs.

    Pairs that are each other's best are what the greedy order would take too, whatever happens elsewhere; taken away,
    they leave a smaller problem of the same kind. A few rounds are usual.
    """
    left = affinity.copy()
    rows, columns = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    while left.size and left.max() > -np.inf:
        best_column, best_row = left.argmax(1), left.argmax(0)
        row = np.flatnonzero((best_row[best_column] == np.arange(len(left))) & (left.max(1) > -np.inf))
        rows.append(row)
        columns.append(best_column[row])
        left[row] = -np.inf
        left[:, best_column[row]] = -np.inf
    return np.concatenate(rows), np.concatenate(columns)


def _middles(masks: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(N, h, w) bool with (N,) areas -> (N, 2) float32 mean y and x of the cells."""
    places = np.indices(masks.shape[1:], np.float32).reshape(2, -1)
    middle: np.ndarray = _cells(masks) @ places.T / np.maximum(areas, 1)[:, None]
    return middle


def _moved(masks: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Each of (T, h, w) masks moved by its own whole (T, 2) y and x; what leaves the view is gone."""
    size = np.array(masks.shape[1:])
    shift = np.clip(shift, -size, size)
    (top, left), (bottom, right) = shift.max(0, initial=0), -shift.min(0, initial=0)
    padded = np.pad(masks, ((0, 0), (top, bottom), (left, right)))
    views = np.lib.stride_tricks.sliding_window_view(padded, tuple(size), axis=(1, 2))
    moved: np.ndarray = views[np.arange(len(masks)), top - shift[:, 0], left - shift[:, 1]]
    return moved


def _cells(masks: np.ndarray) -> np.ndarray:
    """(N, h, w) bool -> (N, cells) float32."""
    flat: np.ndarray = masks.reshape(len(masks), masks.shape[1] * masks.shape[2]).astype(np.float32)
    return flat
