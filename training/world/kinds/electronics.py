"""Small devices."""

import cv2
import numpy as np

from training.world import surfaces
from training.world.colours import shade
from training.world.kinds.outlines import rounded_rectangle
from training.world.mesh import arc, box, cylinder, ellipsoid, join, lathe, slab, sweep
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


def phone(rng: Rng) -> ObjectModel:
    """A smartphone, screen lit or dark."""
    colour = str(rng.choice(["black", "black", "white", "blue", "red", "pink", "gray"]))
    x, y, z = rng.uniform(0.068, 0.078), rng.uniform(0.138, 0.160), 0.0085
    case = slab(rounded_rectangle(x, y, 0.010), z)
    lit = rng.random() < 0.5
    if lit:
        screen = np.clip(rng.uniform(0.1, 0.9, 3) * (1 + 0.5 * surfaces.noise(rng, 128, 64, 40)[..., None]), 0, 1)
        for row in range(4):
            for column in range(4):
                if rng.random() < 0.8:
                    screen[14 + row * 20 : 26 + row * 20, 5 + column * 15 : 15 + column * 15] = rng.uniform(0.1, 1, 3)
    else:
        screen = np.full((64, 64, 3), 0.035)
    glass = slab(rounded_rectangle(x - 0.006, y - 0.010, 0.008), 0.0006).moved(z=z)
    lens = join([cylinder(0.005, 0.001, 12).moved(x=-x * 0.3 + dx, y=y * 0.40, z=-0.001) for dx in (0.0, 0.013)])
    parts = (
        Part(case, plain(shade(colour, rng), 0.6)),
        Part(glass, Finish(screen.mean(axis=(0, 1)), surfaces.as_image(screen), 0.95, 0.6)),
        Part(lens, plain((0.05, 0.05, 0.06), 0.9)),
    )
    nouns = ("phone", "cell phone", "smartphone", "mobile phone")
    return ObjectModel(
        "phone", nouns, parts, (solid_box(x, y, z, (0, 0, z / 2)),), None if lit else colour, upright=0.93
    )


def remote(rng: Rng) -> ObjectModel:
    """A television remote control with keys."""
    colour = str(rng.choice(["black", "black", "gray", "white"]))
    x, y, z = rng.uniform(0.040, 0.052), rng.uniform(0.15, 0.20), rng.uniform(0.014, 0.020)
    body = slab(rounded_rectangle(x, y, 0.010), z)
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
    """A computer mouse with its wheel."""
    colour = str(rng.choice(["black", "black", "white", "gray", "red", "blue"]))
    x, y, h = rng.uniform(0.056, 0.066), rng.uniform(0.10, 0.12), rng.uniform(0.034, 0.042)
    t = np.linspace(0, 1, 16)
    half_width = x / 2 * np.sqrt(np.clip(1 - np.abs(2 * t - 1) ** 3.5, 0, 1)) + 0.0015
    half_height = (
        h / 2 * (0.30 + 0.70 * np.sin(np.pi * np.clip(t * 0.80 + 0.10, 0, 1))) * (half_width / half_width.max()) ** 0.5
    )
    path = np.stack([np.zeros(16), y * (t - 0.5), half_height], axis=1)
    skin = plain(shade(colour, rng), 0.5)
    body = sweep(path, half_width, half_height, normal=(0, 0, 1), sides=20, squareness=2.6)
    dark = plain((0.12, 0.12, 0.13) if colour != "black" else (0.45, 0.45, 0.47), 0.3)
    front = int(np.argmin(np.abs(t - 0.80)))
    wheel = (
        cylinder(0.010, 0.007, 16)
        .rotated("y", np.pi / 2)
        .moved(x=-0.0035, y=path[front, 1], z=2 * half_height[front] - 0.007)
    )
    gap = sweep(
        path[8:15] + np.stack([0 * t[8:15], 0 * t[8:15], half_height[8:15] - 0.0002], 1),
        0.0009,
        0.0009,
        sides=6,
    )
    parts = (Part(body, skin), Part(join([wheel, gap]), dark))
    solid = Collider("ellipsoid", (x / 2, y / 2, h / 2), (0, 0, h / 2))
    foot = solid_box(x * 0.8, y * 0.85, h * 0.3, (0, 0, h * 0.16))
    return ObjectModel("computer mouse", ("computer mouse", "mouse"), parts, (solid, foot), colour, upright=0.96)


def alarm_clock(rng: Rng) -> ObjectModel:
    """A round alarm clock with two bells, dial towards -y."""
    paint = Paint(rng, patterns=0.0, gloss=(0.5, 0.9))
    r, depth = rng.uniform(0.038, 0.050), rng.uniform(0.030, 0.040)
    size = 128
    dial = np.full((size, size, 3), 246, np.uint8)
    ink = (25, 25, 28)
    for hour in range(12):
        a = hour * np.pi / 6
        inner, outer = (50, 58) if hour % 3 else (44, 58)
        ends = [(int(64 + q * np.cos(a)), int(64 + q * np.sin(a))) for q in (inner, outer)]
        cv2.line(dial, ends[0], ends[1], ink, 4 if hour % 3 == 0 else 2, cv2.LINE_AA)
    for reach, width in ((30, 5), (46, 3)):
        a = rng.uniform(0, 2 * np.pi)
        cv2.line(
            dial,
            (64, 64),
            (int(64 + reach * np.cos(a)), int(64 + reach * np.sin(a))),
            ink,
            width,
            cv2.LINE_AA,
        )
    case = lathe([(0, 0), (r * 0.92, 0), (r, 0.004), (r, depth), (r * 0.9, depth), (r * 0.88, depth - 0.003)], 30)
    glass = slab(arc(r * 0.89, 0, 2 * np.pi, 33)[:-1], 0.001).moved(z=depth - 0.003)
    upright = [mesh.rotated("x", np.pi / 2).moved(y=depth / 2, z=r + 0.010) for mesh in (case, glass)]
    feet = [cylinder(0.005, 0.022, 10, top=0.006).rotated("y", sx * -0.5).moved(x=sx * r * 0.66) for sx in (-1, 1)]
    bells = [
        ellipsoid(0.034, 0.026, 0.026, 16).rotated("y", sx * 0.6).moved(x=sx * r * 0.55, z=2 * r + 0.010)
        for sx in (-1, 1)
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
