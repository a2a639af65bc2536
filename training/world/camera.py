"""Where the camera stands, and how points meet pixels.

Pixel centres have whole-number coordinates (the convention of OpenCV and of ROS camera_info), so a picture
W wide spans -0.5 to W - 0.5. The camera frame is the optical one: x right, y down, z forwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """position (3,) metres in the world, rotation (3, 3) whose columns are the optical axes in the world,
    fovy radians.
    """

    position: np.ndarray
    rotation: np.ndarray
    fovy: float

    def pose(self) -> np.ndarray:
        """(4, 4) camera-to-world transform."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.position
        return matrix

    def intrinsics(self, height: int, width: int) -> np.ndarray:
        """(3, 3) K in pixels."""
        focal = 0.5 * height / np.tan(self.fovy / 2.0)
        return np.array([[focal, 0.0, (width - 1) / 2.0], [0.0, focal, (height - 1) / 2.0], [0.0, 0.0, 1.0]])

    def project(self, points: np.ndarray, height: int, width: int) -> np.ndarray:
        """World points (N, 3) to (N, 3): pixel x, pixel y, depth in metres (negative: behind)."""
        local = (points - self.position) @ self.rotation
        depth = local[:, 2]
        k = self.intrinsics(height, width)
        safe = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        return np.stack([k[0, 0] * local[:, 0] / safe + k[0, 2], k[1, 1] * local[:, 1] / safe + k[1, 2], depth], -1)

    def gl_rotation(self) -> np.ndarray:
        """(3, 3) columns as MuJoCo wants them: x right, y up, z backwards."""
        return self.rotation * np.array([1.0, -1.0, -1.0])


def look_at(eye: np.ndarray, target: np.ndarray, fovy: float, roll: float = 0.0) -> Camera:
    """A camera at `eye` that looks at `target`, upright up to `roll` radians. Looking straight down is not
    defined.
    """
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return Camera(eye, np.stack([c * right + s * down, c * down - s * right, forward], axis=1), fovy)


def sample_camera(rng: np.random.Generator, centre: np.ndarray, radius: float, room_limit: float) -> Camera:
    """A camera for objects within `radius` metres of `centre`, staying within `room_limit` of the table's
    middle.
    """
    near_top_down = rng.random() < 0.18
    elevation = np.radians(rng.uniform(68, 87) if near_top_down else rng.uniform(20, 62))
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    fovy = np.radians(rng.uniform(34, 58))
    target = centre + rng.normal(0.0, 0.25, 3) * radius * np.array([1.0, 1.0, 0.2])
    distance = float(np.clip(radius / np.tan(fovy / 2.0) * rng.uniform(0.75, 1.45), 0.34, 1.3))
    away = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    eye = target + distance * away
    eye[:2] = np.clip(eye[:2], -room_limit, room_limit)
    return look_at(eye, target, float(fovy), float(rng.normal(0.0, np.radians(2.5))))
