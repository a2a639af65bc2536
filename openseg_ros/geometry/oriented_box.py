"""Boxes around the points of regions: tight, turned with the object, and upright where up is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from openseg_ros.geometry.region_surface import RegionSurface, facing
from openseg_ros.geometry.rigid_transform import RigidTransform


@dataclass(frozen=True)
class OrientedBoxes:
    """R boxes in one frame; NaN throughout for a region without a measured point."""

    centre: np.ndarray  # (R, 3) float64 metres
    rotation: np.ndarray  # (R, 3, 3) float64: columns are the box's axes: long side, short side, up (or the normal)
    size: np.ndarray  # (R, 3) float64 metres, full edge lengths along these axes

    def moved(self, transform: RigidTransform) -> OrientedBoxes:
        """The same boxes in another frame. Sizes do not change: the axes turn with the box."""
        return OrientedBoxes(transform.apply(self.centre), transform.rotation @ self.rotation, self.size)


def oriented_boxes(surfaces: Sequence[RegionSurface], up: np.ndarray | None) -> OrientedBoxes:
    """The box around what was measured of each region.

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
    seen = [row for row, surface in enumerate(surfaces) if len(surface.xyz)]
    if not seen:
        return found
    measured = [surfaces[row] for row in seen]
    axes = facing(measured) if up is None else np.tile(np.asarray(up, np.float64), (len(seen), 1))
    frames = _frames(axes)
    local = [surface.xyz @ frame for surface, frame in zip(measured, frames.astype(np.float32), strict=True)]
    low = np.array([points[:, 2].min() for points in local], np.float64)
    high = np.array([points[:, 2].max() for points in local], np.float64)
    bases = [cv2.minAreaRect(np.ascontiguousarray(points[:, :2])) for points in local]
    middle, sides = np.array([base[0] for base in bases]), np.array([base[1] for base in bases])
    turn = np.radians([base[2] for base in bases]) + np.where(sides[:, 0] >= sides[:, 1], 0.0, np.pi / 2)

    long_side = np.einsum("rij,rj->ri", frames[..., :2], np.stack([np.cos(turn), np.sin(turn)], 1))
    long_side[long_side[:, 0] < 0.0] *= -1.0
    found.rotation[seen] = np.stack([long_side, np.cross(axes, long_side), axes], axis=2)
    found.centre[seen] = np.einsum("rij,rj->ri", frames, np.column_stack([middle, (low + high) / 2.0]))
    found.size[seen] = np.column_stack([sides.max(1), sides.min(1), high - low])
    return found


def _frames(axes: np.ndarray) -> np.ndarray:
    """(R, 3, 3) rotations whose third columns are `axes` (R, 3), the others anyhow."""
    first = np.cross(axes, np.eye(3)[np.abs(axes).argmin(1)])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(axes, first), axes], axis=2)
