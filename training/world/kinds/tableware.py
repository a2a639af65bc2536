"""Vessels to drink, eat and pour from."""

import numpy as np

from training.world import surfaces
from training.world.colours import shade
from training.world.kinds.outlines import hollow, upright_curve
from training.world.mesh import curve, ellipsoid, lathe, sweep
from training.world.object_model import (
    Finish,
    ObjectModel,
    Paint,
    Part,
    metal,
    plain,
    ring_wall,
    rod,
    solid_cylinder,
)

Rng = np.random.Generator


def mug(rng: Rng) -> ObjectModel:
    """A mug with a handle."""
    paint = Paint(rng)
    r, h = rng.uniform(0.036, 0.046), rng.uniform(0.080, 0.110)
    foot = r * rng.choice([1.0, rng.uniform(0.75, 0.95)])
    outer = [
        (0.0, 0.0),
        (foot * 0.95, 0.0),
        (foot, 0.004),
        ((foot + r) / 2 + rng.uniform(0, 0.003), h * 0.5),
        (r, h),
    ]
    outside, inside = hollow(outer, 0.004, 0.007)
    reach, thick = rng.uniform(0.024, 0.034), rng.uniform(0.0045, 0.007)
    attach = (foot + r) / 2 - 0.002
    handle = sweep(
        upright_curve(
            [
                (attach, h * 0.82),
                (attach + reach * 0.75, h * 0.80),
                (attach + reach, h * 0.52),
                (attach + reach * 0.7, h * 0.27),
                (attach, h * 0.2),
            ],
            16,
        ),
        thick * 0.8,
        thick,
        normal=(0, 1, 0),
        sides=8,
    )
    inner = paint.flat if rng.random() < 0.5 else plain(shade("white", rng), 0.5)
    parts = (
        Part(lathe(outside, 28), paint.main),
        Part(lathe(inside, 28), inner),
        Part(handle, paint.flat),
    )
    solids = (
        solid_cylinder(r, 0.0, h),
        rod((r + reach * 0.7, 0, h * 0.3), (r + reach * 0.7, 0, h * 0.75), thick),
    )
    nouns = ("mug", "cup", "coffee mug")
    return ObjectModel("mug", nouns, parts, solids, paint.colour, paint.pattern, upright=0.82)


def cup(rng: Rng) -> ObjectModel:
    """A tumbler or paper cup, no handle."""
    paint = Paint(rng, patterns=0.4)
    top, h = rng.uniform(0.034, 0.044), rng.uniform(0.085, 0.125)
    foot = top * rng.uniform(0.62, 0.78)
    outer = [(0.0, 0.0), (foot, 0.0), (top, h)]
    if rng.random() < 0.6:  # a paper cup's rolled rim
        outer += [(top + 0.0025, h), (top + 0.0025, h + 0.004), (top, h + 0.004)]
    outside, inside = hollow(outer, 0.002, 0.004)
    inner = paint.flat if rng.random() < 0.4 else plain(shade("white", rng), 0.3)
    parts = (Part(lathe(outside, 28), paint.main), Part(lathe(inside, 28), inner))
    return ObjectModel(
        "cup",
        ("cup", "tumbler"),
        parts,
        (solid_cylinder(top, 0.0, h),),
        paint.colour,
        paint.pattern,
        upright=0.82,
    )


def bowl(rng: Rng) -> ObjectModel:
    """A round bowl."""
    paint = Paint(rng, patterns=0.2)
    r, h = rng.uniform(0.065, 0.095), rng.uniform(0.045, 0.070)
    foot = r * rng.uniform(0.35, 0.5)
    swell = rng.uniform(1.6, 2.6)
    rise = [(foot + (r - foot) * t ** (1 / swell), 0.006 + (h - 0.006) * t) for t in np.linspace(0, 1, 9)]
    outside, inside = hollow([(0.0, 0.0), (foot, 0.0), *rise], 0.004, 0.010)
    inner = paint.flat if rng.random() < 0.5 else plain(shade("white", rng), 0.5)
    parts = (Part(lathe(outside, 30), paint.main), Part(lathe(inside, 30), inner))
    middle = foot + (r - foot) * 0.55 ** (1 / swell)
    solids = (
        solid_cylinder(foot, 0.0, 0.010),
        *ring_wall(foot * 1.05, middle, 0.008, h * 0.55),
        *ring_wall(middle, r - 0.003, h * 0.55, h),
    )
    return ObjectModel("bowl", ("bowl",), parts, solids, paint.colour, paint.pattern, upright=0.93, holds="in")


