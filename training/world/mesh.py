"""Triangle meshes with normals and texture coordinates, and the few ways in which this world makes them.

Lengths are metres, z is up. Vertices stand twice where a crease or a texture seam runs, so that normals and
texture coordinates belong to vertices. Triangles are counter-clockwise seen from outside.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CREASE_COSINE = 0.72  # profile bends sharper than about 44 degrees are drawn as edges
_TINY = 1e-12


@dataclass(frozen=True)
class Mesh:
    """vertices (N, 3), normals (N, 3) unit length, uv (N, 2) in texture widths, faces (F, 3) int32."""

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    faces: np.ndarray

    def transformed(self, linear: np.ndarray, offset: Sequence[float] = (0.0, 0.0, 0.0)) -> Mesh:
        """Applies x -> linear @ x + offset; `linear` (3, 3) must not mirror."""
        normals = _unit(self.normals @ np.linalg.inv(linear))
        return Mesh(self.vertices @ linear.T + np.asarray(offset), normals, self.uv, self.faces)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """Shifts by metres."""
        return Mesh(self.vertices + np.array([x, y, z]), self.normals, self.uv, self.faces)

    def scaled(self, x: float, y: float, z: float) -> Mesh:
        """Stretches along the axes by positive factors."""
        return self.transformed(np.diag([x, y, z]))

    def rotated(self, axis: str, angle: float) -> Mesh:
        """Rotates by `angle` radians about the axis "x", "y" or "z" through the origin."""
        return self.transformed(rotation(axis, angle))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _TINY)


def rotation(axis: str, angle: float) -> np.ndarray:
    """(3, 3) right-handed rotation by `angle` radians about "x", "y" or "z"."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=True)]),
    )


def _grid_faces(rows: int, columns: int) -> np.ndarray:
    """Triangles of a (rows, columns) vertex grid, flattened row by row."""
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])


def _without_slivers(mesh: Mesh) -> Mesh:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return Mesh(mesh.vertices, mesh.normals, mesh.uv, mesh.faces[area > 1e-11])


def lathe(profile: Sequence[tuple[float, float]], segments: int = 24) -> Mesh:
    """Turns a profile of (radius, z) points about the z axis.

    Outside is on the right of the walking direction when r points right and z up: from the bottom centre
    outwards, up the outer wall, and down the inner one.
    """
    points = np.asarray(profile, dtype=float)
    steps = np.diff(points, axis=0)
    points = points[np.concatenate([[True], np.linalg.norm(steps, axis=1) > 1e-7])]
    steps = np.diff(points, axis=0)
    edge_normals = _unit(np.stack([steps[:, 1], -steps[:, 0]], axis=1))
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps, axis=1))])
    angles = np.linspace(0.0, 2.0 * np.pi, segments + 1)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    runs: list[Mesh] = []
    bends = np.sum(edge_normals[:-1] * edge_normals[1:], axis=1)
    borders = [0, *(np.flatnonzero(bends < CREASE_COSINE) + 1), len(points) - 1]
    for first, last in itertools.pairwise(borders):
        run, run_edges = points[first : last + 1], edge_normals[first:last]
        normals = _unit(np.concatenate([run_edges[:1], run_edges[:-1] + run_edges[1:], run_edges[-1:]]))
        count = len(run)
        vertices = np.empty((count, segments + 1, 3))
        vertices[..., :2] = run[:, None, :1] * around[None]
        vertices[..., 2] = run[:, None, 1]
        directions = np.empty_like(vertices)
        directions[..., :2] = normals[:, None, :1] * around[None]
        directions[..., 2] = normals[:, None, 1]
        uv = np.empty((count, segments + 1, 2))
        uv[..., 0] = angles / (2.0 * np.pi)
        uv[..., 1] = (lengths[first : last + 1] / lengths[-1])[:, None]
        faces = _grid_faces(count, segments + 1)
        runs.append(Mesh(vertices.reshape(-1, 3), directions.reshape(-1, 3), uv.reshape(-1, 2), faces))
    return _without_slivers(join(runs))


