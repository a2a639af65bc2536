"""Blocks, balls, dice and other toys."""

import cv2
import numpy as np

from training.world import surfaces
from training.world.colours import jitter, shade
from training.world.mesh import box, cylinder, ellipsoid, join, lathe, sweep
from training.world.object_model import (
    Collider,
    Finish,
    ObjectModel,
    Paint,
    Part,
    metal,
    plain,
    solid_box,
)

Rng = np.random.Generator


def block(rng: Rng) -> ObjectModel:
    """A toy cube."""
    paint = Paint(rng, patterns=0.1)
    side = rng.uniform(0.030, 0.055)
    parts = (Part(box(side, side, side, 0.0025), paint.main),)
    nouns = ("block", "cube", "toy block")
    return ObjectModel("block", nouns, parts, (solid_box(side, side, side),), paint.colour, paint.pattern, upright=0.7)


def ball(rng: Rng) -> ObjectModel:
    """A plain or patterned ball."""
    paint = Paint(rng, patterns=0.45)
    r = rng.uniform(0.022, 0.048)
    parts = (Part(ellipsoid(2 * r, 2 * r, 2 * r, 28), paint.main),)
    return ObjectModel("ball", ("ball",), parts, (Collider("sphere", (r,)),), paint.colour, paint.pattern, upright=0.0)


def _pips(face: np.ndarray, origin: tuple[int, int], cell: int, count: int, ink: tuple[int, int, int]) -> None:
    """Draws `count` pips into the square of `face` at origin (x, y)."""
    low, middle, high = 0.25, 0.5, 0.75
    places = {
        1: [(middle, middle)],
        2: [(low, low), (high, high)],
        3: [(low, low), (middle, middle), (high, high)],
        4: [(low, low), (low, high), (high, low), (high, high)],
        5: [(low, low), (low, high), (high, low), (high, high), (middle, middle)],
        6: [(low, low), (low, middle), (low, high), (high, low), (high, middle), (high, high)],
    }[count]
    for x, y in places:
        centre = (origin[0] + int(x * cell), origin[1] + int(y * cell))
        cv2.circle(face, centre, int(cell * 0.1), ink, -1, cv2.LINE_AA)


def dice(rng: Rng) -> ObjectModel:
    """A die with correct pips."""
    colour = str(rng.choice(["white", "white", "red", "black", "blue", "green"]))
    rgb = shade(colour, rng)
    ink = (20, 20, 20) if colour == "white" else (240, 240, 240)
    cell = 64
    picture = np.ascontiguousarray(np.broadcast_to(surfaces.as_image(rgb), (2 * cell, 3 * cell, 3)))
    for column, pair in enumerate(((1, 6), (2, 5), (3, 4))):  # opposite faces add up to seven
        for row, count in enumerate(pair):
            _pips(picture, (column * cell, row * cell), cell, count, ink)
    side = rng.uniform(0.018, 0.034)
    parts = (Part(box(side, side, side, side * 0.10, atlas=True), Finish(rgb, picture, 0.7, 0.5)),)
    return ObjectModel("dice", ("dice",), parts, (solid_box(side, side, side),), colour, upright=0.3)


def toy_car(rng: Rng) -> ObjectModel:
    """A small car with four wheels."""
    paint = Paint(rng, patterns=0.0, gloss=(0.6, 0.95))
    length, width = rng.uniform(0.075, 0.12), rng.uniform(0.036, 0.048)
    wheel_r = length * rng.uniform(0.11, 0.13)
    low = wheel_r * 0.7
    body_h, cabin_h = length * 0.16, length * rng.uniform(0.15, 0.20)
    body = box(length, width, body_h, 0.005).moved(z=low + body_h / 2)
    shift = -length * rng.uniform(0.02, 0.10)
    cabin_t = np.linspace(0, 1, 6)
    cabin_path = np.stack([np.full(6, shift), np.zeros(6), low + body_h + cabin_h * cabin_t], axis=1)
    cabin = sweep(
        cabin_path,
        np.linspace(width * 0.45, width * 0.36, 6),
        np.linspace(length * 0.30, length * 0.19, 6),
        normal=(1, 0, 0),
        sides=20,
        squareness=8,
    )
    roof = box(length * 0.36, width * 0.72, 0.003, 0.001).moved(x=shift, z=low + body_h + cabin_h)
    wheels, hubs, lamps = [], [], []
    for sx in (-1, 1):
        for sy in (-1, 1):
            spot = (sx * length * 0.30, sy * width * 0.47, wheel_r)
            wheels.append(
                cylinder(wheel_r, width * 0.22, 18).moved(z=-width * 0.11).rotated("x", np.pi / 2).moved(*spot)
            )
            hubs.append(
                cylinder(wheel_r * 0.5, width * 0.24, 12).moved(z=-width * 0.12).rotated("x", np.pi / 2).moved(*spot)
            )
    for sy in (-1, 1):
        lamps.append(ellipsoid(0.004, 0.008, 0.007, 10).moved(x=length / 2, y=sy * width * 0.32, z=low + body_h * 0.6))
    parts = (
        Part(join([body, roof]), paint.flat),
        Part(cabin, plain((0.10, 0.13, 0.17), 0.9)),
        Part(join(wheels), plain((0.07, 0.07, 0.07), 0.1)),
        Part(join(hubs), metal(rng)),
        Part(join(lamps), plain((0.97, 0.93, 0.70), 0.8)),
    )
    solids = (
        solid_box(length, width, body_h + low * 0.7, (0, 0, low * 0.65 + body_h / 2)),
        solid_box(length * 0.45, width * 0.8, cabin_h, (shift, 0, low + body_h + cabin_h / 2)),
        solid_box(length * 0.8, width, wheel_r, (0, 0, wheel_r / 2)),
    )
    return ObjectModel("toy car", ("toy car", "car"), parts, solids, paint.colour, upright=0.9)


