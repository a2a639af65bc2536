"""Curves and profiles that several kinds are made from."""

import numpy as np

from training.world.mesh import Mesh, arc, curve, cylinder

Rng = np.random.Generator


def upright_curve(points: list[tuple[float, float]], count: int) -> np.ndarray:
    """(count, 3) smooth curve through (x, z) points in the plane y = 0."""
    xz = curve(points, count)
    return np.stack([xz[:, 0], np.zeros(count), xz[:, 1]], axis=1)


def hollow(outer: list[tuple[float, float]], wall: float, floor: float) -> tuple[list, list]:
    """Outer profile from the axis up to the rim, and the matching inner profile from the rim down to the
    axis.
    """
    rim = outer[-1]
    inner = [(r - wall, z) for r, z in reversed(outer) if z > floor and r > wall]
    bottom = max(inner[-1][0] - wall, 0.002)
    return outer, [rim, *inner, (bottom, floor), (0.0, floor)]


def along_x(length: float, count: int, height: np.ndarray | float = 0.0, start: float = 0.0) -> np.ndarray:
    """(count, 3) points along x from `start`, at the given heights."""
    x = start + np.linspace(0.0, length, count)
    return np.stack([x, np.zeros(count), np.broadcast_to(np.asarray(height, dtype=float), (count,))], axis=1)


def x_cylinder(radius: float, length: float, start: float, *, top: float | None = None, sides: int = 16) -> Mesh:
    """A cylinder along +x from x = start."""
    return cylinder(radius, length, sides, top=top).rotated("y", np.pi / 2).moved(x=start)


def rounded_rectangle(x: float, y: float, corner: float) -> np.ndarray:
    """(n, 2) counter-clockwise outline of full extents x, y."""
    quarters = [
        arc(corner, start, start + np.pi / 2, 5, (sx * (x / 2 - corner), sy * (y / 2 - corner)))
        for start, sx, sy in ((0, 1, 1), (np.pi / 2, -1, 1), (np.pi, -1, -1), (1.5 * np.pi, 1, -1))
    ]
    return np.concatenate(quarters)
