"""Skins, stems and leaves that fruit and vegetables share."""

import numpy as np

from training.world import surfaces
from training.world.mesh import Mesh, join, sweep
from training.world.object_model import (
    Collider,
    Finish,
)

Rng = np.random.Generator


STEM = (0.33, 0.22, 0.10)
LEAF = (0.20, 0.45, 0.12)


def skin(rng: Rng, rgb: np.ndarray, strength: float = 0.12, cell: float = 14.0, gloss: float = 0.35) -> Finish:
    """One colour with soft blotches of about `cell` texture pixels."""
    return Finish(rgb, surfaces.mottled(rng, rgb, strength, cell), gloss, gloss)


def spheroid(r: float, z: float, stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Collider:
    """An ellipsoid of half extents r * stretch whose middle is at height z."""
    return Collider("ellipsoid", tuple(r * s for s in stretch), (0.0, 0.0, z))


def calyx(radius: float, count: int, droop: float) -> Mesh:
    """A star of small leaves about the z axis, its middle at the origin."""
    leaves = []
    for angle in np.arange(count) * 2 * np.pi / count:
        t = np.linspace(0, 1, 6)
        path = np.stack([radius * t, np.zeros(6), -droop * t**2], axis=1)
        width = radius * 0.22 * np.sin(np.pi * np.clip(t * 0.9 + 0.1, 0, 1)) + 1e-4
        leaves.append(sweep(path, width, 0.0008, sides=6).rotated("z", angle))
    return join(leaves)


def dimpled(r: float, h: float, waist: float, dimple: float) -> list[tuple[float, float]]:
    """Profile of an apple-like body of radius r and height h standing on z = 0."""
    t = np.linspace(-np.pi / 2, np.pi / 2, 17)
    radius = r * np.cos(t) * (1 + waist * np.sin(t))
    z = (
        h / 2
        + h / 2 * np.sin(t)
        - dimple * np.exp(-((radius / (0.35 * r)) ** 2)) * np.sign(np.sin(t)) * (np.abs(t) > 0.8)
    )
    return [(max(float(a), 0.0), float(b)) for a, b in zip(radius, z, strict=True)]


def stem(height: float, radius: float = 0.0016) -> Mesh:
    """A bent stalk that rises `height` metres from the origin."""
    path = np.stack([np.linspace(0, height * 0.35, 6), np.zeros(6), np.linspace(0, height, 6)], axis=1)
    return sweep(path, radius, radius, normal=(0, 1, 0), sides=6)
