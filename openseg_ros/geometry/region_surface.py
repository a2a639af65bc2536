"""The surface of a region, out of what a depth camera measured: with little noise, and clean along its outline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import cv2
import numpy as np

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.outline import crop_with_margin, edge_width, without_edge

# Noise that is left in single points makes a box larger: the extremes of thousands of normal values lie three sigma
# out, on both sides. With half a millimetre that is 3 mm.
NOISE_ALLOWED = 0.0005  # metres
# A pixel at an outline is believed where its depth could be that of a surface at most so steep (tangent; 79 degrees)
# that begins at the region's inner part. Beyond, the pixel shows a mixture with the background.
STEEPEST = 5.0
# The outline and the inner part of a region are thinned to about this number of points each: a box needs no more.
ENOUGH_POINTS = 1000
NORMALS = 100  # places that are enough to know where a surface faces
LEAST_NORMALS = 3
SAME_NORMAL_COS = np.cos(np.radians(10.0))


class RegionSurface:
    """What was measured of one region, in the camera's optical frame.

    The inner part is what does not lie along the outline, and the middle of what is too thin for that (the tip of a
    knife). Depth there is averaged over the pixels around, as wide as the noise asks for, so that exact depth stays
    exact. Pixels along the outline keep their direction; where depth cameras have mixed object and background, and in
    holes, they take their depth from the inner part.

    benchmark/README.md says how exact this is, and what it misses.

    Pixels are numbers of the flattened picture around the region.
    """

    def __init__(self, points: ImagePoints, box: Sequence[int], mask: np.ndarray) -> None:
        """Of a region with `mask` (height, width) uint8, not 0 inside, in `box`: x y width height, pixels."""
        self._edge = edge_width(points.camera.size[1])
        window, padded = crop_with_margin(box, mask, self._edge, points.camera.size)
        self._noise = points.noise
        self._z = np.ascontiguousarray(points.z[window])
        right, down = points.camera.tangents()
        self._right, self._down = right[window[1]], down[window[0]]

        self._inner = _inner_part(padded, self._edge)
        self._trusted = self._inner & points.is_measured[window]
        self._mean = _WindowMean(self._z, self._trusted, self._edge)
        outline = np.flatnonzero((padded > 0) & ~self._inner)
        self._outline_size = len(outline)
        self._outline = _thinned(outline)
        depth = self._mean.at(self._outline)
        seen = self._z.take(self._outline)
        farthest = STEEPEST * self._edge / points.camera.fx * depth
        self._is_believed = (seen > 0.0) & (np.abs(seen - depth) < farthest)
        self._outline_z = np.where(self._is_believed, seen, depth)

    @cached_property
    def centroid(self) -> np.ndarray:
        """(3,) float64 metres, the mean position; NaN where nothing was measured."""
        sums = self._mean.values @ np.stack([self._right, np.ones_like(self._right)], axis=1)
        x, z = sums.T.astype(np.float64)  # of every row
        outline = self._at(self._outline, self._outline_z)
        outline = outline[~np.isnan(outline[:, 2])].astype(np.float64)
        weight = self._outline_size / max(len(self._outline), 1)
        count = np.count_nonzero(self._trusted) + weight * len(outline)
        total = weight * outline.sum(0) + (x.sum(), z @ self._down, z.sum())
        return total / count if count else np.full(3, np.nan)

    @cached_property
    def xyz(self) -> np.ndarray:
        """(N, 3) float32 metres: enough points to find the region's extent."""
        reach = next((r for r in range(self._edge) if self._noise <= NOISE_ALLOWED * (2 * r + 1)), self._edge)
        inside = self._thinned_inner
        inner_z = self._mean.at(inside)
        if reach < self._edge:
            narrow = _WindowMean(self._z, self._trusted, reach).at(inside)
            inner_z = np.where(np.isnan(narrow), inner_z, narrow)
        believed = np.zeros(self._z.shape, bool)
        believed.ravel()[self._outline] = self._is_believed
        outline_z = _WindowMean(self._z, believed, reach).at(self._outline)
        outline_z = np.where(self._is_believed, outline_z, self._outline_z)
        found = np.concatenate([self._at(self._outline, outline_z), self._at(inside, inner_z)])
        return found[~np.isnan(found[:, 2])]

    @cached_property
    def _thinned_inner(self) -> np.ndarray:
        step = int(np.sqrt(np.count_nonzero(self._inner) / ENOUGH_POINTS)) + 1
        coarse = self._inner[::step, ::step]
        rows, columns = np.divmod(np.flatnonzero(coarse), coarse.shape[1])
        return (rows * self._z.shape[1] + columns) * step

    def tangents(self) -> tuple[np.ndarray, np.ndarray]:
        """Differences of points to the right and down the picture, (n, 3) float32 metres each, at inner places."""
        inside = self._thinned_inner
        inside = inside[:: len(inside) // NORMALS + 1]
        (height, width), edge = self._z.shape, self._edge
        rows, columns = np.divmod(inside, width)
        left, right = np.minimum(columns, edge), np.minimum(width - 1 - columns, edge)
        above, below = np.minimum(rows, edge), np.minimum(height - 1 - rows, edge)
        ends = np.concatenate([inside - left, inside + right, inside - above * width, inside + below * width])
        z = np.where(self._inner.take(ends), self._mean.at(ends), np.nan)
        found = self._at(ends, z).reshape(4, -1, 3)
        found = found[:, ~np.isnan(found[..., 2]).any(0)]
        return found[1] - found[0], found[3] - found[2]

    def _at(self, pixels: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(N, 3) float32: the points that these pixels show at depth `z` (N,)."""
        rows, columns = np.divmod(pixels, self._z.shape[1])
        points = np.empty((len(pixels), 3), np.float32)
        np.multiply(z, self._right.take(columns), out=points[:, 0])
        np.multiply(z, self._down.take(rows), out=points[:, 1])
        points[:, 2] = z
        return points


def _thinned(pixels: np.ndarray) -> np.ndarray:
    """About `ENOUGH_POINTS` of (N,) numbers of pixels, or all if there are no more."""
    if len(pixels) <= ENOUGH_POINTS:
        return pixels
    # The golden ratio: with a whole step, all might come from the left side of an outline that has 4 pixels per row.
    step = len(pixels) // ENOUGH_POINTS + 0.618
    return pixels[np.arange(0.0, len(pixels), step).astype(int)]


def _inner_part(mask: np.ndarray, edge: int) -> np.ndarray:
    """(h, w) bool: what is farther than `edge` from the outline, and the middle of parts that are too thin for that."""
    inner, half = without_edge(mask, edge), max(1, edge // 2)
    reach = 2 * (edge - half) + 1
    near = cv2.dilate(inner.view(np.uint8), np.ones((reach, reach), np.uint8))
    return inner | (without_edge(mask, half) & (near == 0))


class _WindowMean:
    """Mean of (h, w) values over the pixels at most `reach` away that count."""

    def __init__(self, values: np.ndarray, counts: np.ndarray, reach: int) -> None:
        size, mask = (2 * reach + 1, 2 * reach + 1), counts.view(np.uint8)
        window_sum = partial(cv2.boxFilter, ksize=size, normalize=False, borderType=cv2.BORDER_CONSTANT)
        self.values = cv2.copyTo(values, mask)  # 0 where they do not count
        self._total = window_sum(self.values, cv2.CV_32F)
        self._count = window_sum(mask, cv2.CV_16U)

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """(N,) float32; NaN where none counts."""
        count = self._count.take(pixels)
        mean = np.full(len(pixels), np.nan, np.float32)
        np.divide(self._total.take(pixels), count, out=mean, where=count > 0)
        return mean


def region_surfaces(points: ImagePoints, boxes: np.ndarray, masks: Sequence[np.ndarray]) -> list[RegionSurface]:
    """The surfaces of R regions.

    Args:
        points: of the image.
        boxes: (R, 4) x y width height, pixels.
        masks: R of (height, width) uint8, not 0 inside.
    """
    return [RegionSurface(points, box, mask) for box, mask in zip(boxes.tolist(), masks, strict=True)]


def centroids(surfaces: Sequence[RegionSurface]) -> np.ndarray:
    """(R, 3) float64 metres, the mean positions; NaN for a region without a measured point."""
    return np.array([surface.centroid for surface in surfaces]).reshape(-1, 3)


def facing(surfaces: Sequence[RegionSurface]) -> np.ndarray:
    """(R, 3) float64 unit vectors: where most of each surface faces; of a thin one, across its flattest side."""
    tangents = [surface.tangents() for surface in surfaces]
    across, along = (np.concatenate(parts) for parts in zip(*tangents, strict=True))
    normals = np.cross(across, along).astype(np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    own = np.split(normals, np.cumsum([len(part) for part, _ in tangents])[:-1])
    return np.stack([_facing(part, surface.xyz) for part, surface in zip(own, surfaces, strict=True)])


def _facing(normals: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    if len(normals) < LEAST_NORMALS:
        centred = xyz - xyz.mean(0)
        return np.asarray(np.linalg.svd(centred.T @ centred)[0][:, -1], np.float64)
    alike = normals @ normals.T > SAME_NORMAL_COS
    mean: np.ndarray = normals[alike[alike.sum(1).argmax()]].mean(0)
    return mean / np.linalg.norm(mean)
