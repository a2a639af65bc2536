"""Boxes, candles, sponges and plants."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter, shade
from training.world.mesh import box, cylinder, join, lathe, sweep
from training.world.object_model import (
    Finish,
    ObjectModel,
    Paint,
    Part,
    metal,
    plain,
    solid_box,
    solid_cylinder,
)

Rng = np.random.Generator


def carton(rng: Rng) -> ObjectModel:
    """A box: brown cardboard with tape over the flaps, or a printed packet."""
    cardboard = rng.random() < 0.4
    if cardboard:
        x, y, z = rng.uniform(0.10, 0.18), rng.uniform(0.08, 0.14), rng.uniform(0.06, 0.12)
        rgb = jitter((0.66, 0.48, 0.31), rng)
        parts = [Part(box(x, y, z, 0.0015), Finish(rgb, surfaces.mottled(rng, rgb, 0.08, 6), 0.05, 0.05))]
        tape = plain(jitter((0.78, 0.66, 0.45), rng), 0.6)
        parts.append(Part(box(x + 0.001, y * 0.25, 0.001).moved(z=z / 2), tape))
        for side in (-1, 1):
            parts.append(Part(box(0.001, y * 0.25, z * 0.35).moved(x=side * x / 2, z=z * 0.33), tape))
        colour = "brown"
    else:
        paint = Paint(rng, patterns=0.0, gloss=(0.2, 0.6))
        x, y, z = rng.uniform(0.07, 0.15), rng.uniform(0.03, 0.07), rng.uniform(0.10, 0.20)
        second = shade("white" if paint.rgb.mean() < 0.6 else "blue", rng)
        label = surfaces.printed(rng, paint.rgb, second, 128)
        parts = [Part(box(x, y, z, 0.001), Finish(paint.rgb, label, paint.shininess, paint.specular))]
        colour = paint.colour
    nouns = ("box", "cardboard box") if cardboard else ("box",)
    return ObjectModel("box", nouns, tuple(parts), (solid_box(x, y, z),), colour, upright=0.6, holds="on")


def sponge(rng: Rng) -> ObjectModel:
    """A kitchen sponge, often with a scouring side."""
    colour = str(rng.choice(["yellow", "yellow", "blue", "pink", "orange", "green"]))
    rgb = shade(colour, rng)
    x, y, z = rng.uniform(0.09, 0.12), rng.uniform(0.06, 0.075), rng.uniform(0.022, 0.032)
    holes = np.broadcast_to(rgb, (96, 96, 3)) * (1 - 0.45 * (surfaces.noise(rng, 96, 96, 5, 2) > 0.45))[..., None]
    foam = Part(box(x, y, z, 0.004), Finish(rgb, surfaces.as_image(holes), 0.02, 0.02))
    parts = [foam]
    if rng.random() < 0.6:
        scour = jitter((0.10, 0.36, 0.16), rng) if colour != "green" else jitter((0.2, 0.2, 0.2), rng)
        rough = surfaces.mottled(rng, scour, 0.35, 3)
        parts.append(Part(box(x, y, 0.007, 0.002).moved(z=z / 2 + 0.0035), Finish(scour, rough, 0.02, 0.02)))
    solids = (solid_box(x, y, z + 0.007 * (len(parts) - 1), (0, 0, 0.0035 * (len(parts) - 1))),)
    return ObjectModel("sponge", ("sponge",), tuple(parts), solids, colour, upright=0.85)


def candle(rng: Rng) -> ObjectModel:
    """A thick candle, or a slim one in a dish."""
    paint = Paint(
        rng,
        patterns=0.12,
        among=("white", "white", "red", "green", "blue", "purple", "pink", "yellow", "orange"),
    )
    slim = rng.random() < 0.4
    r, h = (
        (rng.uniform(0.010, 0.013), rng.uniform(0.14, 0.2))
        if slim
        else (rng.uniform(0.024, 0.036), rng.uniform(0.06, 0.13))
    )
    wax = lathe([(0, 0), (r, 0), (r, h - 0.002), (r * 0.9, h), (r * 0.7, h - 0.002), (0, h - 0.004)], 24)
    wick = cylinder(0.0014, 0.014, 8).moved(z=h - 0.004)
    parts = [Part(wax, paint.main), Part(wick, plain((0.10, 0.09, 0.08)))]
    solids = [solid_cylinder(r, 0.0, h)]
    if rng.random() < 0.45:
        flame = lathe([(0, 0), (0.0045, 0.006), (0.003, 0.014), (0.0, 0.024)], 12).moved(z=h + 0.008)
        parts.append(Part(flame, Finish(np.array([1.0, 0.80, 0.25]), None, 0.0, 0.0)))
    if slim:
        dish = lathe(
            [
                (0, -0.004),
                (0.036, -0.004),
                (0.042, 0.006),
                (0.036, 0.001),
                (r + 0.004, 0.001),
                (r + 0.004, 0.022),
                (r, 0.022),
            ],
            26,
        )
        parts.append(Part(dish, metal(rng, 0.55)))
        solids.append(solid_cylinder(0.040, -0.004, 0.004))
    return ObjectModel("candle", ("candle",), tuple(parts), tuple(solids), paint.colour, paint.pattern, upright=0.9)


def potted_plant(rng: Rng) -> ObjectModel:
    """A plant in a flowerpot."""
    paint = Paint(rng, patterns=0.1)
    clay = rng.random() < 0.5
    rgb = jitter((0.72, 0.36, 0.22), rng)
    pot_finish = Finish(rgb, surfaces.mottled(rng, rgb, 0.1, 6), 0.05, 0.05) if clay else paint.main
    r, h = rng.uniform(0.036, 0.050), rng.uniform(0.060, 0.085)
    rim = h * 0.8
    pot_mesh = lathe(
        [
            (0, 0),
            (r * 0.68, 0),
            (r * 0.92, rim),
            (r * 1.04, rim),
            (r * 1.06, h),
            (r * 0.95, h),
            (r * 0.9, h - 0.010),
            (0, h - 0.010),
        ],
        26,
    )
    soil = cylinder(r * 0.92, 0.002, 20).moved(z=h - 0.011)
    leaves = []
    green = jitter((0.16, 0.42, 0.14), rng, 0.12)
    spiky = rng.random() < 0.5
    for index in range(int(rng.integers(9, 16))):
        reach, rise = rng.uniform(0.05, 0.085), rng.uniform(0.04, 0.12)
        s = np.linspace(0, 1, 9)
        path = np.stack([reach * s, np.zeros(9), rise * (s * 1.6 - 0.9 * s**2)], axis=1)
        broad = 0.007 if spiky else 0.018
        width = broad * np.sin(np.pi * np.clip(s, 0.03, 0.985)) ** 0.8 + 0.0012
        leaf = sweep(path, 0.0007, width, normal=(0, 1, 0), sides=6)
        leaves.append(leaf.rotated("z", index * 2.4 + rng.uniform(-0.3, 0.3)).moved(z=h - 0.010))
    greens = np.broadcast_to(green, (32, 32, 3)) * (1 + 0.35 * surfaces.noise(rng, 32, 32, 6)[..., None])
    parts = (
        Part(pot_mesh, pot_finish),
        Part(soil, plain((0.20, 0.13, 0.09), 0.0)),
        Part(join(leaves), Finish(green, surfaces.as_image(greens), 0.3, 0.15)),
    )
    solids = (solid_cylinder(r, 0.0, h), solid_cylinder(0.03, h, h + 0.06))
    return ObjectModel("potted plant", ("potted plant", "plant"), parts, solids, None, upright=0.97)