def plate(rng: Rng) -> ObjectModel:
    """A flat plate with a rim."""
    paint = Paint(rng, patterns=0.0)
    r, h = rng.uniform(0.085, 0.130), rng.uniform(0.014, 0.024)
    well = r * rng.uniform(0.6, 0.72)
    outside = [(0.0, 0.0), (well, 0.0), (r, h - 0.003), (r, h)]
    rim = [(r, h), (r - 0.004, h), (well + 0.006, 0.007)]
    centre = [(well + 0.006, 0.007), (well - 0.004, 0.004), (0.0, 0.004)]
    pattern, edge = None, paint.flat
    if rng.random() < 0.35:
        edge = plain(shade("white" if paint.rgb.mean() < 0.6 else "blue", rng), 0.5)
    parts = (
        Part(lathe(outside, 36), paint.flat),
        Part(lathe(rim, 36), edge),
        Part(lathe(centre, 36), paint.flat),
    )
    solids = (solid_cylinder(well, 0.0, 0.004), *ring_wall(well, r - 0.002, 0.004, h, thickness=0.005))
    return ObjectModel("plate", ("plate", "dish"), parts, solids, paint.colour, pattern, upright=0.98, holds="on")


def bottle(rng: Rng) -> ObjectModel:
    """A bottle with a neck, a cap and often a label."""
    paint = Paint(rng, patterns=0.0, gloss=(0.4, 0.95))
    r, h = rng.uniform(0.028, 0.042), rng.uniform(0.18, 0.27)
    neck = r * rng.uniform(0.32, 0.45)
    shoulder = h * rng.uniform(0.55, 0.72)
    bend = rng.uniform(0.03, 0.06)
    slope = [(r + (neck - r) * (3 * t**2 - 2 * t**3), shoulder + bend * t) for t in np.linspace(0, 1, 8)]
    body = [(0.0, 0.0), (r - 0.004, 0.0), (r, 0.005), *slope, (neck, h * 0.93), (0.0, h * 0.93)]
    cap_low = h * 0.91
    cap = [(neck, cap_low), (neck + 0.003, cap_low), (neck + 0.003, h), (0.0, h)]
    cap_rgb = shade(str(rng.choice(["white", "red", "blue", "black", paint.colour])), rng)
    parts = [Part(lathe(body, 26), paint.main), Part(lathe(cap, 20), plain(cap_rgb, 0.4))]
    if rng.random() < 0.65:
        second = shade("white", rng) if paint.colour != "white" else shade("blue", rng)
        label = surfaces.printed(rng, second, paint.rgb)
        band = lathe([(r + 0.0006, h * 0.12), (r + 0.0006, shoulder * 0.85)], 26)
        parts.append(Part(band, Finish(second, label, 0.2, 0.2)))
    solids = (solid_cylinder(r, 0.0, shoulder + bend / 2), solid_cylinder(neck * 1.2, shoulder, h))
    return ObjectModel("bottle", ("bottle",), tuple(parts), solids, paint.colour, upright=0.75)


def can(rng: Rng) -> ObjectModel:
    """A drink can or a food tin with a printed label."""
    paint = Paint(rng, patterns=0.0, gloss=(0.5, 0.95))
    food_tin = rng.random() < 0.4
    r, h = (rng.uniform(0.036, 0.044), rng.uniform(0.08, 0.11)) if food_tin else (0.033, rng.uniform(0.112, 0.135))
    steel = metal(rng)
    label = surfaces.printed(rng, paint.rgb, shade("white" if paint.rgb.mean() < 0.6 else "black", rng))
    neck = r * (0.97 if food_tin else 0.82)
    low = [(0.0, 0.002), (neck * 0.9, 0.0), (neck, 0.001), (r, 0.007)]
    body = [(r, 0.007), (r, h - 0.012)]
    top = [
        (r, h - 0.012),
        (neck, h - 0.003),
        (neck, h),
        (neck - 0.002, h),
        (neck - 0.003, h - 0.004),
        (0, h - 0.004),
    ]
    parts = [
        Part(lathe(low, 24), steel),
        Part(lathe(body, 24), Finish(paint.rgb, label, 0.7, 0.5)),
        Part(lathe(top, 24), steel),
    ]
    if not food_tin:
        tab = ellipsoid(0.022, 0.012, 0.0025, 10).moved(x=neck * 0.25, z=h - 0.002)
        parts.append(Part(tab, metal(rng, 0.55)))
    nouns = ("can", "tin can", "tin") if food_tin else ("can", "soda can", "drink can")
    return ObjectModel("can", nouns, tuple(parts), (solid_cylinder(r, 0.0, h),), paint.colour, upright=0.78)


