"""The surfaces of regions, out of what a depth camera measured: with little noise, and clean along their outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.local_plane import LEAST_PIXELS, LocalPlanes, fit_planes, window_offsets, windows
from openseg_ros.geometry.outline import edge_width
from openseg_ros.geometry.region_sheet import region_sheet

# Depth with less noise than this is taken as it is. In more, planes are fitted: the extremes of thousands of normal
# values lie three sigma out, on both sides, so that 2 mm would make each side of a box 12 mm longer.
NOISE_ALLOWED = 0.0005  # metres
WIDE, NARROW = 4, 3  # pixels that planes reach: those that lead out over an outline, those that smooth
# Pixels around a place whose depth differs from that close to it by more are another surface (tangent; 63 degrees).
STEP = 2.0
# A pixel at an outline is believed where its depth could be that of a surface at most so steep (tangent; 79 degrees)
# that begins at the region's inner part. Beyond, the pixel shows a mixture with the background.
STEEPEST = 5.0
EXTRAPOLATED = 3.0  # what a plane may lead away over an outline, as a tangent
# In noisy depth pixels count for the final plane that are at most this far from the first: so much of a pixel's width,
# of the plane's slope over a pixel, and of the noise.
NEAR_WIDTH, NEAR_SLOPE, NEAR_NOISE = 0.5, 1.5, 2.0
LEAST_AGREEING = 8  # pixels on one plane: at the tip of a wick no two tell the same
# Places at which surfaces are looked at, for all regions together, and the most and the least for one region. In noisy
# depth each place costs two fits more, and more places would find more extremes of the noise.
OUTLINE_PLACES, INNER_PLACES = (2000, 500, 48), (800, 300, 48)
NOISY_OUTLINE_PLACES, NOISY_INNER_PLACES = (1400, 300, 48), (600, 200, 48)
NORMALS = 100  # places that are enough to know where a surface faces
LEAST_NORMALS = 3
SAME_NORMAL_COS = np.cos(np.radians(10.0))
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class _Places:
    """Pixels of R regions, the same number P of each; S = R x P."""

    rows: np.ndarray  # (S,) on the sheet
    columns: np.ndarray  # (S,)
    right: np.ndarray  # (S,) float32, x / z
    down: np.ndarray  # (S,) float32, y / z
    is_there: np.ndarray  # (S,) bool: false for regions without a pixel of this kind

    def at(self, z: np.ndarray) -> np.ndarray:
        """(S, 3) float32: the points at depth `z` (S,), NaN where it is NaN."""
        z = np.where(self.is_there, z, np.float32(np.nan))
        return np.stack([self.right * z, self.down * z, z], axis=1)


class RegionSurfaces:
    """What was measured of R regions, in the camera's optical frame: of all at once, not one by one.

    The inner part of a region is what does not lie along the outline, and the middle of what is too thin for that (the
    tip of a knife). Exact depth stays exact. Noisy depth is smoothed by planes through the pixels around. Along the
    outline, where depth cameras have mixed object and background, and in holes, planes lead out from the inner part,
    through those pixels that fit.

    benchmark/README.md says how exact this is, and what it misses.
    """

    def __init__(self, points: ImagePoints, boxes: np.ndarray, masks: Sequence[np.ndarray]) -> None:
        """Of (R, 4) boxes x y width height, pixels, with masks (height, width) uint8, not 0 inside."""
        self._camera, self._noise = points.camera, points.noise
        self._is_noisy = points.noise > NOISE_ALLOWED
        self._edge = edge_width(points.camera.size[1])
        margin = max(self._edge, WIDE)
        self._sheet = region_sheet(
            np.reshape(boxes, (-1, 4)), masks, points.camera.size, edge=self._edge, margin=margin
        )
        self._depth = self._sheet.laid_out(points.z)  # 0 where nothing was measured

    def __len__(self) -> int:
        return len(self._sheet.shift)

    @cached_property
    def centroids(self) -> np.ndarray:
        """(R, 3) float64 metres, the mean positions; NaN for a region without a measured point."""
        sums, count = self._inner_sums()
        # The outline was looked at in places, each of which stands for some of its pixels.
        is_measured = ~np.isnan(self._outline_xyz[..., :1])
        stands_for = np.diff(self._outline[1]) / max(is_measured.shape[1], 1)
        sums = sums + np.where(is_measured, self._outline_xyz, 0.0).sum(1, dtype=np.float64) * stands_for[:, None]
        count = count + is_measured.sum((1, 2)) * stands_for
        middles: np.ndarray = sums / np.where(count > 0.0, count, np.nan)[:, None]
        return middles

    def _inner_sums(self) -> tuple[np.ndarray, np.ndarray]:
        """(R, 3) float64 sums of all measured inner points; (R,) how many there are."""
        z = self._depth * self._sheet.inner
        columns = np.arange(z.shape[1], dtype=np.float32)
        z_sum, z_by_column = (z @ weights for weights in (np.ones_like(columns), columns))  # of each row
        region = self._sheet.window
        down, right = self._sheet.shift[region].T
        x = (z_by_column + (right - self._camera.cx) * z_sum) / self._camera.fx
        y = (np.arange(len(z)) + down - self._camera.cy) * z_sum / self._camera.fy
        sums = [np.bincount(region, values, len(self)) for values in (x, y, z_sum)]
        return np.stack(sums, axis=1), self._sheet.areas(z > 0.0)

    @cached_property
    def xyz(self) -> np.ndarray:
        """(R, N, 3) float32 metres: points that reach as far as the regions do; NaN where nothing was measured."""
        count = self._share(NOISY_INNER_PLACES if self._is_noisy else INNER_PLACES)
        places = self._chosen(*self._inner, count)
        if self._is_noisy:
            z = self._smooth(places, *self._planes(places, self._sheet.mask, NARROW))
        else:
            z = self._measured(places)
        return np.concatenate([self._outline_xyz, places.at(z).reshape(len(self), count, 3)], axis=1)

    def facing(self) -> np.ndarray:
        """(R, 3) float64 unit vectors: where most of each surface faces; of a thin one, across its flattest side."""
        places = self._chosen(*self._inner, NORMALS)
        near, planes = self._planes(places, self._sheet.inner, WIDE)
        z = near + planes.middle
        across = [z / self._camera.fx + planes.right * places.right, planes.right * places.down, planes.right]
        along = [planes.down * places.right, z / self._camera.fy + planes.down * places.down, planes.down]
        normals = np.cross(np.stack(across, 1), np.stack(along, 1)).astype(np.float64)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        normals[~places.is_there | (planes.count < LEAST_PIXELS)] = 0.0  # like no other one
        return _most_common(normals.reshape(len(self), NORMALS, 3), self.xyz)

    @cached_property
    def _outline(self) -> tuple[np.ndarray, np.ndarray]:
        """The pixels along the outlines, and (R + 1,) where those of each region begin."""
        return self._sheet.pixels(self._sheet.mask & ~self._sheet.inner)

    @cached_property
    def _inner(self) -> tuple[np.ndarray, np.ndarray]:
        """The inner pixels, and (R + 1,) where those of each region begin."""
        return self._sheet.pixels(self._sheet.inner)

    @cached_property
    def _outline_xyz(self) -> np.ndarray:
        """(R, P, 3) float32."""
        count = self._share(NOISY_OUTLINE_PLACES if self._is_noisy else OUTLINE_PLACES)
        places = self._chosen(*self._outline, count)
        near, planes = self._planes(places, self._sheet.inner, WIDE)
        if self._is_noisy:
            z = self._smooth(places, near, planes)
        else:
            z, seen = near + planes.middle, self._measured(places)
            z = np.where(np.abs(seen - z) < STEEPEST * self._edge * self._pixel(z), seen, z)
        return places.at(z).reshape(len(self), count, 3)

    def _planes(self, places: _Places, which: np.ndarray, reach: int) -> tuple[np.ndarray, LocalPlanes]:
        """Planes through the pixels around that are true in (h, w) `which`.

        Returns:
            (S,) float32 metres, their mean depth, of those that are close if there are any, NaN where nothing was
            measured; planes of what differs.
        """
        z, counts = self._around(places, which, reach)
        offsets = window_offsets(reach)
        close = counts * (np.abs(offsets).max(0) <= self._edge)
        close = np.where(close.any(1)[:, None], close, counts).astype(np.float32)
        near = np.einsum("sk,sk->s", z, close) / np.maximum(close.sum(1), np.float32(0.5))
        near[near == 0.0] = np.nan
        z -= near[:, None]
        counts &= np.abs(z) < (STEP * reach * self._pixel(near))[:, None]
        return near, fit_planes(z, counts, offsets, EXTRAPOLATED * self._edge * self._pixel(near))

    def _smooth(self, places: _Places, near: np.ndarray, planes: LocalPlanes) -> np.ndarray:
        """(S,) float32 metres: of planes through all pixels, the outline's too, that lie near `planes`; or NaN."""
        z, is_own = self._around(places, self._sheet.mask, NARROW)
        z -= near[:, None]
        offsets, pixel = window_offsets(NARROW), self._pixel(near)
        far = NEAR_WIDTH * pixel + NEAR_SLOPE * planes.slope + NEAR_NOISE * np.float32(self._noise)
        counts = is_own & (np.abs(z - planes.at(offsets)) < far[:, None])
        planes = fit_planes(z, counts, offsets, EXTRAPOLATED * self._edge * pixel).where_enough(planes)
        return np.where(planes.count >= LEAST_AGREEING, near + planes.middle, np.float32(np.nan))

    def _around(self, places: _Places, which: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
        """(S, K) float32 depth of the pixels around; (S, K) bool: measured, and true in (h, w) `which`."""
        z = windows(self._depth, places.rows, places.columns, reach)
        counts = windows(which, places.rows, places.columns, reach)
        counts &= z > 0.0
        return z, counts

    def _chosen(self, pixels: np.ndarray, begin: np.ndarray, count: int) -> _Places:
        """`count` of each region's `pixels`, which `begin` (R + 1,) at."""
        region = np.repeat(np.arange(len(self)), count)
        rows, columns = np.divmod(_spread(pixels, begin, count), self._sheet.mask.shape[1])
        right, down = self._camera.tangents()
        shift = self._sheet.shift[region]
        return _Places(
            rows=rows,
            columns=columns,
            right=right.take(columns + shift[:, 1], mode="clip"),
            down=down.take(rows + shift[:, 0], mode="clip"),
            is_there=(np.diff(begin) > 0)[region],
        )

    def _share(self, places: tuple[int, int, int]) -> int:
        """The number of places that one region gets."""
        together, most, least = places
        return max(min(together // max(len(self), 1), most), least)

    def _pixel(self, z: np.ndarray) -> np.ndarray:
        """Metres that a pixel is wide at depth `z`."""
        return np.asarray(z * np.float32(1.0 / self._camera.fx))

    def _measured(self, places: _Places) -> np.ndarray:
        """(S,) float32 metres, NaN where nothing was measured."""
        z: np.ndarray = self._depth[places.rows, places.columns]
        z[z == 0.0] = np.nan
        return z


def _spread(pixels: np.ndarray, begin: np.ndarray, count: int) -> np.ndarray:
    """(R count,) of (N,) pixels, evenly out of each region's, which `begin` (R + 1,) at; any where there is none.

    With even steps alone, all might come from the left side of an outline that has 4 pixels per row.
    """
    if not len(pixels):
        return np.zeros((len(begin) - 1) * count, np.intp)
    have = np.diff(begin)[:, None]
    step = np.arange(count)
    within = np.where(have > count, step * GOLDEN % 1.0, 0.5)
    chosen = begin[:-1, None] + ((step + within) / count * have).astype(np.intp)
    return pixels.take(chosen.ravel(), mode="clip")


def _most_common(normals: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """(R, 3) float64: the direction that most of (R, M, 3) normals have; across (R, N, 3) points without enough."""
    alike = normals @ normals.swapaxes(1, 2) > SAME_NORMAL_COS
    votes = alike.sum(2)
    chosen = alike[np.arange(len(votes)), votes.argmax(1)]
    mean = np.einsum("rm,rmi->ri", chosen, normals)
    thin = votes.max(1) < LEAST_NORMALS
    measured = ~np.isnan(xyz[thin][..., :1])
    own = np.where(measured, xyz[thin], 0.0)
    own = np.where(measured, own - own.sum(1, keepdims=True) / np.maximum(measured.sum(1, keepdims=True), 1), 0.0)
    mean[thin] = np.linalg.svd(own.swapaxes(1, 2) @ own)[0][..., -1]
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True))
