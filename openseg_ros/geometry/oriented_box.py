"""Boxes around the points of regions: tight, turned with the object, and upright where up is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_ros.geometry.pinhole import ImagePoints
from openseg_ros.geometry.region_points import crop_with_margin, edge_width, without_edge
from openseg_ros.geometry.rigid_transform import RigidTransform

# Pixels inside an outline add nothing to a box that every second or third of them does not: more than this number
# are thinned, those at the outline stay.
ENOUGH_POINTS = 2000
# A pixel at an outline is believed where its depth could be that of a surface at most so steep (tangent; 76 degrees)
# that begins at the region's inner part. Beyond, the pixel shows a mixture with the background.
STEEPEST = 4.0
NORMALS = 200  # pixels whose surface normals vote for the axis of a box without a known up
SAME_NORMAL_COS = np.cos(np.radians(10.0))


@dataclass(frozen=True)
class OrientedBoxes:
    """R boxes in one frame; NaN throughout for a region without a measured point."""

    centre: np.ndarray  # (R, 3) float64 metres
    rotation: np.ndarray  # (R, 3, 3) float64: columns are the box's axes: long side, short side, up (or the normal)
    size: np.ndarray  # (R, 3) float64 metres, full edge lengths along these axes

    def moved(self, transform: RigidTransform) -> OrientedBoxes:
        """The same boxes in another frame. Sizes do not change: the axes turn with the box."""
        return OrientedBoxes(transform.apply(self.centre), transform.rotation @ self.rotation, self.size)


def oriented_boxes(
    points: ImagePoints, boxes: np.ndarray, masks: Sequence[np.ndarray], up: np.ndarray | None
) -> OrientedBoxes:
    """The box around what was measured of each region.

    With `up`, a box stands upright and its base is the rectangle of least area. Without, the axis that has this role
    is the direction that most of the region's surface faces.

    Args:
        points: of the image.
        boxes: (R, 4) x y width height, pixels.
        masks: R of (height, width) uint8, not 0 inside.
        up: (3,) unit vector in the frame of `points`, or None.

    Returns:
        The boxes in the frame of `points`. The first axis points to the right of the picture.
    """
    count = len(masks)
    found = OrientedBoxes(np.full((count, 3), np.nan), np.full((count, 3, 3), np.nan), np.full((count, 3), np.nan))
    for row, (box, mask) in enumerate(zip(boxes.tolist(), masks, strict=True)):
        surface, inner = _surface(points, box, mask)
        own = _thinned(surface, inner)
        if len(own):
            axis = _facing(surface, own) if up is None else np.asarray(up, np.float64)
            found.centre[row], found.rotation[row], found.size[row] = _box_along(own, axis)
    return found


def _surface(points: ImagePoints, box: Sequence[int], mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A region's surface: its points (h, w, 3), NaN outside it, and which pixels are not at its outline (h, w) bool.

    Depth is averaged over the pixels around, of which only measured ones count that lie inside the region and not at
    its outline. So noise does not blow up the box and holes close. Pixels at the outline keep their direction; where
    depth cameras have mixed object and background there, they take their depth from the inner part. Parts that are too
    thin to have an inner part (the tip of a knife) are looked at nearer to their outline.
    """
    edge = edge_width(points.camera.size[1])
    window, padded = crop_with_margin(box, mask, edge, points.camera.size)
    inner = without_edge(padded, edge)
    depth = points.xyz[window][..., 2]
    measured = (padded > 0) & ~np.isnan(depth)
    z = np.full(depth.shape, np.nan, np.float32)
    for trusted in (inner, without_edge(padded, max(1, edge // 2))):
        mean = _window_mean(depth, measured & trusted, edge)
        np.copyto(z, mean, where=(padded > 0) & np.isnan(z))
    farthest = STEEPEST * edge * z / points.camera.fx
    believed = measured & ~inner & (np.abs(depth - z) < farthest)
    np.copyto(z, _window_mean(depth, believed, 1), where=believed)
    return points.camera.at_depth(z, window[1].start, window[0].start), inner


def _window_mean(values: np.ndarray, counts: np.ndarray, reach: int) -> np.ndarray:
    """(h, w) float32: mean of `values` over the pixels at most `reach` away where `counts`; NaN where there is none."""
    size = (2 * reach + 1, 2 * reach + 1)
    weight = cv2.boxFilter(counts.astype(np.float32), -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    masked = np.where(counts, values, np.float32(0))
    total = cv2.boxFilter(masked, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    mean = np.full(values.shape, np.nan, np.float32)
    np.divide(total, weight, out=mean, where=weight > 0.5)
    return mean


def _thinned(surface: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(N, 3) points of a surface, in the inner part only as many as a box needs."""
    kept = ~np.isnan(surface[..., 2])
    inside = kept & inner
    step = int(np.sqrt(np.count_nonzero(inside) / ENOUGH_POINTS)) + 1
    inside[::step, ::step] = False  # these stay
    kept &= ~inside
    chosen: np.ndarray = surface[kept]
    return chosen


def _facing(surface: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(3,) the direction that most of a surface faces; where it is too thin for that, across its flattest side."""
    across = surface[1:-1, 2:] - surface[1:-1, :-2]
    along = surface[2:, 1:-1] - surface[:-2, 1:-1]
    rows, columns = np.nonzero(~np.isnan(across[..., 2] + along[..., 2]))
    if len(rows) < 3:
        centred = own - own.mean(0)
        return np.asarray(np.linalg.svd(centred.T @ centred)[0][:, -1], np.float64)
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), NORMALS)).astype(int)
    normals = np.cross(across[rows, columns][chosen], along[rows, columns][chosen]).astype(np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    alike = normals @ normals.T > SAME_NORMAL_COS
    mean: np.ndarray = normals[alike[alike.sum(1).argmax()]].mean(0)
    return mean / np.linalg.norm(mean)


def _box_along(own: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre (3,), rotation (3, 3) and size (3,) of the box whose third axis is `axis` and whose base is least."""
    first = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    first /= np.linalg.norm(first)
    frame = np.stack([first, np.cross(axis, first), axis], axis=1)
    local = own @ frame
    (x, y), (a, b), degrees = cv2.minAreaRect(np.ascontiguousarray(local[:, :2], np.float32))
    turn = np.radians(degrees) if a >= b else np.radians(degrees + 90.0)
    long_side = frame[:, :2] @ (np.cos(turn), np.sin(turn))
    if long_side[0] < 0.0:
        long_side = -long_side
    low, high = local[:, 2].min(), local[:, 2].max()
    rotation = np.stack([long_side, np.cross(axis, long_side), axis], axis=1)
    return frame @ (x, y, (low + high) / 2.0), rotation, np.array([max(a, b), min(a, b), high - low])