def wine_glass(rng: Rng) -> ObjectModel:
    """A stemmed glass, sometimes with wine in it."""
    r, h = rng.uniform(0.032, 0.042), rng.uniform(0.16, 0.21)
    foot, stem = rng.uniform(0.030, 0.038), h * rng.uniform(0.42, 0.52)
    bulge = [
        (0.005 + (r - 0.005) * np.sin(t * np.pi * 0.62) / np.sin(np.pi * 0.5), stem + (h - stem) * t)
        for t in np.linspace(0, 1, 10)
    ]
    outside = [
        (0.0, 0.0),
        (foot, 0.0),
        (foot, 0.002),
        (0.006, 0.008),
        (0.0035, 0.02),
        (0.0035, stem - 0.008),
        *bulge,
    ]
    inside = [(max(x - 0.0015, 0.0), z) for x, z in reversed(bulge) if z > stem + 0.004] + [(0.0, stem + 0.004)]
    tint = np.array([0.86, 0.91, 0.93]) + rng.uniform(-0.05, 0.05, 3)
    glass = Finish(tint, None, 0.95, 0.95, alpha=float(rng.uniform(0.35, 0.55)))
    parts = [Part(lathe(outside, 24), glass), Part(lathe(inside, 24), glass)]
    if rng.random() < 0.4:
        level = bulge[int(rng.integers(4, 7))]
        drink = [(0.0, stem + 0.004)]
        drink += [(x - 0.002, z) for x, z in bulge if stem + 0.004 < z <= level[1]] + [(0.0, level[1])]
        rgb = [[0.35, 0.03, 0.08], [0.90, 0.80, 0.40]][int(rng.integers(2))]
        parts.insert(0, Part(lathe(drink, 20), plain(rgb, 0.6)))
    solids = (
        solid_cylinder(foot, 0.0, 0.006),
        solid_cylinder(0.006, 0.0, stem),
        solid_cylinder(r, stem + 0.01, h),
    )
    return ObjectModel("wine glass", ("wine glass", "glass"), tuple(parts), solids, upright=0.88)


def jar(rng: Rng) -> ObjectModel:
    """A jar with a wide lid."""
    paint = Paint(rng, patterns=0.1, gloss=(0.5, 0.95))
    r, h = rng.uniform(0.034, 0.048), rng.uniform(0.085, 0.13)
    body = [
        (0.0, 0.0),
        (r - 0.006, 0.0),
        (r, 0.006),
        (r, h * 0.72),
        (r * 0.82, h * 0.82),
        (r * 0.8, h * 0.86),
    ]
    lid = [(r * 0.8, h * 0.83), (r * 0.9, h * 0.83), (r * 0.9, h - 0.002), (r * 0.87, h), (0.0, h)]
    lid_rgb = shade(str(rng.choice(["white", "red", "gray", "black", "yellow"])), rng)
    parts = [Part(lathe(body, 26), paint.main), Part(lathe(lid, 24), plain(lid_rgb, 0.5))]
    if rng.random() < 0.6 and paint.pattern is None:
        paper = shade("white", rng) if paint.colour != "white" else shade("green", rng)
        band = lathe([(r + 0.0005, h * 0.18), (r + 0.0005, h * 0.62)], 26)
        parts.append(Part(band, Finish(paper, surfaces.printed(rng, paper, paint.rgb), 0.2, 0.2)))
    return ObjectModel(
        "jar", ("jar",), tuple(parts), (solid_cylinder(r, 0.0, h),), paint.colour, paint.pattern, upright=0.85
    )


def vase(rng: Rng) -> ObjectModel:
    """A bellied vase."""
    paint = Paint(rng, patterns=0.3)
    r, h = rng.uniform(0.040, 0.058), rng.uniform(0.15, 0.23)
    belly, neck = rng.uniform(0.3, 0.5), rng.uniform(0.35, 0.5)
    outline = curve(
        [(r * 0.55, 0.0), (r, h * belly), (r * neck, h * 0.8), (r * rng.uniform(0.6, 0.8), h)],
        18,
    )
    outside, inside = hollow([(0.0, 0.0), *map(tuple, outline)], 0.004, h * 0.5)
    parts = (Part(lathe(outside, 28), paint.main), Part(lathe(inside, 28), plain(paint.rgb * 0.6)))
    solids = (solid_cylinder(r * 0.95, 0.0, h * 0.62), solid_cylinder(r * 0.6, h * 0.6, h))
    return ObjectModel("vase", ("vase",), parts, solids, paint.colour, paint.pattern, upright=0.88)
