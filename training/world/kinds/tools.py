"""Cutlery, workshop tools and writing things: long objects, built lying along x with z up."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter, shade
from training.world.mesh import Mesh, arc, box, cylinder, join, lathe, sweep
from training.world.object_model import (
    Finish,
    Kind,
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


def _along(length: float, count: int, height: np.ndarray | float = 0.0, start: float = 0.0) -> np.ndarray:
    """(count, 3) points along x from `start`, at the given heights."""
    x = start + np.linspace(0.0, length, count)
    return np.stack([x, np.zeros(count), np.broadcast_to(np.asarray(height, dtype=float), (count,))], axis=1)


def _x_cylinder(radius: float, length: float, start: float, *, top: float | None = None, sides: int = 16) -> Mesh:
    """A cylinder along +x from x = start."""
    return cylinder(radius, length, sides, top=top).rotated("y", np.pi / 2).moved(x=start)


def _cutlery(rng: Rng) -> tuple[Finish, Finish, str | None]:
    """Metal for the working end, a finish for the grip, and a colour word where the whole is of one colour."""
    if rng.random() < 0.6:
        steel = metal(rng, 0.72)
        return steel, steel, None
    paint = Paint(rng, patterns=0.0)
    if rng.random() < 0.5:
        return paint.flat, paint.flat, paint.colour
    return metal(rng, 0.72), paint.flat, None


def spoon(rng: Rng) -> ObjectModel:
    end, grip, colour = _cutlery(rng)
    length, bowl = rng.uniform(0.15, 0.20), rng.uniform(0.016, 0.022)
    handle_length = length - 2.6 * bowl
    height = 0.004 + 0.010 * np.sin(np.linspace(0.2, np.pi * 0.85, 14))
    width = np.interp(np.linspace(0, 1, 14), [0, 0.15, 0.75, 1], [0.005, 0.008, 0.0032, 0.004])
    handle = sweep(_along(handle_length, 14, height, -length / 2), width, 0.0012, sides=8, squareness=3)
    # the bowl: a shallow shell, inner and outer side
    u = np.linspace(0, 2 * np.pi, 25)
    rings = np.linspace(0, 1, 6)
    shell = []
    for lift, flip in ((0.0, False), (-0.0012, True)):
        x = 1.38 * bowl * np.cos(u)[None] * rings[:, None]
        y = bowl * np.sin(u)[None] * rings[:, None] * (1 - 0.12 * np.cos(u)[None])
        z = 0.009 * rings[:, None] ** 2 * np.ones_like(u)[None] + lift
        vertices = np.stack([x, y, z], -1).reshape(-1, 3)
        slope = np.stack([-x / bowl**2 * 0.009, -y / bowl**2 * 0.018, np.ones_like(x)], -1).reshape(-1, 3)
        slope /= np.linalg.norm(slope, axis=1, keepdims=True)
        index = np.arange(6 * 25).reshape(6, 25)
        a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
        faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
        normals = -slope if flip else slope
        shell.append(Mesh(vertices, normals, np.full((len(vertices), 2), 0.5), (faces[:, ::-1] if flip else faces).astype(np.int32)))
    dish = join(shell).moved(x=length / 2 - 1.38 * bowl, z=0.0012)
    parts = (Part(handle, grip), Part(dish, end))
    solids = (
        rod((-length / 2, 0, 0.007), (length / 2 - 2 * bowl, 0, 0.009), 0.005),
        solid_box(2.6 * bowl, 1.7 * bowl, 0.008, (length / 2 - 1.38 * bowl, 0, 0.005)),
    )
    return ObjectModel("spoon", ("spoon",), parts, solids, colour, upright=0.9)


def fork(rng: Rng) -> ObjectModel:
    end, grip, colour = _cutlery(rng)
    length, head = rng.uniform(0.16, 0.20), rng.uniform(0.011, 0.0135)
    tines = int(rng.choice([3, 4, 4]))
    tine_length, palm = 0.046, 0.026
    handle_length = length - tine_length - palm
    height = 0.003 + 0.010 * np.sin(np.linspace(0.2, np.pi * 0.8, 14))
    width = np.interp(np.linspace(0, 1, 14), [0, 0.15, 0.75, 1], [0.005, 0.008, 0.0032, 0.004])
    handle = sweep(_along(handle_length, 14, height, -length / 2), width, 0.0012, sides=8, squareness=3)
    palm_x = -length / 2 + handle_length
    palm_width = np.interp(np.linspace(0, 1, 8), [0, 0.5, 1], [0.004, head * 0.85, head])
    palm_mesh = sweep(_along(palm, 8, np.linspace(height[-1], 0.004, 8), palm_x), palm_width, 0.0011, sides=8, squareness=4)
    prongs = []
    curve_up = 0.004 + 0.007 * np.linspace(0, 1, 8) ** 2
    for y in np.linspace(-head * 0.83, head * 0.83, tines):
        prong = sweep(_along(tine_length, 8, curve_up, palm_x + palm - 0.002), np.linspace(0.0017, 0.0010, 8), 0.0011, sides=6)
        prongs.append(prong.moved(y=float(y)))
    parts = (Part(handle, grip), Part(join([palm_mesh, *prongs]), end))
    solids = (
        rod((-length / 2, 0, 0.007), (palm_x, 0, 0.009), 0.005),
        solid_box(palm + tine_length, 2 * head, 0.008, (palm_x + (palm + tine_length) / 2, 0, 0.006)),
    )
    return ObjectModel("fork", ("fork",), parts, solids, colour, upright=0.9)


def knife(rng: Rng) -> ObjectModel:
    kitchen = rng.random() < 0.5
    blade_length = rng.uniform(0.12, 0.18) if kitchen else rng.uniform(0.09, 0.11)
    depth = rng.uniform(0.013, 0.019) if kitchen else 0.009
    grip_length = rng.uniform(0.09, 0.115)
    t = np.linspace(0, 1, 16)
    half = depth * np.interp(t, [0, 0.55, 0.85, 1], [1.0, 0.95, 0.6, 0.04])
    path = _along(blade_length, 16, 0.006)
    path[:, 1] = depth - half  # the back stays straight, the edge runs up to the tip
    blade = sweep(path, half, 0.0012, sides=8, squareness=1.6)
    grip_t = np.linspace(0, 1, 10)
    grip_path = _along(grip_length, 10, 0.006, -grip_length + 0.002)
    grip_path[:, 1] = depth * 0.35
    grip_width = np.interp(grip_t, [0, 0.1, 0.5, 0.9, 1], [0.008, 0.012, 0.0105, 0.011, 0.009])
    grip = sweep(grip_path, grip_width, 0.006, sides=12, squareness=3)
    paint = Paint(rng, patterns=0.0, among=("black", "black", "brown", "red", "white", "blue", "green"))
    steel = metal(rng, 0.75)
    handle_finish = paint.flat if kitchen or rng.random() < 0.4 else steel
    parts = (Part(blade, steel), Part(grip, handle_finish))
    solids = (
        solid_box(blade_length * 0.9, 2 * depth, 0.006, (blade_length * 0.45, 0, 0.005)),
        solid_box(grip_length, 0.022, 0.012, (-grip_length / 2, depth * 0.35, 0.006)),
    )
    return ObjectModel("knife", ("knife", "kitchen knife") if kitchen else ("knife",), parts, solids, upright=0.95)


def hammer(rng: Rng) -> ObjectModel:
    length, r = rng.uniform(0.24, 0.31), rng.uniform(0.011, 0.014)
    wooden = rng.random() < 0.5
    grip = plain(jitter((0.70, 0.50, 0.28), rng), 0.2) if wooden else Paint(rng, patterns=0.0).flat
    head_r = rng.uniform(0.014, 0.018)
    z = head_r
    t = np.linspace(0, 1, 12)
    shaft_width = r * np.interp(t, [0, 0.06, 0.4, 0.6, 1], [0.9, 1.15, 1.05, 0.75, 0.7])
    shaft = sweep(_along(length, 12, z, -length / 2), shaft_width, shaft_width * 0.85, sides=12)
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
    paint = Paint(rng, patterns=0.0, among=("red", "yellow", "blue", "orange", "green", "black"))
    grip_length, shaft_length = rng.uniform(0.085, 0.105), rng.uniform(0.075, 0.130)
    r = rng.uniform(0.013, 0.017)
    t = np.linspace(0, 1, 18)
    width = r * np.interp(t, [0, 0.05, 0.15, 0.7, 0.82, 0.9, 1], [0.55, 0.85, 1.0, 0.95, 0.62, 0.66, 0.85])
    grip = sweep(_along(grip_length, 18, r, -grip_length), width, width, sides=12)
    band = np.broadcast_to(paint.rgb, (64, 24, 3)).copy()
    band[:, ::4] *= 0.55
    band[50:54] = 0.08
    shaft = _x_cylinder(0.0032, shaft_length, 0.0, sides=10).moved(z=r)
    tip = sweep(_along(0.014, 5, r, shaft_length), np.linspace(0.0032, 0.0042, 5), np.linspace(0.0032, 0.0008, 5), sides=8, squareness=4)
    parts = (
        Part(grip, Finish(paint.rgb, surfaces.as_image(band), 0.6, 0.4)),
        Part(join([shaft, tip]), metal(rng, 0.65)),
    )
    solids = (rod((-grip_length + r, 0, r), (-r, 0, r), r * 0.97), rod((0, 0, r), (shaft_length + 0.012, 0, r), 0.0035))
    return ObjectModel("screwdriver", ("screwdriver",), parts, solids, paint.colour, upright=0.95)


def scissors(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0, among=("red", "orange", "blue", "black", "green", "purple", "pink", "yellow"))
    blade_length = rng.uniform(0.075, 0.105)
    opening = rng.uniform(0.10, 0.40)
    size = rng.uniform(0.9, 1.1)
    metal_parts, grip_parts = [], []
    for side in (-1.0, 1.0):
        z = 0.004 + 0.0012 * side
        t = np.linspace(0, 1, 10)
        half = np.interp(t, [0, 0.3, 1], [0.0065, 0.0075, 0.0008])
        path = _along(blade_length + 0.015, 10, z, -0.015)
        path[:, 1] = side * (0.0065 - half) * -1.0
        blade = sweep(path, half, 0.0011, sides=8, squareness=3)
        arm_path = np.stack([np.linspace(-0.008, -0.045, 8), side * -0.010 * np.linspace(0, 1, 8) ** 1.5, np.full(8, z)], 1)
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
    length, head = rng.uniform(0.15, 0.21), rng.uniform(0.014, 0.018)
    steel = metal(rng, rng.uniform(0.5, 0.72))
    thick = 0.0045
    shaft = sweep(_along(length - 2.4 * head, 6, thick, -length / 2 + 1.2 * head), head * 0.45, thick * 0.75, sides=10, squareness=4)
    jaw_line = arc(head * 0.78, np.radians(48), np.radians(312), 18)
    jaw_path = np.column_stack([jaw_line, np.full(18, thick)]) + [length / 2 - head, 0, 0]
    jaw = sweep(jaw_path, head * 0.40, thick, sides=8, squareness=4)
    u = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    eye_path = np.stack([-length / 2 + head + 0.75 * head * np.cos(u), 0.75 * head * np.sin(u), np.full(20, thick)], 1)
    eye = sweep(eye_path, head * 0.32, thick, sides=8, squareness=4, closed=True)
    solids = (solid_box(length, head * 1.3, 2 * thick, (0, 0, thick)), solid_box(2 * head, 2 * head, 2 * thick, (length / 2 - head, 0, thick)))
    return ObjectModel("wrench", ("wrench", "spanner"), (Part(join([shaft, jaw, eye]), steel),), solids, upright=0.97)


def _pen(rng: Rng, *, felt_tip: bool) -> ObjectModel:
    paint = Paint(rng, patterns=0.0)
    r = rng.uniform(0.0075, 0.0095) if felt_tip else rng.uniform(0.005, 0.006)
    length = rng.uniform(0.12, 0.15)
    cap_length = length * 0.32
    barrel = _x_cylinder(r, length - cap_length, -length / 2, sides=16)
    cap = _x_cylinder(r * 1.12, cap_length, length / 2 - cap_length, top=r * 1.0, sides=16)
    clip = box(cap_length * 0.8, 0.003, 0.0015, 0.0004).moved(x=length / 2 - cap_length * 0.5, z=r * 1.25)
    tail = _x_cylinder(r * 0.8, 0.006, -length / 2 - 0.006, sides=12)
    body = plain(shade("white", rng), 0.5) if felt_tip and rng.random() < 0.5 else paint.flat
    trim = metal(rng) if not felt_tip and rng.random() < 0.5 else paint.flat
    parts = (Part(barrel.moved(z=r), body), Part(join([cap, clip, tail]).moved(z=r), trim))
    nouns = ("marker", "felt-tip pen", "pen") if felt_tip else ("pen", "ballpoint pen")
    solids = (rod((-length / 2, 0, r), (length / 2, 0, r), r),)
    return ObjectModel(nouns[0], nouns, parts, solids, paint.colour, upright=0.96)


def pen(rng: Rng) -> ObjectModel:
    return _pen(rng, felt_tip=False)


def marker(rng: Rng) -> ObjectModel:
    return _pen(rng, felt_tip=True)


def pencil(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0, among=("yellow", "yellow", "red", "green", "blue", "black"))
    r, length = 0.0042, rng.uniform(0.12, 0.185)
    shaft = _x_cylinder(r, length - 0.036, -length / 2 + 0.016, sides=6)
    wood = _x_cylinder(r, 0.014, length / 2 - 0.020, top=r * 0.35, sides=12)
    lead = _x_cylinder(r * 0.35, 0.006, length / 2 - 0.006, top=0.0002, sides=8)
    ferrule = _x_cylinder(r * 1.04, 0.009, -length / 2 + 0.008, sides=12)
    rubber = _x_cylinder(r * 0.98, 0.009, -length / 2, sides=12)
    parts = tuple(
        Part(mesh.moved(z=r), finish)
        for mesh, finish in (
            (shaft, paint.flat),
            (wood, plain((0.87, 0.68, 0.45), 0.1)),
            (lead, plain((0.12, 0.12, 0.13))),
            (ferrule, metal(rng)),
            (rubber, plain((0.90, 0.50, 0.50), 0.1)),
        )
    )
    return ObjectModel("pencil", ("pencil",), parts, (rod((-length / 2, 0, r), (length / 2, 0, r), r),), paint.colour, upright=0.96)


def paintbrush(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0)
    width, length = rng.uniform(0.014, 0.026), rng.uniform(0.10, 0.13)
    z = 0.008
    t = np.linspace(0, 1, 14)
    grip_width = np.interp(t, [0, 0.1, 0.35, 0.8, 1], [0.006, 0.010, 0.007, width * 0.9, width])
    grip = sweep(_along(length, 14, z, -length), grip_width, np.linspace(0.006, 0.007, 14), sides=10)
    ferrule = sweep(_along(0.026, 4, z, 0.0), width * 1.03, 0.0078, sides=12, squareness=4)
    hairs = sweep(_along(0.045, 8, z, 0.026), width * np.interp(np.linspace(0, 1, 8), [0, 1], [0.95, 1.08]), np.linspace(0.007, 0.003, 8), sides=12, squareness=4)
    comb = np.broadcast_to(jitter((0.80, 0.70, 0.50), rng, 0.15), (16, 96, 3)) * (0.75 + 0.35 * rng.random((1, 96, 1)))
    parts = (
        Part(grip, paint.flat),
        Part(ferrule, metal(rng)),
        Part(hairs, Finish(comb[0, 0], surfaces.as_image(comb), 0.1, 0.1)),
    )
    solids = (rod((-length, 0, z), (0, 0, z), 0.007), solid_box(0.07, 2 * width, 0.014, (0.035, 0, z)))
    return ObjectModel("paintbrush", ("paintbrush", "brush"), parts, solids, paint.colour, upright=0.96)


def tape_roll(rng: Rng) -> ObjectModel:
    colour = str(rng.choice(["brown", "blue", "gray", "white", "black", "yellow", "red", "green"]))
    tape = plain(shade(colour, rng), 0.6)
    r, hole, h = rng.uniform(0.040, 0.055), rng.uniform(0.024, 0.034), rng.uniform(0.018, 0.048)
    core = hole + 0.0035
    outside = lathe([(core, 0.0), (r, 0.0), (r, h), (core, h)], 32)
    inside = lathe([(core, h), (hole, h), (hole, 0.0), (core, 0.0)], 32)
    parts = (Part(outside, tape), Part(inside, plain(jitter((0.76, 0.64, 0.46), rng), 0.05)))
    nouns = ("tape roll", "roll of tape", "tape")
    return ObjectModel("tape roll", nouns, parts, (solid_cylinder(r, 0.0, h),), colour, upright=0.75)


KINDS = tuple(
    Kind(build.__name__.replace("_", " "), build)
    for build in (
        spoon, fork, knife, hammer, screwdriver, scissors, wrench, pencil, paintbrush, tape_roll, marker, pen,
    )
)
