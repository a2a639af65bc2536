"""Workshop tools, built lying along x with z up."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter, shade
from training.world.kinds.outlines import along_x, x_cylinder
from training.world.mesh import arc, box, cylinder, join, lathe, sweep
from training.world.object_model import (
    Finish,
    ObjectModel,
    Paint,
    Part,
    metal,
    plain,
    rod,
    solid_box,
    solid_cylinder,
)

Rng = np.random.Generator


def hammer(rng: Rng) -> ObjectModel:
    """A claw hammer."""
    length, r = rng.uniform(0.24, 0.31), rng.uniform(0.011, 0.014)
    wooden = rng.random() < 0.5
    grip = plain(jitter((0.70, 0.50, 0.28), rng), 0.2) if wooden else Paint(rng, patterns=0.0).flat
    head_r = rng.uniform(0.014, 0.018)
    z = head_r
    t = np.linspace(0, 1, 12)
    shaft_width = r * np.interp(t, [0, 0.06, 0.4, 0.6, 1], [0.9, 1.15, 1.05, 0.75, 0.7])
    shaft = sweep(along_x(length, 12, z, -length / 2), shaft_width, shaft_width * 0.85, sides=12)
    steel = metal(rng, rng.uniform(0.28, 0.6))
    x = length / 2 - 0.004
    face = cylinder(head_r, 0.022, 16).rotated("x", np.pi / 2).moved(x=x, y=-0.028, z=z)
    block = box(0.026, 0.050, 0.024, 0.003).moved(x=x, z=z)
    claw_t = np.linspace(0, 1, 10)
    claws = []
    for side in (-1, 1):
        path = np.stack([x - 0.022 * claw_t**2 * 1.0, 0.024 + 0.046 * claw_t, np.full(10, z)], axis=1)
        path[:, 2] += side * (0.004 + 0.005 * claw_t)
        claws.append(sweep(path, np.linspace(0.011, 0.003, 10), np.linspace(0.0045, 0.002, 10), sides=8, squareness=4))
    parts = (Part(shaft, grip), Part(join([face, block, *claws]), steel))
    solids = (
        rod((-length / 2, 0, z), (length / 2, 0, z), r),
        solid_box(0.030, 0.11, 2 * head_r, (x, 0.006, z)),
    )
    return ObjectModel("hammer", ("hammer",), parts, solids, upright=0.95)


def screwdriver(rng: Rng) -> ObjectModel:
    """A screwdriver with a ribbed grip."""
    paint = Paint(rng, patterns=0.0, among=("red", "yellow", "blue", "orange", "green", "black"))
    grip_length, shaft_length = rng.uniform(0.085, 0.105), rng.uniform(0.075, 0.130)
    r = rng.uniform(0.013, 0.017)
    t = np.linspace(0, 1, 18)
    width = r * np.interp(t, [0, 0.05, 0.15, 0.7, 0.82, 0.9, 1], [0.55, 0.85, 1.0, 0.95, 0.62, 0.66, 0.85])
    grip = sweep(along_x(grip_length, 18, r, -grip_length), width, width, sides=12)
    band = np.broadcast_to(paint.rgb, (64, 24, 3)).copy()
    band[:, ::4] *= 0.55
    band[50:54] = 0.08
    shaft = x_cylinder(0.0032, shaft_length, 0.0, sides=10).moved(z=r)
    tip = sweep(
        along_x(0.014, 5, r, shaft_length),
        np.linspace(0.0032, 0.0042, 5),
        np.linspace(0.0032, 0.0008, 5),
        sides=8,
        squareness=4,
    )
    parts = (
        Part(grip, Finish(paint.rgb, surfaces.as_image(band), 0.6, 0.4)),
        Part(join([shaft, tip]), metal(rng, 0.65)),
    )
    solids = (
        rod((-grip_length + r, 0, r), (-r, 0, r), r * 0.97),
        rod((0, 0, r), (shaft_length + 0.012, 0, r), 0.0035),
    )
    return ObjectModel("screwdriver", ("screwdriver",), parts, solids, paint.colour, upright=0.95)


def scissors(rng: Rng) -> ObjectModel:
    """Scissors, more or less open."""
    paint = Paint(rng, patterns=0.0, among=("red", "orange", "blue", "black", "green", "purple", "pink", "yellow"))
    blade_length = rng.uniform(0.075, 0.105)
    opening = rng.uniform(0.10, 0.40)
    size = rng.uniform(0.9, 1.1)
    metal_parts, grip_parts = [], []
    for side in (-1.0, 1.0):
        z = 0.004 + 0.0012 * side
        t = np.linspace(0, 1, 10)
        half = np.interp(t, [0, 0.3, 1], [0.0065, 0.0075, 0.0008])
        path = along_x(blade_length + 0.015, 10, z, -0.015)
        path[:, 1] = side * (0.0065 - half) * -1.0
        blade = sweep(path, half, 0.0011, sides=8, squareness=3)
        arm_path = np.stack(
            [np.linspace(-0.008, -0.045, 8), side * -0.010 * np.linspace(0, 1, 8) ** 1.5, np.full(8, z)], 1
        )
        arm = sweep(arm_path, np.linspace(0.006, 0.0045, 8), 0.0032, sides=8, squareness=3)
        u = np.linspace(0, 2 * np.pi, 22, endpoint=False)
        loop_path = np.stack([-0.064 + 0.023 * np.cos(u), -side * 0.019 + 0.015 * np.sin(u), np.full(22, z)], axis=1)
        loop = sweep(loop_path, 0.0038, 0.0038, sides=8, closed=True)
        turn = side * opening / 2
        metal_parts.append(blade.rotated("z", turn))
        grip_parts.append(join([arm, loop]).rotated("z", turn))
    metal_parts.append(cylinder(0.004, 0.002, 12).moved(z=0.005))
    parts = (
        Part(join(metal_parts).scaled(size, size, 1.0), metal(rng, 0.72)),
        Part(join(grip_parts).scaled(size, size, 1.0), paint.flat),
    )
    spread = np.sin(opening / 2)
    solids = (
        solid_box(blade_length, 0.018 + blade_length * spread, 0.007, (blade_length * 0.45, 0, 0.004)),
        solid_box(0.080, 0.064 + 0.08 * spread, 0.008, (-0.05, 0, 0.004)),
    )
    return ObjectModel("scissors", ("scissors", "pair of scissors"), parts, solids, paint.colour, upright=0.97)


def wrench(rng: Rng) -> ObjectModel:
    """A spanner: open jaw at one end, ring at the other."""
    length, head = rng.uniform(0.15, 0.21), rng.uniform(0.014, 0.018)
    steel = metal(rng, rng.uniform(0.5, 0.72))
    thick = 0.0045
    shaft = sweep(
        along_x(length - 2.4 * head, 6, thick, -length / 2 + 1.2 * head),
        head * 0.45,
        thick * 0.75,
        sides=10,
        squareness=4,
    )
    jaw_line = arc(head * 0.78, np.radians(48), np.radians(312), 18)
    jaw_path = np.column_stack([jaw_line, np.full(18, thick)]) + np.array([length / 2 - head, 0.0, 0.0])
    jaw = sweep(jaw_path, head * 0.40, thick, sides=8, squareness=4)
    u = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    eye_path = np.stack([-length / 2 + head + 0.75 * head * np.cos(u), 0.75 * head * np.sin(u), np.full(20, thick)], 1)
    eye = sweep(eye_path, head * 0.32, thick, sides=8, squareness=4, closed=True)
    solids = (
        solid_box(length, head * 1.3, 2 * thick, (0, 0, thick)),
        solid_box(2 * head, 2 * head, 2 * thick, (length / 2 - head, 0, thick)),
    )
    return ObjectModel("wrench", ("wrench", "spanner"), (Part(join([shaft, jaw, eye]), steel),), solids, upright=0.97)


def paintbrush(rng: Rng) -> ObjectModel:
    """A flat paintbrush."""
    paint = Paint(rng, patterns=0.0)
    width, length = rng.uniform(0.014, 0.026), rng.uniform(0.10, 0.13)
    z = 0.008
    t = np.linspace(0, 1, 14)
    grip_width = np.interp(t, [0, 0.1, 0.35, 0.8, 1], [0.006, 0.010, 0.007, width * 0.9, width])
    grip = sweep(along_x(length, 14, z, -length), grip_width, np.linspace(0.006, 0.007, 14), sides=10)
    ferrule = sweep(along_x(0.026, 4, z, 0.0), width * 1.03, 0.0078, sides=12, squareness=4)
    hairs = sweep(
        along_x(0.045, 8, z, 0.026),
        width * np.interp(np.linspace(0, 1, 8), [0, 1], [0.95, 1.08]),
        np.linspace(0.007, 0.003, 8),
        sides=12,
        squareness=4,
    )
    comb = np.broadcast_to(jitter((0.80, 0.70, 0.50), rng, 0.15), (16, 96, 3)) * (0.75 + 0.35 * rng.random((1, 96, 1)))
    parts = (
        Part(grip, paint.flat),
        Part(ferrule, metal(rng)),
        Part(hairs, Finish(comb[0, 0], surfaces.as_image(comb), 0.1, 0.1)),
    )
    solids = (rod((-length, 0, z), (0, 0, z), 0.007), solid_box(0.07, 2 * width, 0.014, (0.035, 0, z)))
    return ObjectModel("paintbrush", ("paintbrush", "brush"), parts, solids, paint.colour, upright=0.96)


def tape_roll(rng: Rng) -> ObjectModel:
    """A roll of adhesive tape."""
    colour = str(rng.choice(["brown", "blue", "gray", "white", "black", "yellow", "red", "green"]))
    tape = plain(shade(colour, rng), 0.6)
    r, hole, h = rng.uniform(0.040, 0.055), rng.uniform(0.024, 0.034), rng.uniform(0.018, 0.048)
    core = hole + 0.0035
    outside = lathe([(core, 0.0), (r, 0.0), (r, h), (core, h)], 32)
    inside = lathe([(core, h), (hole, h), (hole, 0.0), (core, 0.0)], 32)
    parts = (Part(outside, tape), Part(inside, plain(jitter((0.76, 0.64, 0.46), rng), 0.05)))
    nouns = ("tape roll", "roll of tape", "tape")
    return ObjectModel("tape roll", nouns, parts, (solid_cylinder(r, 0.0, h),), colour, upright=0.75)
