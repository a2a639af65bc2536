"""Pots, pans and what pours hot drinks."""

import numpy as np

from training.world.colours import shade
from training.world.kinds.outlines import hollow, upright_curve
from training.world.mesh import Mesh, arc, curve, cylinder, ellipsoid, join, lathe, sweep
from training.world.object_model import (
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


def teapot(rng: Rng) -> ObjectModel:
    """A teapot with spout, handle and lid."""
    paint = Paint(rng, patterns=0.12, gloss=(0.4, 0.9))
    r, h = rng.uniform(0.060, 0.075), rng.uniform(0.085, 0.110)
    outline = curve([(r * 0.6, 0.0), (r, h * 0.42), (r * 0.8, h * 0.82), (r * 0.45, h)], 14)
    body = lathe([(0.0, 0.0), *map(tuple, outline), (0.0, h)], 28)
    lid = lathe([(r * 0.48, h - 0.002), (r * 0.46, h + 0.005), (r * 0.2, h + 0.014), (0.0, h + 0.016)], 22)
    knob = ellipsoid(0.020, 0.020, 0.020, 12).moved(z=h + 0.022)
    spout_path = upright_curve(
        [(r * 0.80, h * 0.30), (r * 1.25, h * 0.42), (r * 1.5, h * 0.80), (r * 1.78, h * 0.98)], 12
    )
    spout = sweep(spout_path, np.linspace(0.017, 0.008, 12), np.linspace(0.015, 0.008, 12), normal=(0, 1, 0), sides=10)
    handle_path = upright_curve(
        [
            (-r * 0.80, h * 0.85),
            (-r * 1.35, h * 0.95),
            (-r * 1.62, h * 0.6),
            (-r * 1.3, h * 0.25),
            (-r * 0.88, h * 0.22),
        ],
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
    """A frying pan."""
    dark = rng.random() < 0.7
    finish = plain(shade("black", rng), 0.5) if dark else metal(rng)
    r, h = rng.uniform(0.085, 0.120), rng.uniform(0.032, 0.045)
    outside, inside = hollow([(0.0, 0.0), (r * 0.82, 0.0), (r * 0.9, 0.008), (r, h)], 0.003, 0.005)
    length = rng.uniform(0.13, 0.18)
    grip_path = np.stack(
        [np.linspace(r - 0.004, r + length, 12), np.zeros(12), np.linspace(h - 0.008, h + 0.012, 12)], 1
    )
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
    return ObjectModel("pan", ("pan", "frying pan"), parts, solids, colour, upright=0.97, holds="in")


def pot(rng: Rng) -> ObjectModel:
    """A cooking pot with two ears, sometimes with its lid on."""
    finish = metal(rng) if rng.random() < 0.5 else None
    paint = Paint(rng, patterns=0.0, gloss=(0.5, 0.9))
    skin = finish or paint.flat
    r, h = rng.uniform(0.075, 0.100), rng.uniform(0.075, 0.110)
    outside, inside = hollow([(0.0, 0.0), (r - 0.006, 0.0), (r, 0.006), (r, h), (r + 0.003, h)], 0.003, 0.006)
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
    holds = "in" if len(parts) == 3 else None
    nouns = ("pot", "cooking pot", "saucepan")
    return ObjectModel("pot", nouns, tuple(parts), tuple(solids), colour, upright=0.98, holds=holds)


def pitcher(rng: Rng) -> ObjectModel:
    """A pitcher with a lip and a handle."""
    paint = Paint(rng, patterns=0.15)
    r, h = rng.uniform(0.048, 0.060), rng.uniform(0.16, 0.22)
    outline = curve([(r * 0.8, 0.0), (r, h * 0.3), (r * 0.72, h * 0.75), (r * 0.85, h)], 14)
    outside, inside = hollow([(0.0, 0.0), *map(tuple, outline)], 0.004, 0.02)

    def with_lip(mesh: Mesh) -> Mesh:  # pulls the rim out into a beak at +x
        v = mesh.vertices.copy()
        pull = np.clip((v[:, 2] / h - 0.72) / 0.28, 0, 1) ** 2 * np.clip(v[:, 0] / r, 0, 1) ** 6
        v[:, 0] += 0.9 * r * pull
        v[:, 2] += 0.012 * pull
        return Mesh(v, mesh.normals, mesh.uv, mesh.faces)

    handle_path = upright_curve(
        [
            (-r * 0.72, h * 0.88),
            (-r * 1.45, h * 0.92),
            (-r * 1.7, h * 0.6),
            (-r * 1.35, h * 0.3),
            (-r * 0.92, h * 0.25),
        ],
        16,
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