def sweep(
    path: np.ndarray,
    width: float | np.ndarray,
    height: float | np.ndarray,
    *,
    normal: Sequence[float] = (0.0, 0.0, 1.0),
    sides: int = 12,
    squareness: float = 2.0,
    closed: bool = False,
) -> Mesh:
    """Draws a super-elliptic section along a plane curve.

    path (n, 3) lies in a plane with the given normal; width is the half extent inside that plane, height
    the half extent along the normal, each one number or (n,); squareness 2 is an ellipse, 8 nearly a
    rectangle. `closed` joins the end to the start (for rings); otherwise both ends get flat caps.
    """
    path = np.asarray(path, dtype=float)
    if closed:
        path = np.concatenate([path, path[:1]])
    count = len(path)
    widths = np.broadcast_to(np.asarray(width, dtype=float), (count,))
    heights = np.broadcast_to(np.asarray(height, dtype=float), (count,))
    up = _unit(np.asarray(normal, dtype=float))
    tangents = np.gradient(path, axis=0)
    if closed:
        tangents[0] = tangents[-1] = path[1] - path[-2]
    tangents = _unit(tangents)
    side = _unit(np.cross(up, tangents))

    angles = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    c, s = np.cos(angles), np.sin(angles)
    power = 2.0 / squareness
    across, along_normal = np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power
    rings = (
        path[:, None]
        + side[:, None] * (across[None] * widths[:, None])[..., None]
        + up * (along_normal[None] * heights[:, None])[..., None]
    )
    around = np.roll(rings[:, :-1], -1, axis=1) - np.roll(rings[:, :-1], 1, axis=1)
    around = np.concatenate([around, around[:, :1]], axis=1)
    along = np.gradient(rings, axis=0)
    if closed:
        along[0] = along[-1] = rings[1] - rings[-2]
    normals = np.cross(around, along)
    degenerate = np.linalg.norm(normals, axis=-1) < 1e-14
    normals[degenerate] = np.broadcast_to(tangents[:, None], normals.shape)[degenerate]
    uv = np.empty((count, sides + 1, 2))
    uv[..., 0] = angles / (2.0 * np.pi)
    uv[..., 1] = np.linspace(0.0, 1.0, count)[:, None]
    faces = _grid_faces(count, sides + 1)
    wall = Mesh(rings.reshape(-1, 3), _unit(normals).reshape(-1, 3), uv.reshape(-1, 2), faces)
    parts = [wall]
    if not closed:
        parts += [_cap(rings[0, :-1], -tangents[0]), _cap(rings[-1, :-1], tangents[-1])]
    return _without_slivers(join(parts))


def _cap(ring: np.ndarray, outward: np.ndarray) -> Mesh:
    """A flat lid over a star-shaped ring (n, 3)."""
    count = len(ring)
    centre = ring.mean(axis=0)
    index = np.arange(count, dtype=np.int32)
    following = np.roll(index, -1)
    area_vector = np.cross(ring - centre, np.roll(ring, -1, axis=0) - centre).sum(axis=0)
    order = (index, following) if area_vector @ outward >= 0.0 else (following, index)
    faces = np.stack([np.full(count, count, dtype=np.int32), *order], axis=1)
    vertices = np.concatenate([ring, centre[None]])
    return Mesh(vertices, np.tile(outward, (count + 1, 1)), np.full((count + 1, 2), 0.5), faces)


def slab(outline: np.ndarray, thickness: float) -> Mesh:
    """Extrudes a star-shaped outline (n, 2), counter-clockwise, from z = 0 to `thickness`; uv spans its
    bounding box.
    """
    count = len(outline)
    low, high = outline.min(axis=0), outline.max(axis=0)
    bottom = np.column_stack([outline, np.zeros(count)])
    top = bottom + np.array([0.0, 0.0, thickness])
    lids = []
    for ring, outward in ((top, np.array([0.0, 0.0, 1.0])), (bottom, np.array([0.0, 0.0, -1.0]))):
        lid = _cap(ring, outward)
        lids.append(Mesh(lid.vertices, lid.normals, (lid.vertices[:, :2] - low) / (high - low), lid.faces))
    following = np.roll(np.arange(count), -1)
    a, b, c, d = bottom, bottom[following], top[following], top
    outward = _unit(np.cross(b - a, d - a))
    vertices = np.stack([a, b, c, d], axis=1).reshape(-1, 3)
    index = 4 * np.arange(count, dtype=np.int32)[:, None]
    faces = np.concatenate([index + np.array([[0, 1, 2]]), index + np.array([[0, 2, 3]])]).astype(np.int32)
    uv = (vertices[:, :2] - low) / (high - low)
    return join([*lids, Mesh(vertices, np.repeat(outward, 4, axis=0), uv, faces)])


