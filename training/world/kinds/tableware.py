"""Vessels and what else stands on a set table."""

import numpy as np

from training.world import surfaces
from training.world.colours import shade
from training.world.mesh import arc, curve, cylinder, ellipsoid, join, lathe, sweep
from training.world.object_model import (
    Finish,
    Kind,
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


def _upright_curve(points: list[tuple[float, float]], count: int) -> np.ndarray:
    """(count, 3) smooth curve through (x, z) points in the plane y = 0."""
    xz = curve(points, count)
    return np.stack([xz[:, 0], np.zeros(count), xz[:, 1]], axis=1)


def _hollow(outer: list[tuple[float, float]], wall: float, floor: float) -> tuple[list, list]:
    """Outer profile from the axis up to the rim, and the matching inner profile from the rim down to the axis."""
    rim = outer[-1]
    inner = [(r - wall, z) for r, z in reversed(outer) if z > floor and r > wall]
    bottom = max(inner[-1][0] - wall, 0.002)
    return outer, [rim, *inner, (bottom, floor), (0.0, floor)]


def mug(rng: Rng) -> ObjectModel:
    paint = Paint(rng)
    r, h = rng.uniform(0.036, 0.046), rng.uniform(0.080, 0.110)
    foot = r * rng.choice([1.0, rng.uniform(0.75, 0.95)])
    outer = [(0.0, 0.0), (foot * 0.95, 0.0), (foot, 0.004), ((foot + r) / 2 + rng.uniform(0, 0.003), h * 0.5), (r, h)]
    outside, inside = _hollow(outer, 0.004, 0.007)
    reach, thick = rng.uniform(0.024, 0.034), rng.uniform(0.0045, 0.007)
    attach = (foot + r) / 2 - 0.002
    handle = sweep(
        _upright_curve(
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
    solids = (solid_cylinder(r, 0.0, h), rod((r + reach * 0.7, 0, h * 0.3), (r + reach * 0.7, 0, h * 0.75), thick))
    nouns = ("mug", "cup", "coffee mug")
    return ObjectModel("mug", nouns, parts, solids, paint.colour, paint.pattern, upright=0.82)


def cup(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.4)
    top, h = rng.uniform(0.034, 0.044), rng.uniform(0.085, 0.125)
    foot = top * rng.uniform(0.62, 0.78)
    outer = [(0.0, 0.0), (foot, 0.0), (top, h)]
    if rng.random() < 0.6:  # a paper cup's rolled rim
        outer += [(top + 0.0025, h), (top + 0.0025, h + 0.004), (top, h + 0.004)]
    outside, inside = _hollow(outer, 0.002, 0.004)
    inner = paint.flat if rng.random() < 0.4 else plain(shade("white", rng), 0.3)
    parts = (Part(lathe(outside, 28), paint.main), Part(lathe(inside, 28), inner))
    return ObjectModel(
        "cup", ("cup", "tumbler"), parts, (solid_cylinder(top, 0.0, h),), paint.colour, paint.pattern, upright=0.82
    )


def bowl(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.2)
    r, h = rng.uniform(0.065, 0.095), rng.uniform(0.045, 0.070)
    foot = r * rng.uniform(0.35, 0.5)
    swell = rng.uniform(1.6, 2.6)
    rise = [(foot + (r - foot) * t ** (1 / swell), 0.006 + (h - 0.006) * t) for t in np.linspace(0, 1, 9)]
    outside, inside = _hollow([(0.0, 0.0), (foot, 0.0), *rise], 0.004, 0.010)
    inner = paint.flat if rng.random() < 0.5 else plain(shade("white", rng), 0.5)
    parts = (Part(lathe(outside, 30), paint.main), Part(lathe(inside, 30), inner))
    middle = foot + (r - foot) * 0.55 ** (1 / swell)
    solids = (
        solid_cylinder(foot, 0.0, 0.010),
        *ring_wall(foot * 1.05, middle, 0.008, h * 0.55),
        *ring_wall(middle, r - 0.003, h * 0.55, h),
    )
    return ObjectModel("bowl", ("bowl",), parts, solids, paint.colour, paint.pattern, upright=0.93, holds=True)


def plate(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0)
    r, h = rng.uniform(0.085, 0.130), rng.uniform(0.014, 0.024)
    well = r * rng.uniform(0.6, 0.72)
    outside = [(0.0, 0.0), (well, 0.0), (r, h - 0.003), (r, h)]
    rim = [(r, h), (r - 0.004, h), (well + 0.006, 0.007)]
    centre = [(well + 0.006, 0.007), (well - 0.004, 0.004), (0.0, 0.004)]
    pattern, edge = None, paint.flat
    if rng.random() < 0.35:
        edge = plain(shade("white" if paint.rgb.mean() < 0.6 else "blue", rng), 0.5)
    parts = (Part(lathe(outside, 36), paint.flat), Part(lathe(rim, 36), edge), Part(lathe(centre, 36), paint.flat))
    solids = (solid_cylinder(well, 0.0, 0.004), *ring_wall(well, r - 0.002, 0.004, h, thickness=0.005))
    return ObjectModel("plate", ("plate", "dish"), parts, solids, paint.colour, pattern, upright=0.98, holds=True)


def bottle(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0, gloss=(0.4, 0.95))
    r, h = rng.uniform(0.028, 0.042), rng.uniform(0.18, 0.27)
    neck = r * rng.uniform(0.32, 0.45)
    shoulder = h * rng.uniform(0.55, 0.72)
    bend = rng.uniform(0.03, 0.06)
    slope = [
        (r + (neck - r) * (3 * t**2 - 2 * t**3), shoulder + bend * t) for t in np.linspace(0, 1, 8)
    ]
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
    paint = Paint(rng, patterns=0.0, gloss=(0.5, 0.95))
    food_tin = rng.random() < 0.4
    r, h = (rng.uniform(0.036, 0.044), rng.uniform(0.08, 0.11)) if food_tin else (0.033, rng.uniform(0.112, 0.135))
    steel = metal(rng)
    label = surfaces.printed(rng, paint.rgb, shade("white" if paint.rgb.mean() < 0.6 else "black", rng))
    neck = r * (0.97 if food_tin else 0.82)
    low = [(0.0, 0.002), (neck * 0.9, 0.0), (neck, 0.001), (r, 0.007)]
    body = [(r, 0.007), (r, h - 0.012)]
    top = [(r, h - 0.012), (neck, h - 0.003), (neck, h), (neck - 0.002, h), (neck - 0.003, h - 0.004), (0, h - 0.004)]
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
    r, h = rng.uniform(0.032, 0.042), rng.uniform(0.16, 0.21)
    foot, stem = rng.uniform(0.030, 0.038), h * rng.uniform(0.42, 0.52)
    bulge = [
        (0.005 + (r - 0.005) * np.sin(t * np.pi * 0.62) / np.sin(np.pi * 0.5), stem + (h - stem) * t)
        for t in np.linspace(0, 1, 10)
    ]
    outside = [(0.0, 0.0), (foot, 0.0), (foot, 0.002), (0.006, 0.008), (0.0035, 0.02), (0.0035, stem - 0.008), *bulge]
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
    solids = (solid_cylinder(foot, 0.0, 0.006), solid_cylinder(0.006, 0.0, stem), solid_cylinder(r, stem + 0.01, h))
    return ObjectModel("wine glass", ("wine glass", "glass"), tuple(parts), solids, upright=0.88)


def jar(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.1, gloss=(0.5, 0.95))
    r, h = rng.uniform(0.034, 0.048), rng.uniform(0.085, 0.13)
    body = [(0.0, 0.0), (r - 0.006, 0.0), (r, 0.006), (r, h * 0.72), (r * 0.82, h * 0.82), (r * 0.8, h * 0.86)]
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
    paint = Paint(rng, patterns=0.3)
    r, h = rng.uniform(0.040, 0.058), rng.uniform(0.15, 0.23)
    belly, neck = rng.uniform(0.3, 0.5), rng.uniform(0.35, 0.5)
    outline = curve(
        [(r * 0.55, 0.0), (r, h * belly), (r * neck, h * 0.8), (r * rng.uniform(0.6, 0.8), h)],
        18,
    )
    outside, inside = _hollow([(0.0, 0.0), *map(tuple, outline)], 0.004, h * 0.5)
    parts = (Part(lathe(outside, 28), paint.main), Part(lathe(inside, 28), plain(paint.rgb * 0.6)))
    solids = (solid_cylinder(r * 0.95, 0.0, h * 0.62), solid_cylinder(r * 0.6, h * 0.6, h))
    return ObjectModel("vase", ("vase",), parts, solids, paint.colour, paint.pattern, upright=0.88)


def teapot(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.12, gloss=(0.4, 0.9))
    r, h = rng.uniform(0.060, 0.075), rng.uniform(0.085, 0.110)
    outline = curve([(r * 0.6, 0.0), (r, h * 0.42), (r * 0.8, h * 0.82), (r * 0.45, h)], 14)
    body = lathe([(0.0, 0.0), *map(tuple, outline), (0.0, h)], 28)
    lid = lathe([(r * 0.48, h - 0.002), (r * 0.46, h + 0.005), (r * 0.2, h + 0.014), (0.0, h + 0.016)], 22)
    knob = ellipsoid(0.020, 0.020, 0.020, 12).moved(z=h + 0.022)
    spout_path = _upright_curve(
        [(r * 0.80, h * 0.30), (r * 1.25, h * 0.42), (r * 1.5, h * 0.80), (r * 1.78, h * 0.98)], 12
    )
    spout = sweep(spout_path, np.linspace(0.017, 0.008, 12), np.linspace(0.015, 0.008, 12), normal=(0, 1, 0), sides=10)
    handle_path = _upright_curve(
        [(-r * 0.80, h * 0.85), (-r * 1.35, h * 0.95), (-r * 1.62, h * 0.6), (-r * 1.3, h * 0.25), (-r * 0.88, h * 0.22)],
        16,
    )
    handle = sweep(handle_path, 0.006, 0.007, normal=(0, 1, 0), sides=8)
    accent = paint.flat if rng.random() < 0.7 else plain(shade("black", rng), 0.4)
    parts = (
        Part(body, paint.main),
        Part(lid, paint.flat),
        Part(knob, accent),
        Part(spout, paint.flat),
        Part(handle, accent),
    )
    solids = (
        solid_cylinder(r * 0.97, 0.0, h * 0.8),
        solid_cylinder(r * 0.5, 0.0, h + 0.03),
        rod((r, 0, h * 0.5), (r * 1.7, 0, h * 0.95), 0.008),
        rod((-r * 1.55, 0, h * 0.4), (-r * 1.55, 0, h * 0.8), 0.007),
    )
    return ObjectModel("teapot", ("teapot",), parts, solids, paint.colour, paint.pattern, upright=0.97)


def pan(rng: Rng) -> ObjectModel:
    dark = rng.random() < 0.7
    finish = plain(shade("black", rng), 0.5) if dark else metal(rng)
    r, h = rng.uniform(0.085, 0.120), rng.uniform(0.032, 0.045)
    outside, inside = _hollow([(0.0, 0.0), (r * 0.82, 0.0), (r * 0.9, 0.008), (r, h)], 0.003, 0.005)
    length = rng.uniform(0.13, 0.18)
    grip_path = np.stack([np.linspace(r - 0.004, r + length, 12), np.zeros(12), np.linspace(h - 0.008, h + 0.012, 12)], 1)
    grip_width = np.concatenate([[0.007, 0.007, 0.008], np.linspace(0.010, 0.013, 9)])
    grip = sweep(grip_path, grip_width * 0.6, grip_width, normal=(0, 1, 0), sides=10)
    grip_finish = plain(shade(str(rng.choice(["black", "brown", "red"])), rng), 0.3)
    interior = plain(np.full(3, 0.13), 0.6) if dark else metal(rng, 0.6)
    parts = (Part(lathe(outside, 34), finish), Part(lathe(inside, 34), interior), Part(grip, grip_finish))
    solids = (
        solid_cylinder(r * 0.82, 0.0, 0.005),
        *ring_wall(r * 0.84, r, 0.003, h, thickness=0.005),
        rod((r, 0, h - 0.006), (r + length, 0, h + 0.010), 0.010),
    )
    colour = "black" if dark else None
    return ObjectModel("pan", ("pan", "frying pan"), parts, solids, colour, upright=0.97, holds=True)


def pot(rng: Rng) -> ObjectModel:
    finish = metal(rng) if rng.random() < 0.5 else None
    paint = Paint(rng, patterns=0.0, gloss=(0.5, 0.9))
    skin = finish or paint.flat
    r, h = rng.uniform(0.075, 0.100), rng.uniform(0.075, 0.110)
    outside, inside = _hollow([(0.0, 0.0), (r - 0.006, 0.0), (r, 0.006), (r, h), (r + 0.003, h)], 0.003, 0.006)
    ears = []
    for side in (0.0, np.pi):
        loop = arc(0.026, -np.pi / 2, np.pi / 2, 12, (r - 0.004, 0.0))
        path = np.column_stack([loop * [0.9, 1.15], np.full(12, h * 0.8)])
        ears.append(sweep(path, 0.0045, 0.0045, sides=8).rotated("z", side))
    parts = [
        Part(lathe(outside, 32), skin),
        Part(lathe(inside, 32), metal(rng, 0.55)),
        Part(join(ears), plain(shade("black", rng), 0.4) if rng.random() < 0.5 else skin),
    ]
    solids = [
        solid_cylinder(r, 0.0, 0.006),
        *ring_wall(r, r, 0.004, h, thickness=0.005),
        rod((0, -r - 0.02, h * 0.8), (0, -r, h * 0.8), 0.005),
    ]
    if rng.random() < 0.4:
        lid = lathe([(r + 0.002, h), (r + 0.003, h + 0.003), (r * 0.6, h + 0.016), (0.0, h + 0.020)], 30)
        knob = cylinder(0.011, 0.016, 14, top=0.014).moved(z=h + 0.018)
        parts += [Part(lid, skin), Part(knob, plain(shade("black", rng), 0.4))]
        solids.append(solid_cylinder(r, h - 0.01, h + 0.015))
    colour = None if finish else paint.colour
    holds = len(parts) == 3
    nouns = ("pot", "cooking pot", "saucepan")
    return ObjectModel("pot", nouns, tuple(parts), tuple(solids), colour, upright=0.98, holds=holds)


def pitcher(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.15)
    r, h = rng.uniform(0.048, 0.060), rng.uniform(0.16, 0.22)
    outline = curve([(r * 0.8, 0.0), (r, h * 0.3), (r * 0.72, h * 0.75), (r * 0.85, h)], 14)
    outside, inside = _hollow([(0.0, 0.0), *map(tuple, outline)], 0.004, 0.02)

    def with_lip(mesh):  # pulls the rim out into a beak at +x
        v = mesh.vertices.copy()
        pull = np.clip((v[:, 2] / h - 0.72) / 0.28, 0, 1) ** 2 * np.clip(v[:, 0] / r, 0, 1) ** 6
        v[:, 0] += 0.9 * r * pull
        v[:, 2] += 0.012 * pull
        return type(mesh)(v, mesh.normals, mesh.uv, mesh.faces)

    handle_path = _upright_curve(
        [(-r * 0.72, h * 0.88), (-r * 1.45, h * 0.92), (-r * 1.7, h * 0.6), (-r * 1.35, h * 0.3), (-r * 0.92, h * 0.25)], 16
    )
    handle = sweep(handle_path, 0.006, 0.009, normal=(0, 1, 0), sides=8)
    parts = (
        Part(with_lip(lathe(outside, 32)), paint.main),
        Part(with_lip(lathe(inside, 32)), paint.flat),
        Part(handle, paint.flat),
    )
    solids = (
        solid_cylinder(r * 0.97, 0.0, h),
        rod((-r * 1.55, 0, h * 0.4), (-r * 1.55, 0, h * 0.85), 0.007),
    )
    return ObjectModel("pitcher", ("pitcher", "jug"), parts, solids, paint.colour, paint.pattern, upright=0.92)


KINDS = tuple(
    Kind(build.__name__.replace("_", " "), build)
    for build in (mug, cup, bowl, plate, bottle, can, wine_glass, jar, vase, teapot, pan, pot, pitcher)
)
