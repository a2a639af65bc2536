"""Poses in space: a rotation, then a shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RigidTransform:
    """Takes coordinates of one frame to another: p' = rotation @ p + translation."""

    rotation: np.ndarray  # (3, 3) float64, orthonormal, determinant 1
    translation: np.ndarray  # (3,) float64 metres

    @classmethod
    def from_quaternion(cls, xyzw: tuple[float, float, float, float], translation: np.ndarray) -> RigidTransform:
        """The transform with the rotation of a quaternion, which need not have unit length.

        Raises:
            ValueError: the quaternion is zero or not finite.
        """
        length = float(np.linalg.norm(xyzw))
        if not (np.isfinite(length) and length > 0.0):
            raise ValueError(f"{xyzw} is no rotation")
        x, y, z, w = np.asarray(xyzw, np.float64) / length
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        return cls(np.eye(3) + 2.0 * (w * cross + cross @ cross), np.asarray(translation, np.float64))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points in the other frame, in their own dtype."""
        rotation, translation = self.rotation.astype(points.dtype), self.translation.astype(points.dtype)
        return points @ rotation.T + translation


def quaternions(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions (R, 4) x y z w, w not negative, of rotation matrices (R, 3, 3).

    The quaternion is the eigenvector of Bar-Itzhack's matrix ("New method for extracting the quaternion from a
    rotation matrix", 2000, eq. 12) with the largest eigenvalue: without cases, and exact at half turns too.
    """
    m = np.asarray(rotations, np.float64).transpose(1, 2, 0)
    k = np.empty((m.shape[2], 4, 4))
    k[:, 0, 0], k[:, 1, 1] = m[0, 0] - m[1, 1] - m[2, 2], m[1, 1] - m[0, 0] - m[2, 2]
    k[:, 2, 2], k[:, 3, 3] = m[2, 2] - m[0, 0] - m[1, 1], m[0, 0] + m[1, 1] + m[2, 2]
    k[:, 1, 0], k[:, 2, 0], k[:, 2, 1] = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    k[:, 3, 0], k[:, 3, 1], k[:, 3, 2] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    found = np.linalg.eigh(k / 3.0)[1][:, :, -1]  # eigh reads the lower triangle and sorts ascending
    return np.where(found[:, 3:] < 0.0, -found, found)