def box(x: float, y: float, z: float, bevel: float = 0.0, *, atlas: bool = False) -> Mesh:
    """A box of full extents x, y, z about the origin with bevelled edges.

    Each face shows the whole texture, or with `atlas` its own cell of a texture of 3 x 2 cells
    (columns x, y, z; row 0 the negative side).
    """
    half = np.array([x, y, z]) / 2.0
    bevel = min(bevel, 0.45 * min(x, y, z))
    inner = half - bevel
    polygons: list[tuple[np.ndarray, np.ndarray]] = []
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        for sign in (-1.0, 1.0):
            corners = np.zeros((4, 3))
            corners[:, axis] = sign * half[axis]
            corners[:, j] = np.array([-1, 1, 1, -1]) * inner[j]
            corners[:, k] = np.array([-1, -1, 1, 1]) * inner[k]
            uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
            if axis == 1:  # keep the picture's "up" along z on all four upright faces
                uv = uv[:, ::-1]
            if atlas:
                uv = (uv * 0.98 + 0.01 + [axis, (sign > 0) * 1.0]) / [3.0, 2.0]
            polygons.append((corners, uv))
    if bevel > 0.0:
        for axis in range(3):
            j, k = (axis + 1) % 3, (axis + 2) % 3
            for sj in (-1.0, 1.0):
                for sk in (-1.0, 1.0):
                    corners = np.zeros((4, 3))
                    corners[:, axis] = np.array([-1, 1, 1, -1]) * inner[axis]
                    corners[:, j] = sj * np.array([half[j], half[j], inner[j], inner[j]])
                    corners[:, k] = sk * np.array([inner[k], inner[k], half[k], half[k]])
                    polygons.append((corners, np.full((4, 2), 0.01)))
        for signs in np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(-1, 3):
            corners = np.tile(signs * inner, (3, 1)) + np.diag(signs * bevel)
            polygons.append((corners, np.full((3, 2), 0.01)))
    return _convex(polygons)


def _convex(polygons: Sequence[tuple[np.ndarray, np.ndarray]]) -> Mesh:
    """Flat-shaded polygons (corners, uv) around the origin, turned so that they face outwards."""
    parts = []
    for corners, uv in polygons:
        direction = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        if direction @ corners.mean(axis=0) < 0.0:
            corners, uv, direction = corners[::-1], uv[::-1], -direction
        count = len(corners)
        index = np.arange(1, count - 1, dtype=np.int32)
        faces = np.stack([np.zeros_like(index), index, index + 1], axis=1)
        parts.append(Mesh(corners, np.tile(_unit(direction), (count, 1)), uv, faces))
    return join(parts)


def ellipsoid(x: float, y: float, z: float, segments: int = 20) -> Mesh:
    """Full extents x, y, z about the origin."""
    angles = np.linspace(-np.pi / 2.0, np.pi / 2.0, segments // 2 + 1)
    profile = [(max(np.cos(a), 0.0) / 2.0, np.sin(a) / 2.0) for a in angles]
    return lathe(profile, segments).scaled(x, y, z)


def cylinder(radius: float, height: float, segments: int = 20, *, top: float | None = None) -> Mesh:
    """From z = 0 to `height`, with another radius at the top if given (a cone frustum)."""
    end = radius if top is None else top
    return lathe([(0.0, 0.0), (radius, 0.0), (end, height), (0.0, height)], segments)


def arc(radius: float, start: float, stop: float, count: int, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """(count, 2) points of a circular arc, angles in radians."""
    angles = np.linspace(start, stop, count)
    return np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)


def curve(points: Sequence[Sequence[float]], count: int) -> np.ndarray:
    """(count, d) samples of a smooth (Catmull-Rom) curve through the points."""
    p = np.asarray(points, dtype=float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0.0, len(p) - 3 - 1e-9, count)
    i = t.astype(int)
    f = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return 0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3)
