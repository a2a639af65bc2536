"""Boxes around the points of regions: tight, turned with the object, and upright where up is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.geometry.rigid_transform import RigidTransform

# The outermost points in so many directions stand for the outline of a base: of a circle they miss 0.1 % of the width.
DIRECTIONS = 64
COARSE, FINE = np.radians(2.0), np.radians(0.05)  # steps in which a base is turned


@dataclass(frozen=True)
class OrientedBoxes:
    """R boxes in one frame; NaN throughout for a region without a measured point."""

    centre: np.ndarray  # (R, 3) float64 metres
    rotation: np.ndarray  # (R, 3, 3) float64: columns are the box's axes: long side, short side, up (or the normal)
    size: np.ndarray  # (R, 3) float64 metres, full edge lengths along these axes

    def moved(self, transform: RigidTransform) -> OrientedBoxes:
        """The same boxes in another frame. Sizes do not change: the axes turn with the box."""
        return OrientedBoxes(transform.apply(self.centre), transform.rotation @ self.rotation, self.size)


def oriented_boxes(surfaces: RegionSurfaces, up: np.ndarray | None) -> OrientedBoxes:
    """The box around what was seen of each region: the far side of a thing, and what it stands on, are not in it.

    With `up`, a box stands upright and its base is the rectangle of least area. Without, the axis that has this role
    is the direction that most of the region's surface faces.

    Args:
        surfaces: of R regions.
        up: (3,) unit vector in the camera's frame, or None.

    Returns:
        The boxes in the camera's frame. The first axis points to the right of the picture.
    """
    count = len(surfaces)
    found = OrientedBoxes(np.full((count, 3), np.nan), np.full((count, 3, 3), np.nan), np.full((count, 3), np.nan))
    xyz = surfaces.xyz
    measured = ~np.isnan(xyz[..., 2])
    seen = np.flatnonzero(measured.any(1))
    if not seen.size:
        return found
    axes = surfaces.facing()[seen] if up is None else np.tile(np.asarray(up, np.float64), (len(seen), 1))
    # What was not measured becomes one of the region's other points.
    first = xyz[seen, measured[seen].argmax(1)]
    points = np.where(measured[seen][..., None], xyz[seen], first[:, None]).swapaxes(1, 2)  # (R, 3, N)

    frames = _frames(axes)
    turn = _least_turn(_outermost(frames[..., :2].swapaxes(1, 2).astype(np.float32) @ points))
    side = np.einsum("rij,rj->ri", frames[..., :2], np.stack([np.cos(turn), np.sin(turn)], 1))
    rotation = np.stack([side, np.cross(axes, side), axes], axis=2)
    local = rotation.swapaxes(1, 2).astype(np.float32) @ points
    low, high = local.min(2).astype(np.float64), local.max(2).astype(np.float64)
    size, centre = high - low, np.einsum("rij,rj->ri", rotation, (low + high) / 2.0)

    is_across = size[:, 0] < size[:, 1]
    rotation[is_across] = rotation[is_across][:, :, [1, 0, 2]]
    size[is_across] = size[is_across][:, [1, 0, 2]]
    rotation[rotation[:, 0, 0] < 0.0, :, 0] *= -1.0
    rotation[:, :, 1] = np.cross(rotation[:, :, 2], rotation[:, :, 0])
    found.rotation[seen], found.centre[seen], found.size[seen] = rotation, centre, size
    return found


def _outermost(base: np.ndarray) -> np.ndarray:
    """(R, 2, `DIRECTIONS`) of (R, 2, N) points."""
    angles = np.arange(DIRECTIONS) * (2.0 * np.pi / DIRECTIONS)
    towards = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    outermost = (towards @ base).argmax(2)
    return np.take_along_axis(base, outermost[:, None], axis=2)


def _least_turn(base: np.ndarray) -> np.ndarray:
    """(R,) radians: the turn of the rectangle of least area around each of (R, 2, K) points."""
    best = np.zeros((len(base), 1))
    for steps in (np.arange(0.0, np.pi / 2.0, COARSE), np.arange(-COARSE, COARSE, FINE)):
        turns = best + steps
        cos, sin = (part[..., None].astype(np.float32) for part in (np.cos(turns), np.sin(turns)))
        x, y = base[:, :1], base[:, 1:]
        areas = np.ptp(cos * x + sin * y, axis=2) * np.ptp(cos * y - sin * x, axis=2)
        best = np.take_along_axis(turns, areas.argmin(1)[:, None], axis=1)
    return best[:, 0]


def _frames(axes: np.ndarray) -> np.ndarray:
    """(R, 3, 3) rotations whose third columns are `axes` (R, 3), the others anyhow."""
    first = np.cross(axes, np.eye(3)[np.abs(axes).argmin(1)])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(axes, first), axes], axis=2)
