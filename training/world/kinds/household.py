"""Boxes, books, toys, small electronics and other things that lie about a house."""

import cv2
import numpy as np

from training.world import surfaces
from training.world.colours import jitter, shade
from training.world.mesh import arc, box, cylinder, ellipsoid, join, lathe, slab, sweep
from training.world.object_model import (
    Collider,
    Finish,
    Kind,
    ObjectModel,
    Paint,
    Part,
    metal,
    plain,
    solid_box,
    solid_cylinder,
)

Rng = np.random.Generator


def block(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.1)
    side = rng.uniform(0.030, 0.055)
    parts = (Part(box(side, side, side, 0.0025), paint.main),)
    nouns = ("block", "cube", "toy block")
    return ObjectModel("block", nouns, parts, (solid_box(side, side, side),), paint.colour, paint.pattern, upright=0.7)


def ball(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.45)
    r = rng.uniform(0.022, 0.048)
    parts = (Part(ellipsoid(2 * r, 2 * r, 2 * r, 28), paint.main),)
    return ObjectModel(
        "ball", ("ball",), parts, (Collider("sphere", (r,)),), paint.colour, paint.pattern, upright=0.0
    )


def carton(rng: Rng) -> ObjectModel:
    """A box: brown cardboard with tape over the flaps, or a printed packet."""
    if rng.random() < 0.4:
        x, y, z = rng.uniform(0.10, 0.18), rng.uniform(0.08, 0.14), rng.uniform(0.06, 0.12)
        rgb = jitter((0.66, 0.48, 0.31), rng)
        parts = [Part(box(x, y, z, 0.0015), Finish(rgb, surfaces.mottled(rng, rgb, 0.08, 6), 0.05, 0.05))]
        tape = plain(jitter((0.78, 0.66, 0.45), rng), 0.6)
        parts.append(Part(box(x + 0.001, y * 0.25, 0.001).moved(z=z / 2), tape))
        for side in (-1, 1):
            parts.append(Part(box(0.001, y * 0.25, z * 0.35).moved(x=side * x / 2, z=z * 0.33), tape))
        nouns, colour = ("box", "cardboard box"), "brown"
    else:
        paint = Paint(rng, patterns=0.0, gloss=(0.2, 0.6))
        x, y, z = rng.uniform(0.07, 0.15), rng.uniform(0.03, 0.07), rng.uniform(0.10, 0.20)
        second = shade("white" if paint.rgb.mean() < 0.6 else "blue", rng)
        label = surfaces.printed(rng, paint.rgb, second, 128)
        parts = [Part(box(x, y, z, 0.001), Finish(paint.rgb, label, paint.shininess, paint.specular))]
        nouns, colour = ("box",), paint.colour
    return ObjectModel("box", nouns, tuple(parts), (solid_box(x, y, z),), colour, upright=0.6, holds=True)


def book(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0, gloss=(0.2, 0.7))
    x, y, z = rng.uniform(0.11, 0.16), rng.uniform(0.16, 0.22), rng.uniform(0.014, 0.040)
    cover = 0.0025
    printed = surfaces.printed(rng, paint.rgb, shade("white" if paint.rgb.mean() < 0.55 else "black", rng), 128)
    skin = Finish(paint.rgb, printed, paint.shininess, paint.specular)
    pages = np.broadcast_to(jitter((0.93, 0.90, 0.82), rng, 0.04), (32, 32, 3)).copy()
    pages[::2] *= 0.90
    lids = join([box(x, y, cover, 0.0004).moved(z=s * (z - cover) / 2) for s in (-1, 1)])
    spine = box(cover, y, z).moved(x=-x / 2 + cover / 2)
    paper = box(x - 0.006, y - 0.008, z - 2 * cover).moved(x=-0.001)
    parts = (
        Part(lids, skin),
        Part(spine, paint.flat),
        Part(paper, Finish(pages[0, 0], surfaces.as_image(pages), 0.05, 0.05)),
    )
    return ObjectModel("book", ("book",), parts, (solid_box(x, y, z),), paint.colour, upright=0.92, holds=True)


def sponge(rng: Rng) -> ObjectModel:
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


def _round_rectangle(x: float, y: float, corner: float) -> np.ndarray:
    """(n, 2) counter-clockwise outline of full extents x, y."""
    quarters = [
        arc(corner, start, start + np.pi / 2, 5, (sx * (x / 2 - corner), sy * (y / 2 - corner)))
        for start, sx, sy in ((0, 1, 1), (np.pi / 2, -1, 1), (np.pi, -1, -1), (1.5 * np.pi, 1, -1))
    ]
    return np.concatenate(quarters)


