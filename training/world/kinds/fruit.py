"""Fruit in its natural colours."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter
from training.world.kinds.plant_parts import LEAF, STEM, calyx, dimpled, skin, spheroid, stem
from training.world.mesh import arc, curve, ellipsoid, join, lathe, sweep
from training.world.object_model import (
    Collider,
    Finish,
    ObjectModel,
    Part,
    plain,
    rod,
)

Rng = np.random.Generator


def _streaks(rng: Rng) -> np.ndarray:
    """(64, 64, 1) in [0, 1]: soft streaks that run from stem to base."""
    columns = surfaces.noise(rng, 1, 64, 6, 3)
    return np.clip(0.5 + 0.5 * columns + 0.3 * surfaces.noise(rng, 64, 64, 10, 2), 0, 1)[..., None]


def banana(rng: Rng) -> ObjectModel:
    """A bent banana, ripe or greenish."""
    ripe = rng.random()
    rgb = jitter((0.94, 0.80, 0.18) if ripe < 0.75 else (0.78, 0.80, 0.22), rng)
    length, bend, thick = rng.uniform(0.16, 0.21), rng.uniform(1.0, 1.6), rng.uniform(0.0155, 0.019)
    radius = length / bend
    path2 = arc(radius, -bend / 2, bend / 2, 22, (-radius, 0.0))
    path = np.column_stack([path2, np.full(22, thick)])
    t = np.linspace(0, 1, 22)
    taper = np.interp(t, [0, 0.04, 0.12, 0.3, 0.7, 0.86, 0.93, 1], [0.25, 0.32, 0.72, 1, 1, 0.75, 0.34, 0.28])
    body = sweep(path, thick * taper, thick * taper * 0.94, sides=7)
    # brown specks, and dark ends: the sweep's v runs along the fruit
    values = np.broadcast_to(rgb, (96, 64, 3)).copy()
    values[surfaces.noise(rng, 96, 64, 7, 2) > rng.uniform(0.55, 1.1)] *= 0.6
    row = np.abs(np.linspace(-1, 1, 96))
    values *= np.where(row > 0.95, 0.35, np.where(row > 0.86, 0.85, 1.0))[:, None, None]
    solids = tuple(
        rod(path[a], path[b], thick * s) for a, b, s in ((1, 6, 0.6), (6, 11, 0.92), (11, 16, 0.92), (16, 20, 0.6))
    )
    skin = Finish(rgb, surfaces.as_image(values), 0.3, 0.2)
    return ObjectModel(
        "banana", ("banana",), (Part(body, skin),), solids, "yellow" if ripe < 0.75 else None, upright=0.9
    )


def apple(rng: Rng) -> ObjectModel:
    """A red, green or yellow apple."""
    colour = str(rng.choice(["red", "red", "green", "yellow"]))
    rgb = jitter({"red": (0.72, 0.08, 0.08), "green": (0.48, 0.70, 0.16), "yellow": (0.90, 0.76, 0.24)}[colour], rng)
    r = rng.uniform(0.034, 0.042)
    h = r * rng.uniform(1.7, 1.95)
    body = lathe(dimpled(r, h, 0.10, 0.009), 26)
    blush = np.broadcast_to(rgb, (64, 64, 3)).copy()
    streak = _streaks(rng)
    blush = blush * (1 - 0.22 * streak) + np.array([0.9, 0.75, 0.35]) * 0.22 * streak
    parts = [
        Part(body, Finish(rgb, surfaces.as_image(blush), 0.6, 0.45)),
        Part(stem(0.018).moved(z=h - 0.010), plain(STEM)),
    ]
    if rng.random() < 0.4:
        leaf = sweep(
            np.stack([np.linspace(0, 0.026, 7), np.zeros(7), 0.006 * np.sin(np.linspace(0, 3, 7))], 1),
            0.009 * np.sin(np.linspace(0.15, 3.0, 7)),
            0.0006,
            sides=6,
        )
        parts.append(Part(leaf.moved(x=0.004, z=h + 0.003), plain(LEAF)))
    return ObjectModel("apple", ("apple",), tuple(parts), (spheroid(r, h / 2, (1, 1, h / 2 / r)),), colour, upright=0.6)


def orange(rng: Rng) -> ObjectModel:
    """An orange."""
    rgb = jitter((0.95, 0.50, 0.06), rng, 0.04)
    r = rng.uniform(0.034, 0.043)
    grain = np.broadcast_to(rgb, (96, 96, 3)) * (1 - 0.16 * (rng.random((96, 96, 1)) < 0.22))
    body = ellipsoid(2 * r, 2 * r, 1.9 * r, 26).moved(z=0.95 * r)
    navel = ellipsoid(0.008, 0.008, 0.003, 10).moved(z=1.9 * r)
    parts = (Part(body, Finish(rgb, surfaces.as_image(grain), 0.4, 0.3)), Part(navel, plain(LEAF)))
    return ObjectModel("orange", ("orange",), parts, (spheroid(r, 0.95 * r, (1, 1, 0.95)),), None, upright=0.3)


def lemon(rng: Rng) -> ObjectModel:
    """A lemon."""
    rgb = jitter((0.96, 0.86, 0.16), rng, 0.04)
    r, half = rng.uniform(0.024, 0.029), rng.uniform(0.038, 0.046)
    t = np.linspace(-1, 1, 19)
    outline = r * np.sqrt(np.clip(1 - (t / 0.88) ** 2, 0, 1)) + 0.006 * (np.abs(t) > 0.7) * (1 - np.abs(t)) / 0.3
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in zip(outline, half * t, strict=True)], 24)
    body = body.rotated("y", np.pi / 2).moved(z=r)
    grain = np.broadcast_to(rgb, (96, 96, 3)) * (1 - 0.10 * (rng.random((96, 96, 1)) < 0.2))
    solid = Collider("ellipsoid", (half * 0.92, r, r), (0.0, 0.0, r))
    return ObjectModel(
        "lemon",
        ("lemon",),
        (Part(body, Finish(rgb, surfaces.as_image(grain), 0.4, 0.3)),),
        (solid,),
        None,
        upright=0.8,
    )


def pear(rng: Rng) -> ObjectModel:
    """A pear with a stem."""
    colour = str(rng.choice(["green", "green", "yellow"]))
    rgb = jitter((0.62, 0.72, 0.22) if colour == "green" else (0.86, 0.76, 0.26), rng)
    r, h = rng.uniform(0.031, 0.037), rng.uniform(0.085, 0.105)
    outline = curve(
        [
            (0.0, 0.004),
            (r * 0.6, 0.002),
            (r, h * 0.30),
            (r * 0.62, h * 0.64),
            (r * 0.40, h * 0.86),
            (r * 0.16, h * 0.99),
            (0, h),
        ],
        24,
    )
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in outline], 24)
    parts = (Part(body, skin(rng, rgb, 0.16, 5)), Part(stem(0.020).moved(z=h - 0.003), plain(STEM)))
    solids = (
        Collider("sphere", (r * 0.98,), (0.0, 0.0, r)),
        Collider("sphere", (r * 0.55,), (0.0, 0.0, h - r * 0.6)),
    )
    return ObjectModel("pear", ("pear",), parts, solids, colour, upright=0.4)


def strawberry(rng: Rng) -> ObjectModel:
    """A strawberry with seeds and calyx."""
    rgb = jitter((0.82, 0.08, 0.10), rng, 0.04)
    r, h = rng.uniform(0.015, 0.019), rng.uniform(0.036, 0.046)
    outline = curve(
        [
            (0.0, 0.0),
            (r * 0.5, h * 0.10),
            (r * 0.93, h * 0.55),
            (r * 0.9, h * 0.82),
            (r * 0.3, h * 0.97),
            (0, h * 0.96),
        ],
        18,
    )
    seeds = np.broadcast_to(rgb, (96, 96, 3)).copy()
    y, x = np.mgrid[0:96, 0:96]
    dots = ((x + 6 * ((y // 10) % 2)) % 12 < 3) & (y % 10 < 4)
    seeds[dots] = (0.92, 0.78, 0.30)
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in outline], 20)
    top = join([calyx(r * 1.05, 7, 0.006), stem(0.010, 0.0012)]).moved(z=h * 0.98)
    parts = (
        Part(body, Finish(rgb, surfaces.as_image(seeds), 0.5, 0.4)),
        Part(top, plain(jitter(LEAF, rng), 0.1)),
    )
    return ObjectModel(
        "strawberry", ("strawberry",), parts, (spheroid(r, h / 2, (1, 1, h / 2 / r)),), None, upright=0.2
    )
