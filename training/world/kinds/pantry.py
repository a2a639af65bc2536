"""Baked goods and eggs."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter
from training.world.kinds.plant_parts import skin
from training.world.mesh import lathe, sweep
from training.world.object_model import (
    Collider,
    Finish,
    ObjectModel,
    Part,
    solid_cylinder,
)

Rng = np.random.Generator


def egg(rng: Rng) -> ObjectModel:
    """An egg, lying."""
    colour = str(rng.choice(["white", "brown"]))
    rgb = jitter((0.95, 0.92, 0.87) if colour == "white" else (0.80, 0.58, 0.42), rng, 0.03)
    r, half = rng.uniform(0.021, 0.024), rng.uniform(0.027, 0.031)
    t = np.linspace(-np.pi / 2, np.pi / 2, 15)
    outline = r * np.cos(t) * (1 - 0.13 * np.sin(t))
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in zip(outline, half * np.sin(t), strict=True)], 22)
    body = body.rotated("y", np.pi / 2).moved(z=r)
    solid = Collider("ellipsoid", (half, r, r), (0.0, 0.0, r))
    return ObjectModel("egg", ("egg",), (Part(body, skin(rng, rgb, 0.03, 3, 0.25)),), (solid,), colour, upright=0.85)


def donut(rng: Rng) -> ObjectModel:
    """A ring doughnut with icing and sprinkles."""
    dough = jitter((0.80, 0.56, 0.30), rng)
    icing_name = str(rng.choice(["pink", "brown", "white"]))
    icing = jitter(
        {"pink": (0.95, 0.55, 0.70), "brown": (0.28, 0.15, 0.08), "white": (0.95, 0.93, 0.90)}[icing_name],
        rng,
        0.03,
    )
    r, tube = rng.uniform(0.030, 0.036), rng.uniform(0.015, 0.019)
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, 21)
    ring = lathe([(r + tube * np.cos(a), tube + tube * np.sin(a)) for a in angle], 28)
    top_angle = np.linspace(0.12 * np.pi, 0.90 * np.pi, 10)
    glaze = lathe([(r + (tube + 0.0012) * np.cos(a), tube + (tube + 0.0012) * np.sin(a)) for a in top_angle], 28)
    sprinkles = np.broadcast_to(icing, (96, 96, 3)).copy()
    if rng.random() < 0.7:
        for _ in range(70):
            y, x = rng.integers(0, 93, 2)
            sprinkles[y : y + 3, x : x + 2] = rng.uniform(0.2, 1.0, 3)
    parts = (
        Part(ring, skin(rng, dough, 0.1, 8, 0.15)),
        Part(glaze, Finish(icing, surfaces.as_image(sprinkles), 0.7, 0.5)),
    )
    solids = (solid_cylinder(r + tube * 0.85, 0.0, 2 * tube),)
    return ObjectModel("donut", ("donut", "doughnut"), parts, solids, icing_name, upright=0.93)


def loaf(rng: Rng) -> ObjectModel:
    """A loaf of bread with cuts across its top."""
    crust = jitter((0.70, 0.44, 0.20), rng)
    length, r = rng.uniform(0.13, 0.20), rng.uniform(0.034, 0.045)
    t = np.linspace(0, 1, 22)
    round_ends = np.sqrt(np.clip(1 - (2 * t - 1) ** 4, 0.0, 1)) + 0.01
    path = np.stack([length * (t - 0.5), np.zeros(22), np.full(22, r * 0.75)], axis=1)
    body = sweep(path, r * round_ends, r * 0.78 * round_ends, sides=18)
    picture = np.broadcast_to(crust, (96, 96, 3)) * (1 + 0.15 * surfaces.noise(rng, 96, 96, 16)[..., None])
    row, column = np.mgrid[0:96, 0:96]
    slant = (row + 0.25 * column) % 19
    cut = (slant < 5) & (np.abs(column - 24) < 13) & (row > 12) & (row < 84)  # u = 1/4 is the top of a sweep
    picture[cut] = np.array([0.93, 0.80, 0.56])
    solid = Collider("ellipsoid", (length * 0.5, r, r * 0.76), (0.0, 0.0, r * 0.75))
    nouns = ("bread", "loaf of bread")
    return ObjectModel(
        "bread",
        nouns,
        (Part(body, Finish(crust, surfaces.as_image(picture), 0.1, 0.08)),),
        (solid,),
        None,
        upright=0.95,
    )