def phone(rng: Rng) -> ObjectModel:
    colour = str(rng.choice(["black", "black", "white", "blue", "red", "pink", "gray"]))
    x, y, z = rng.uniform(0.068, 0.078), rng.uniform(0.138, 0.160), 0.0085
    case = slab(_round_rectangle(x, y, 0.010), z)
    lit = rng.random() < 0.5
    if lit:
        screen = np.clip(rng.uniform(0.1, 0.9, 3) * (1 + 0.5 * surfaces.noise(rng, 128, 64, 40)[..., None]), 0, 1)
        for row in range(4):
            for column in range(4):
                if rng.random() < 0.8:
                    screen[14 + row * 20 : 26 + row * 20, 5 + column * 15 : 15 + column * 15] = rng.uniform(0.1, 1, 3)
    else:
        screen = np.full((64, 64, 3), 0.035)
    glass = slab(_round_rectangle(x - 0.006, y - 0.010, 0.008), 0.0006).moved(z=z)
    lens = join([cylinder(0.005, 0.001, 12).moved(x=-x * 0.3 + dx, y=y * 0.40, z=-0.001) for dx in (0.0, 0.013)])
    parts = (
        Part(case, plain(shade(colour, rng), 0.6)),
        Part(glass, Finish(screen.mean(axis=(0, 1)), surfaces.as_image(screen), 0.95, 0.6)),
        Part(lens, plain((0.05, 0.05, 0.06), 0.9)),
    )
    nouns = ("phone", "cell phone", "smartphone", "mobile phone")
    return ObjectModel("phone", nouns, parts, (solid_box(x, y, z, (0, 0, z / 2)),), None if lit else colour, upright=0.93)


def remote(rng: Rng) -> ObjectModel:
    colour = str(rng.choice(["black", "black", "gray", "white"]))
    x, y, z = rng.uniform(0.040, 0.052), rng.uniform(0.15, 0.20), rng.uniform(0.014, 0.020)
    body = slab(_round_rectangle(x, y, 0.010), z)
    light = colour == "black" or colour == "gray"
    keys, special = [], []
    rows = int(rng.integers(6, 9))
    for row in range(rows):
        for column in (-1, 0, 1):
            spot = (column * x * 0.28, y * (0.24 - 0.62 * row / (rows - 1)))
            key = box(x * 0.17, y * 0.032, 0.004, 0.001).moved(*spot, z + 0.0008)
            keys.append(key)
    special.append(cylinder(0.005, 0.003, 12).moved(x=-x * 0.27, y=y * 0.42, z=z))
    wheel = lathe([(0.006, 0.0), (0.012, 0.0), (0.012, 0.002), (0.006, 0.002)], 18).moved(y=y * 0.33, z=z)
    parts = (
        Part(body, plain(shade(colour, rng), 0.3)),
        Part(join([*keys, wheel]), plain(shade("gray" if light else "black", rng) * 1.15, 0.2)),
        Part(join(special), plain(shade("red", rng), 0.3)),
    )
    nouns = ("remote", "remote control", "tv remote")
    return ObjectModel("remote", nouns, parts, (solid_box(x, y, z, (0, 0, z / 2)),), colour, upright=0.95)


def computer_mouse(rng: Rng) -> ObjectModel:
    colour = str(rng.choice(["black", "black", "white", "gray", "red", "blue"]))
    x, y, h = rng.uniform(0.056, 0.066), rng.uniform(0.10, 0.12), rng.uniform(0.034, 0.042)
    t = np.linspace(0, 1, 16)
    half_width = x / 2 * np.sqrt(np.clip(1 - np.abs(2 * t - 1) ** 3.5, 0, 1)) + 0.0015
    half_height = h / 2 * (0.30 + 0.70 * np.sin(np.pi * np.clip(t * 0.80 + 0.10, 0, 1))) * (half_width / half_width.max()) ** 0.5
    path = np.stack([np.zeros(16), y * (t - 0.5), half_height], axis=1)
    skin = plain(shade(colour, rng), 0.5)
    body = sweep(path, half_width, half_height, normal=(0, 0, 1), sides=20, squareness=2.6)
    dark = plain((0.12, 0.12, 0.13) if colour != "black" else (0.45, 0.45, 0.47), 0.3)
    front = int(np.argmin(np.abs(t - 0.80)))
    wheel = cylinder(0.010, 0.007, 16).rotated("y", np.pi / 2).moved(x=-0.0035, y=path[front, 1], z=2 * half_height[front] - 0.007)
    gap = sweep(path[8:15] + np.stack([0 * t[8:15], 0 * t[8:15], half_height[8:15] - 0.0002], 1), 0.0009, 0.0009, sides=6)
    parts = (Part(body, skin), Part(join([wheel, gap]), dark))
    solid = Collider("ellipsoid", (x / 2, y / 2, h / 2), (0, 0, h / 2))
    foot = solid_box(x * 0.8, y * 0.85, h * 0.3, (0, 0, h * 0.16))
    return ObjectModel("computer mouse", ("computer mouse", "mouse"), parts, (solid, foot), colour, upright=0.96)


