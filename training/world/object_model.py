"""What an object is made of before it stands in a scene: drawn parts, solids that collide, names and
attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.world import surfaces
from training.world.colours import COLOUR_NAMES, shade
from training.world.mesh import Mesh, rotation


@dataclass(frozen=True)
class Finish:
    """How a part looks: rgb (3,) in [0, 1], or a texture (h, w, 3) uint8 RGB instead; alpha below 1 is
    glass.
    """

    rgb: np.ndarray
    texture: np.ndarray | None = None
    shininess: float = 0.3
    specular: float = 0.3
    alpha: float = 1.0


@dataclass(frozen=True)
class Part:
    """A mesh with its finish."""

    mesh: Mesh
    finish: Finish


@dataclass(frozen=True)
class Collider:
    """A convex solid for physics, never drawn. `size` as MuJoCo's geom of that shape wants it; hull:
    vertices (N, 3).
    """

    shape: str  # box | cylinder | sphere | capsule | ellipsoid | hull
    size: tuple[float, ...] = ()
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation: np.ndarray | None = None  # (3, 3)
    hull: np.ndarray | None = None


@dataclass(frozen=True)
class ObjectModel:
    """One object in its own frame: z up as it naturally stands, origin near its middle.

    `name` is the plain English noun, `nouns` every noun that is true of it (the name among them). `colour`
    and `pattern` are words for captions, None where no single word would be right (natural food colours: a
    word only where kinds come in several). `upright` is the share of upright poses at the start; the other
    poses are tumbled.
    """

    name: str
    nouns: tuple[str, ...]
    parts: tuple[Part, ...]
    colliders: tuple[Collider, ...]
    colour: str | None = None
    pattern: str | None = None
    upright: float = 0.9
    holds: str | None = None  # "in" or "on": how other things can lie with it

    def bounds(self) -> np.ndarray:
        """(2, 3) lowest and highest corner in metres."""
        points = np.concatenate([part.mesh.vertices for part in self.parts])
        return np.stack([points.min(axis=0), points.max(axis=0)])

    def length(self) -> float:
        """Diagonal of the bounding box in metres; tells big from small."""
        return float(np.linalg.norm(np.ptp(self.bounds(), axis=0)))

    def scaled(self, factor: float) -> ObjectModel:
        """The same thing `factor` times as large."""
        parts = tuple(replace(p, mesh=p.mesh.scaled(factor, factor, factor)) for p in self.parts)
        colliders = tuple(
            replace(
                c,
                size=tuple(factor * s for s in c.size),
                position=(factor * c.position[0], factor * c.position[1], factor * c.position[2]),
                hull=None if c.hull is None else factor * c.hull,
            )
            for c in self.colliders
        )
        return replace(self, parts=parts, colliders=colliders)


@dataclass(frozen=True)
class Kind:
    """A sort of household object: `build(rng)` makes a new one of random proportions and finish."""

    name: str
    build: Callable[[np.random.Generator], ObjectModel]


class Paint:
    """Chooses one colour, and sometimes a pattern, for a man-made thing and hands out matching finishes."""

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        patterns: float = 0.25,
        among: Sequence[str] = COLOUR_NAMES,
        gloss: tuple[float, float] = (0.1, 0.8),
    ) -> None:
        self.colour = str(rng.choice(list(among)))
        self.rgb = shade(self.colour, rng)
        self.pattern: str | None = None
        self.shininess = float(rng.uniform(*gloss))
        self.specular = float(rng.uniform(0.1, 0.7) * self.shininess + 0.05)
        texture = None
        if rng.random() < patterns:
            light = self.rgb.mean() > 0.45
            others = ("black", "blue", "brown", "red") if light else ("white", "yellow", "white")
            second = shade(str(rng.choice([name for name in others if name != self.colour])), rng)
            self.pattern = str(rng.choice(["striped", "striped", "checkered", "dotted"]))
            texture = {
                "striped": surfaces.striped,
                "checkered": surfaces.checkered,
                "dotted": surfaces.dotted,
            }[self.pattern](rng, self.rgb, second)
        elif rng.random() < 0.35:
            texture = surfaces.mottled(rng, self.rgb, rng.uniform(0.03, 0.15), rng.uniform(4, 24))
        self.main = Finish(self.rgb, texture, self.shininess, self.specular)
        self.flat = Finish(self.rgb, None, self.shininess, self.specular)


def metal(rng: np.random.Generator, brightness: float = 0.68) -> Finish:
    """Steel."""
    return Finish(np.full(3, brightness) + rng.uniform(-0.08, 0.08), None, 0.85, 0.9)


def plain(rgb: Sequence[float] | np.ndarray, gloss: float = 0.3) -> Finish:
    """One colour all over; gloss from 0 (chalk) to 1 (glaze)."""
    return Finish(np.asarray(rgb, dtype=float), None, gloss, gloss)


def solid_cylinder(radius: float, low: float, high: float) -> Collider:
    """An upright cylinder from z = low to z = high."""
    return Collider("cylinder", (radius, (high - low) / 2.0), (0.0, 0.0, (low + high) / 2.0))


def solid_box(x: float, y: float, z: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Collider:
    """Full extents x, y, z."""
    return Collider("box", (x / 2.0, y / 2.0, z / 2.0), centre)


def rod(start: Sequence[float], end: Sequence[float], radius: float) -> Collider:
    """A capsule between two points."""
    a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    length = float(np.linalg.norm(b - a))
    z = (b - a) / length
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    middle = (a + b) / 2.0
    return Collider(
        "capsule",
        (radius, length / 2.0),
        (float(middle[0]), float(middle[1]), float(middle[2])),
        np.stack([x, np.cross(z, x), z], axis=1),
    )


def ring_wall(
    bottom: float, top: float, low: float, high: float, *, count: int = 10, thickness: float = 0.008
) -> tuple[Collider, ...]:
    """Boxes round the z axis that make a hollow vessel: inner radius `bottom` at z = low, `top` at z =
    high.
    """
    middle = (bottom + top) / 2.0
    lean = np.arctan2(top - bottom, high - low)
    half_length = np.hypot(top - bottom, high - low) / 2.0
    half_width = max(bottom, top) * np.tan(np.pi / count)
    walls = []
    for angle in np.arange(count) * 2.0 * np.pi / count:
        position = (float(middle * np.cos(angle)), float(middle * np.sin(angle)), (low + high) / 2.0)
        turn = rotation("z", angle) @ rotation("y", lean)
        walls.append(Collider("box", (thickness / 2.0, half_width, half_length), position, turn))
    return tuple(walls)