def toy_brick(rng: Rng) -> ObjectModel:
    """A building brick with studs."""
    paint = Paint(
        rng,
        patterns=0.0,
        gloss=(0.5, 0.9),
        among=("red", "blue", "yellow", "green", "white", "black", "orange"),
    )
    unit = rng.uniform(0.012, 0.018)
    columns, rows = int(rng.integers(2, 5)), 2
    x, y, z = columns * unit, rows * unit, unit * 1.2
    studs = [
        cylinder(unit * 0.30, unit * 0.22, 12).moved((c + 0.5) * unit - x / 2, (r + 0.5) * unit - y / 2, z / 2)
        for c in range(columns)
        for r in range(rows)
    ]
    parts = (Part(join([box(x, y, z, 0.0006), *studs]), paint.flat),)
    solids = (solid_box(x, y, z * 1.2, (0, 0, z * 0.1)),)
    nouns = ("lego brick", "toy brick", "building brick")
    return ObjectModel("lego brick", nouns, parts, solids, paint.colour, upright=0.7)


def rubber_duck(rng: Rng) -> ObjectModel:
    """A yellow bath duck."""
    rgb = jitter((0.97, 0.82, 0.12), rng, 0.04)
    s = rng.uniform(0.8, 1.25)
    skin = Finish(rgb, None, 0.7, 0.5)
    body = ellipsoid(0.075, 0.056, 0.048, 22).moved(z=0.024)
    head = ellipsoid(0.040, 0.038, 0.038, 20).moved(x=0.024, z=0.060)
    tail = lathe([(0, 0), (0.014, 0.0), (0.009, 0.016), (0.0, 0.026)], 14).rotated("y", -0.9).moved(x=-0.028, z=0.030)
    wings = [
        ellipsoid(0.036, 0.010, 0.022, 14).rotated("y", 0.25).moved(x=-0.006, y=sy * 0.027, z=0.030) for sy in (-1, 1)
    ]
    beak = ellipsoid(0.022, 0.020, 0.008, 14).moved(x=0.047, z=0.056)
    eyes = [ellipsoid(0.006, 0.006, 0.008, 10).moved(x=0.039, y=sy * 0.011, z=0.068) for sy in (-1, 1)]
    meshes = (
        (join([body, head, tail, *wings]), skin),
        (beak, plain((0.95, 0.45, 0.08), 0.5)),
        (join(eyes), plain((0.05, 0.05, 0.05), 0.8)),
    )
    parts = tuple(Part(mesh.scaled(s, s, s), finish) for mesh, finish in meshes)
    solids = (
        solid_box(0.055 * s, 0.044 * s, 0.035 * s, (0, 0, 0.019 * s)),
        Collider("sphere", (0.020 * s,), (0.024 * s, 0, 0.060 * s)),
    )
    return ObjectModel("rubber duck", ("rubber duck", "toy duck", "duck"), parts, solids, "yellow", upright=0.9)


def teddy_bear(rng: Rng) -> ObjectModel:
    """A sitting teddy bear."""
    colour = str(rng.choice(["brown", "brown", "white", "pink", "gray"]))
    rgb = {"brown": jitter((0.46, 0.28, 0.15), rng), "gray": shade("gray", rng)}.get(colour, shade(colour, rng))
    fur = Finish(rgb, surfaces.mottled(rng, rgb, 0.3, 4), 0.0, 0.0)
    pale = plain(np.clip(rgb * 0.6 + 0.36, 0, 1), 0.0)
    body = ellipsoid(0.070, 0.076, 0.082, 20).moved(z=0.041)
    head = ellipsoid(0.062, 0.066, 0.058, 20).moved(x=0.006, z=0.102)
    ears = [ellipsoid(0.012, 0.026, 0.026, 12).moved(y=sy * 0.027, z=0.130) for sy in (-1, 1)]
    arms = [
        ellipsoid(0.028, 0.026, 0.056, 14).rotated("x", sy * 0.6).moved(x=0.014, y=sy * 0.043, z=0.060)
        for sy in (-1, 1)
    ]
    legs = [
        ellipsoid(0.064, 0.034, 0.032, 14).rotated("z", sy * 0.35).moved(x=0.036, y=sy * 0.030, z=0.016)
        for sy in (-1, 1)
    ]
    muzzle = ellipsoid(0.024, 0.030, 0.024, 14).moved(x=0.034, z=0.094)
    soles = [
        ellipsoid(0.006, 0.024, 0.024, 12).rotated("z", sy * 0.35).moved(x=0.066, y=sy * 0.041, z=0.016)
        for sy in (-1, 1)
    ]
    face = [ellipsoid(0.008, 0.011, 0.008, 10).moved(x=0.046, z=0.098)]
    face += [ellipsoid(0.006, 0.007, 0.008, 10).moved(x=0.033, y=sy * 0.014, z=0.112) for sy in (-1, 1)]
    parts = (
        Part(join([body, head, *ears, *arms, *legs]), fur),
        Part(join([muzzle, *soles]), pale),
        Part(join(face), plain((0.04, 0.03, 0.03), 0.8)),
    )
    solids = (
        Collider("ellipsoid", (0.035, 0.038, 0.041), (0, 0, 0.041)),
        Collider("sphere", (0.031,), (0.006, 0, 0.104)),
        solid_box(0.090, 0.09, 0.030, (0.020, 0, 0.015)),
    )
    s = rng.uniform(0.85, 1.3)
    return ObjectModel("teddy bear", ("teddy bear", "stuffed bear"), parts, solids, colour, upright=0.85).scaled(s)