def candle(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.12, among=("white", "white", "red", "green", "blue", "purple", "pink", "yellow", "orange"))
    slim = rng.random() < 0.4
    r, h = (rng.uniform(0.010, 0.013), rng.uniform(0.14, 0.2)) if slim else (rng.uniform(0.024, 0.036), rng.uniform(0.06, 0.13))
    wax = lathe([(0, 0), (r, 0), (r, h - 0.002), (r * 0.9, h), (r * 0.7, h - 0.002), (0, h - 0.004)], 24)
    wick = cylinder(0.0014, 0.014, 8).moved(z=h - 0.004)
    parts = [Part(wax, paint.main), Part(wick, plain((0.10, 0.09, 0.08)))]
    solids = [solid_cylinder(r, 0.0, h)]
    if rng.random() < 0.45:
        flame = lathe([(0, 0), (0.0045, 0.006), (0.003, 0.014), (0.0, 0.024)], 12).moved(z=h + 0.008)
        parts.append(Part(flame, Finish(np.array([1.0, 0.80, 0.25]), None, 0.0, 0.0)))
    if slim:
        dish = lathe([(0, -0.004), (0.036, -0.004), (0.042, 0.006), (0.036, 0.001), (r + 0.004, 0.001), (r + 0.004, 0.022), (r, 0.022)], 26)
        parts.append(Part(dish, metal(rng, 0.55)))
        solids.append(solid_cylinder(0.040, -0.004, 0.004))
    return ObjectModel("candle", ("candle",), tuple(parts), tuple(solids), paint.colour, paint.pattern, upright=0.9)


def potted_plant(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.1)
    clay = rng.random() < 0.5
    rgb = jitter((0.72, 0.36, 0.22), rng)
    pot_finish = Finish(rgb, surfaces.mottled(rng, rgb, 0.1, 6), 0.05, 0.05) if clay else paint.main
    r, h = rng.uniform(0.036, 0.050), rng.uniform(0.060, 0.085)
    rim = h * 0.8
    pot_mesh = lathe(
        [(0, 0), (r * 0.68, 0), (r * 0.92, rim), (r * 1.04, rim), (r * 1.06, h), (r * 0.95, h), (r * 0.9, h - 0.010), (0, h - 0.010)], 26
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


def toy_car(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0, gloss=(0.6, 0.95))
    length, width = rng.uniform(0.075, 0.12), rng.uniform(0.036, 0.048)
    wheel_r = length * rng.uniform(0.11, 0.13)
    low = wheel_r * 0.7
    body_h, cabin_h = length * 0.16, length * rng.uniform(0.15, 0.20)
    body = box(length, width, body_h, 0.005).moved(z=low + body_h / 2)
    shift = -length * rng.uniform(0.02, 0.10)
    cabin_t = np.linspace(0, 1, 6)
    cabin_path = np.stack([np.full(6, shift), np.zeros(6), low + body_h + cabin_h * cabin_t], axis=1)
    cabin = sweep(cabin_path, np.linspace(width * 0.45, width * 0.36, 6), np.linspace(length * 0.30, length * 0.19, 6), normal=(1, 0, 0), sides=20, squareness=8)
    roof = box(length * 0.36, width * 0.72, 0.003, 0.001).moved(x=shift, z=low + body_h + cabin_h)
    wheels, hubs, lamps = [], [], []
    for sx in (-1, 1):
        for sy in (-1, 1):
            spot = (sx * length * 0.30, sy * width * 0.47, wheel_r)
            wheels.append(cylinder(wheel_r, width * 0.22, 18).moved(z=-width * 0.11).rotated("x", np.pi / 2).moved(*spot))
            hubs.append(cylinder(wheel_r * 0.5, width * 0.24, 12).moved(z=-width * 0.12).rotated("x", np.pi / 2).moved(*spot))
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
    paint = Paint(rng, patterns=0.0, gloss=(0.5, 0.9), among=("red", "blue", "yellow", "green", "white", "black", "orange"))
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
    rgb = jitter((0.97, 0.82, 0.12), rng, 0.04)
    s = rng.uniform(0.8, 1.25)
    skin = Finish(rgb, None, 0.7, 0.5)
    body = ellipsoid(0.075, 0.056, 0.048, 22).moved(z=0.024)
    head = ellipsoid(0.040, 0.038, 0.038, 20).moved(x=0.024, z=0.060)
    tail = lathe([(0, 0), (0.014, 0.0), (0.009, 0.016), (0.0, 0.026)], 14).rotated("y", -0.9).moved(x=-0.028, z=0.030)
    wings = [ellipsoid(0.036, 0.010, 0.022, 14).rotated("y", 0.25).moved(x=-0.006, y=sy * 0.027, z=0.030) for sy in (-1, 1)]
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
    colour = str(rng.choice(["brown", "brown", "white", "pink", "gray"]))
    rgb = {"brown": jitter((0.46, 0.28, 0.15), rng), "gray": shade("gray", rng)}.get(colour, shade(colour, rng))
    fur = Finish(rgb, surfaces.mottled(rng, rgb, 0.3, 4), 0.0, 0.0)
    pale = plain(np.clip(rgb * 0.6 + 0.36, 0, 1), 0.0)
    body = ellipsoid(0.070, 0.076, 0.082, 20).moved(z=0.041)
    head = ellipsoid(0.062, 0.066, 0.058, 20).moved(x=0.006, z=0.102)
    ears = [ellipsoid(0.012, 0.026, 0.026, 12).moved(y=sy * 0.027, z=0.130) for sy in (-1, 1)]
    arms = [ellipsoid(0.028, 0.026, 0.056, 14).rotated("x", sy * 0.6).moved(x=0.014, y=sy * 0.043, z=0.060) for sy in (-1, 1)]
    legs = [ellipsoid(0.064, 0.034, 0.032, 14).rotated("z", sy * 0.35).moved(x=0.036, y=sy * 0.030, z=0.016) for sy in (-1, 1)]
    muzzle = ellipsoid(0.024, 0.030, 0.024, 14).moved(x=0.034, z=0.094)
    soles = [ellipsoid(0.006, 0.024, 0.024, 12).rotated("z", sy * 0.35).moved(x=0.066, y=sy * 0.041, z=0.016) for sy in (-1, 1)]
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


def alarm_clock(rng: Rng) -> ObjectModel:
    paint = Paint(rng, patterns=0.0, gloss=(0.5, 0.9))
    r, depth = rng.uniform(0.038, 0.050), rng.uniform(0.030, 0.040)
    size = 128
    dial = np.full((size, size, 3), 246, np.uint8)
    ink = (25, 25, 28)
    for hour in range(12):
        a = hour * np.pi / 6
        inner, outer = (50, 58) if hour % 3 else (44, 58)
        ends = [(int(64 + q * np.cos(a)), int(64 + q * np.sin(a))) for q in (inner, outer)]
        cv2.line(dial, *ends, ink, 4 if hour % 3 == 0 else 2, cv2.LINE_AA)
    for reach, width in ((30, 5), (46, 3)):
        a = rng.uniform(0, 2 * np.pi)
        cv2.line(dial, (64, 64), (int(64 + reach * np.cos(a)), int(64 + reach * np.sin(a))), ink, width, cv2.LINE_AA)
    case = lathe([(0, 0), (r * 0.92, 0), (r, 0.004), (r, depth), (r * 0.9, depth), (r * 0.88, depth - 0.003)], 30)
    glass = slab(arc(r * 0.89, 0, 2 * np.pi, 33)[:-1], 0.001).moved(z=depth - 0.003)
    upright = [mesh.rotated("x", np.pi / 2).moved(y=depth / 2, z=r + 0.010) for mesh in (case, glass)]
    feet = [
        cylinder(0.005, 0.022, 10, top=0.006).rotated("y", sx * -0.5).moved(x=sx * r * 0.66) for sx in (-1, 1)
    ]
    bells = [
        ellipsoid(0.034, 0.026, 0.026, 16).rotated("y", sx * 0.6).moved(x=sx * r * 0.55, z=2 * r + 0.010) for sx in (-1, 1)
    ]
    parts = (
        Part(upright[0], paint.flat),
        Part(upright[1], Finish(np.full(3, 0.95), dial, 0.8, 0.4)),
        Part(join([*feet, *bells]), metal(rng)),
    )
    solids = (
        solid_box(2 * r, depth, 2 * r, (0, 0, r + 0.010)),
        solid_box(r * 1.4, depth, 0.012, (0, 0, 0.006)),
    )
    return ObjectModel("alarm clock", ("alarm clock", "clock"), parts, solids, paint.colour, upright=0.9)


KINDS = (
    *(
        Kind(build.__name__.replace("_", " "), build)
        for build in (
            block, ball, book, sponge, dice, phone, remote, computer_mouse, candle, potted_plant, toy_car, rubber_duck,
            teddy_bear, alarm_clock,
        )
    ),
    Kind("box", carton),
    Kind("lego brick", toy_brick),
)
