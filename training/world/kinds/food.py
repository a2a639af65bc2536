"""Fruit, vegetables and a doughnut, in their natural colours."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter
from training.world.mesh import Mesh, arc, curve, cylinder, ellipsoid, join, lathe, sweep
from training.world.object_model import Collider, Finish, Kind, ObjectModel, Part, plain, rod, solid_cylinder

Rng = np.random.Generator
STEM = (0.33, 0.22, 0.10)
LEAF = (0.20, 0.45, 0.12)


def _skin(rng: Rng, rgb: np.ndarray, strength: float = 0.12, cell: float = 14.0, gloss: float = 0.35) -> Finish:
    return Finish(rgb, surfaces.mottled(rng, rgb, strength, cell), gloss, gloss)


def _ball(r: float, z: float, stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Collider:
    return Collider("ellipsoid", tuple(r * s for s in stretch), (0.0, 0.0, z))


def _calyx(radius: float, count: int, droop: float) -> Mesh:
    """A star of small leaves about the z axis, its middle at the origin."""
    leaves = []
    for angle in np.arange(count) * 2 * np.pi / count:
        t = np.linspace(0, 1, 6)
        path = np.stack([radius * t, np.zeros(6), -droop * t**2], axis=1)
        width = radius * 0.22 * np.sin(np.pi * np.clip(t * 0.9 + 0.1, 0, 1)) + 1e-4
        leaves.append(sweep(path, width, 0.0008, sides=6).rotated("z", angle))
    return join(leaves)


def banana(rng: Rng) -> ObjectModel:
    ripe = rng.random()
    rgb = jitter((0.94, 0.80, 0.18) if ripe < 0.75 else (0.78, 0.80, 0.22), rng)
    length, bend, thick = rng.uniform(0.16, 0.21), rng.uniform(1.0, 1.6), rng.uniform(0.0155, 0.019)
    radius = length / bend
    path2 = arc(radius, -bend / 2, bend / 2, 22, (-radius, 0.0))
    path = np.column_stack([path2, np.full(22, thick)])
    t = np.linspace(0, 1, 22)
    taper = np.interp(t, [0, 0.04, 0.12, 0.3, 0.7, 0.86, 0.93, 1], [0.25, 0.32, 0.72, 1, 1, 0.75, 0.34, 0.28])
    body = sweep(path, thick * taper, thick * taper * 0.94, sides=7)
    # brown specks, and dark ends: the sweep's v runs along the fruit
    values = np.broadcast_to(rgb, (96, 64, 3)).copy()
    values[surfaces.noise(rng, 96, 64, 7, 2) > rng.uniform(0.55, 1.1)] *= 0.6
    row = np.abs(np.linspace(-1, 1, 96))
    values *= np.where(row > 0.95, 0.35, np.where(row > 0.86, 0.85, 1.0))[:, None, None]
    solids = tuple(
        rod(path[a], path[b], thick * s) for a, b, s in ((1, 6, 0.6), (6, 11, 0.92), (11, 16, 0.92), (16, 20, 0.6))
    )
    skin = Finish(rgb, surfaces.as_image(values), 0.3, 0.2)
    return ObjectModel("banana", ("banana",), (Part(body, skin),), solids, "yellow" if ripe < 0.75 else None, upright=0.9)


def _dimpled(r: float, h: float, waist: float, dimple: float) -> list[tuple[float, float]]:
    """Profile of an apple-like body of radius r and height h standing on z = 0."""
    t = np.linspace(-np.pi / 2, np.pi / 2, 17)
    radius = r * np.cos(t) * (1 + waist * np.sin(t))
    z = h / 2 + h / 2 * np.sin(t) - dimple * np.exp(-((radius / (0.35 * r)) ** 2)) * np.sign(np.sin(t)) * (np.abs(t) > 0.8)
    return [(max(float(a), 0.0), float(b)) for a, b in zip(radius, z, strict=True)]


def _stem(height: float, radius: float = 0.0016) -> Mesh:
    path = np.stack([np.linspace(0, height * 0.35, 6) ** 1.0, np.zeros(6), np.linspace(0, height, 6)], axis=1)
    return sweep(path, radius, radius, normal=(0, 1, 0), sides=6)


def apple(rng: Rng) -> ObjectModel:
    colour = str(rng.choice(["red", "red", "green", "yellow"]))
    rgb = jitter({"red": (0.72, 0.08, 0.08), "green": (0.48, 0.70, 0.16), "yellow": (0.90, 0.76, 0.24)}[colour], rng)
    r = rng.uniform(0.034, 0.042)
    h = r * rng.uniform(1.7, 1.95)
    body = lathe(_dimpled(r, h, 0.10, 0.009), 26)
    blush = np.broadcast_to(rgb, (64, 64, 3)).copy()
    streak = cv_streaks(rng)
    blush = blush * (1 - 0.22 * streak) + np.array([0.9, 0.75, 0.35]) * 0.22 * streak
    parts = [
        Part(body, Finish(rgb, surfaces.as_image(blush), 0.6, 0.45)),
        Part(_stem(0.018).moved(z=h - 0.010), plain(STEM)),
    ]
    if rng.random() < 0.4:
        leaf = sweep(
            np.stack([np.linspace(0, 0.026, 7), np.zeros(7), 0.006 * np.sin(np.linspace(0, 3, 7))], 1),
            0.009 * np.sin(np.linspace(0.15, 3.0, 7)),
            0.0006,
            sides=6,
        )
        parts.append(Part(leaf.moved(x=0.004, z=h + 0.003), plain(LEAF)))
    return ObjectModel("apple", ("apple",), tuple(parts), (_ball(r, h / 2, (1, 1, h / 2 / r)),), colour, upright=0.6)


def cv_streaks(rng: Rng) -> np.ndarray:
    """(64, 64, 1) in [0, 1]: soft streaks that run from stem to base."""
    columns = surfaces.noise(rng, 1, 64, 6, 3)
    return np.clip(0.5 + 0.5 * columns + 0.3 * surfaces.noise(rng, 64, 64, 10, 2), 0, 1)[..., None]


def orange(rng: Rng) -> ObjectModel:
    rgb = jitter((0.95, 0.50, 0.06), rng, 0.04)
    r = rng.uniform(0.034, 0.043)
    grain = np.broadcast_to(rgb, (96, 96, 3)) * (1 - 0.16 * (rng.random((96, 96, 1)) < 0.22))
    body = ellipsoid(2 * r, 2 * r, 1.9 * r, 26).moved(z=0.95 * r)
    navel = ellipsoid(0.008, 0.008, 0.003, 10).moved(z=1.9 * r)
    parts = (Part(body, Finish(rgb, surfaces.as_image(grain), 0.4, 0.3)), Part(navel, plain(LEAF)))
    return ObjectModel("orange", ("orange",), parts, (_ball(r, 0.95 * r, (1, 1, 0.95)),), None, upright=0.3)


def lemon(rng: Rng) -> ObjectModel:
    rgb = jitter((0.96, 0.86, 0.16), rng, 0.04)
    r, half = rng.uniform(0.024, 0.029), rng.uniform(0.038, 0.046)
    t = np.linspace(-1, 1, 19)
    outline = r * np.sqrt(np.clip(1 - (t / 0.88) ** 2, 0, 1)) + 0.006 * (np.abs(t) > 0.7) * (1 - np.abs(t)) / 0.3
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in zip(outline, half * t, strict=True)], 24)
    body = body.rotated("y", np.pi / 2).moved(z=r)
    grain = np.broadcast_to(rgb, (96, 96, 3)) * (1 - 0.10 * (rng.random((96, 96, 1)) < 0.2))
    solid = Collider("ellipsoid", (half * 0.92, r, r), (0.0, 0.0, r))
    return ObjectModel(
        "lemon", ("lemon",), (Part(body, Finish(rgb, surfaces.as_image(grain), 0.4, 0.3)),), (solid,), None, upright=0.8
    )


def pear(rng: Rng) -> ObjectModel:
    colour = str(rng.choice(["green", "green", "yellow"]))
    rgb = jitter((0.62, 0.72, 0.22) if colour == "green" else (0.86, 0.76, 0.26), rng)
    r, h = rng.uniform(0.031, 0.037), rng.uniform(0.085, 0.105)
    outline = curve(
        [(0.0, 0.004), (r * 0.6, 0.002), (r, h * 0.30), (r * 0.62, h * 0.64), (r * 0.40, h * 0.86), (r * 0.16, h * 0.99), (0, h)],
        24,
    )
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in outline], 24)
    parts = (Part(body, _skin(rng, rgb, 0.16, 5)), Part(_stem(0.020).moved(z=h - 0.003), plain(STEM)))
    solids = (
        Collider("sphere", (r * 0.98,), (0.0, 0.0, r)),
        Collider("sphere", (r * 0.55,), (0.0, 0.0, h - r * 0.6)),
    )
    return ObjectModel("pear", ("pear",), parts, solids, colour, upright=0.4)


def carrot(rng: Rng) -> ObjectModel:
    rgb = jitter((0.93, 0.45, 0.10), rng, 0.04)
    r, length = rng.uniform(0.013, 0.018), rng.uniform(0.13, 0.19)
    t = np.linspace(0, 1, 20)
    width = r * np.interp(t, [0, 0.04, 0.12, 0.7, 0.95, 1], [0.5, 0.9, 1.0, 0.55, 0.22, 0.05])
    width = width * (1 + 0.03 * rng.standard_normal(20))
    wobble = rng.uniform(-0.01, 0.01)
    path = np.stack([length * t - length / 2, wobble * np.sin(np.pi * t), np.full(20, r)], axis=1)
    rings = np.broadcast_to(rgb, (64, 64, 3)) * (1 - 0.25 * (rng.random((64, 1, 1)) < 0.12))
    body = sweep(path, width, width, sides=14)
    leaves = []
    for _ in range(int(rng.integers(4, 8))):
        reach, yaw, rise = rng.uniform(0.04, 0.085), rng.uniform(-0.4, 0.4), rng.uniform(-0.15, 0.25)
        s = np.linspace(0, 1, 8)
        stalk = np.stack([-reach * s, np.zeros(8), rise * reach * np.sin(2.2 * s)], axis=1)
        frond = np.interp(s, [0, 0.35, 0.55, 0.8, 1], [0.0014, 0.0016, 0.006, 0.007, 0.001])
        leaves.append(sweep(stalk, frond, 0.0012, sides=6).rotated("z", yaw).moved(x=-length / 2 + 0.002, z=r))
    parts = (
        Part(body, Finish(rgb, surfaces.as_image(rings), 0.25, 0.15)),
        Part(join(leaves), plain(jitter(LEAF, rng), 0.1)),
    )
    solids = (
        rod((-length / 2 + r, 0, r), (0, 0, r), r),
        rod((0, 0, r), (length * 0.38, 0, r), r * 0.65),
        rod((-length / 2 - 0.03, 0, r), (-length / 2, 0, r), r * 0.5),
    )
    return ObjectModel("carrot", ("carrot",), parts, solids, None, upright=0.9)


def strawberry(rng: Rng) -> ObjectModel:
    rgb = jitter((0.82, 0.08, 0.10), rng, 0.04)
    r, h = rng.uniform(0.015, 0.019), rng.uniform(0.036, 0.046)
    outline = curve([(0.0, 0.0), (r * 0.5, h * 0.10), (r * 0.93, h * 0.55), (r * 0.9, h * 0.82), (r * 0.3, h * 0.97), (0, h * 0.96)], 18)
    seeds = np.broadcast_to(rgb, (96, 96, 3)).copy()
    y, x = np.mgrid[0:96, 0:96]
    dots = ((x + 6 * ((y // 10) % 2)) % 12 < 3) & (y % 10 < 4)
    seeds[dots] = (0.92, 0.78, 0.30)
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in outline], 20)
    top = join([_calyx(r * 1.05, 7, 0.006), _stem(0.010, 0.0012)]).moved(z=h * 0.98)
    parts = (Part(body, Finish(rgb, surfaces.as_image(seeds), 0.5, 0.4)), Part(top, plain(jitter(LEAF, rng), 0.1)))
    return ObjectModel("strawberry", ("strawberry",), parts, (_ball(r, h / 2, (1, 1, h / 2 / r)),), None, upright=0.2)


def tomato(rng: Rng) -> ObjectModel:
    rgb = jitter((0.83, 0.12, 0.06), rng, 0.04)
    r = rng.uniform(0.030, 0.042)
    h = r * rng.uniform(1.45, 1.65)
    body = lathe(_dimpled(r, h, 0.02, 0.004), 28)
    v = body.vertices.copy()
    angle = np.arctan2(v[:, 1], v[:, 0])
    v[:, :2] *= (1 + 0.025 * np.cos(5 * angle) * np.clip(v[:, 2] / h, 0, 1))[:, None]
    top = join([_calyx(r * 0.62, 6, 0.004), _stem(0.012, 0.002)]).moved(z=h - 0.001)
    parts = (
        Part(Mesh(v, body.normals, body.uv, body.faces), _skin(rng, rgb, 0.06, 20, 0.8)),
        Part(top, plain(jitter(LEAF, rng), 0.1)),
    )
    return ObjectModel("tomato", ("tomato",), parts, (_ball(r, h / 2, (1, 1, h / 2 / r)),), None, upright=0.75)


def eggplant(rng: Rng) -> ObjectModel:
    rgb = jitter((0.22, 0.07, 0.26), rng, 0.03)
    r, length = rng.uniform(0.028, 0.036), rng.uniform(0.14, 0.19)
    t = np.linspace(0, 1, 20)
    width = r * np.interp(t, [0, 0.03, 0.15, 0.35, 0.7, 0.95, 1.0], [0.15, 0.5, 0.92, 1.0, 0.72, 0.5, 0.4])
    bow = rng.uniform(0.0, 0.02)
    path = np.stack([length * (t - 0.5), bow * np.sin(np.pi * t), np.full(20, r)], axis=1)
    cap_t = np.linspace(0, 1, 8)
    cap_path = np.stack([length * (0.40 + 0.18 * cap_t), bow * 0.4 * (1 - cap_t), np.full(8, r)], axis=1)
    cap = sweep(cap_path, r * np.interp(cap_t, [0, 0.3, 0.6, 1], [0.70, 0.58, 0.2, 0.15]), r * np.interp(cap_t, [0, 0.3, 0.6, 1], [0.70, 0.58, 0.2, 0.15]), sides=12)
    parts = (
        Part(sweep(path, width, width, sides=18), Finish(rgb, None, 0.9, 0.8)),
        Part(cap, plain(jitter((0.30, 0.48, 0.18), rng), 0.2)),
    )
    solids = (
        Collider("ellipsoid", (length * 0.33, r, r), (-length * 0.17, bow * 0.6, r)),
        rod((0, bow, r), (length * 0.5, 0, r), r * 0.6),
    )
    return ObjectModel("eggplant", ("eggplant", "aubergine"), parts, solids, None, upright=0.9)


def mushroom(rng: Rng) -> ObjectModel:
    pale = rng.random() < 0.6
    rgb = jitter((0.90, 0.85, 0.78) if pale else (0.60, 0.42, 0.27), rng)
    r, h = rng.uniform(0.022, 0.030), rng.uniform(0.042, 0.056)
    cap_low = h * 0.48
    dome = [(r * np.cos(a), cap_low + (h - cap_low) * np.sin(a)) for a in np.linspace(0, np.pi / 2, 9)]
    cap = lathe([(r * 0.35, cap_low + 0.003), (r * 0.9, cap_low - 0.003), *dome], 24)
    stem = lathe([(0.0, 0.0), (r * 0.42, 0.0), (r * 0.34, h * 0.3), (r * 0.40, cap_low + 0.004)], 16)
    parts = (Part(cap, _skin(rng, rgb, 0.12, 8, 0.15)), Part(stem, plain(jitter((0.92, 0.88, 0.80), rng), 0.1)))
    solids = (solid_cylinder(r * 0.4, 0.0, cap_low), _ball(r, cap_low + 0.004, (1, 1, 0.8)))
    return ObjectModel("mushroom", ("mushroom",), parts, solids, "white" if pale else "brown", upright=0.5)


def egg(rng: Rng) -> ObjectModel:
    colour = str(rng.choice(["white", "brown"]))
    rgb = jitter((0.95, 0.92, 0.87) if colour == "white" else (0.80, 0.58, 0.42), rng, 0.03)
    r, half = rng.uniform(0.021, 0.024), rng.uniform(0.027, 0.031)
    t = np.linspace(-np.pi / 2, np.pi / 2, 15)
    outline = r * np.cos(t) * (1 - 0.13 * np.sin(t))
    body = lathe([(max(float(a), 0.0), float(b)) for a, b in zip(outline, half * np.sin(t), strict=True)], 22)
    body = body.rotated("y", np.pi / 2).moved(z=r)
    solid = Collider("ellipsoid", (half, r, r), (0.0, 0.0, r))
    return ObjectModel("egg", ("egg",), (Part(body, _skin(rng, rgb, 0.03, 3, 0.25)),), (solid,), colour, upright=0.85)


def donut(rng: Rng) -> ObjectModel:
    dough = jitter((0.80, 0.56, 0.30), rng)
    icing_name = str(rng.choice(["pink", "brown", "white"]))
    icing = jitter({"pink": (0.95, 0.55, 0.70), "brown": (0.28, 0.15, 0.08), "white": (0.95, 0.93, 0.90)}[icing_name], rng, 0.03)
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
        Part(ring, _skin(rng, dough, 0.1, 8, 0.15)),
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
    return ObjectModel("bread", nouns, (Part(body, Finish(crust, surfaces.as_image(picture), 0.1, 0.08)),), (solid,), None, upright=0.95)


def cucumber(rng: Rng) -> ObjectModel:
    rgb = jitter((0.16, 0.38, 0.12), rng, 0.04)
    r, length = rng.uniform(0.017, 0.022), rng.uniform(0.15, 0.22)
    t = np.linspace(0, 1, 18)
    width = r * np.sqrt(np.clip(1 - np.abs(2 * t - 1) ** 7, 0, 1)) + 0.001
    bow = rng.uniform(-0.012, 0.012)
    path = np.stack([length * (t - 0.5), bow * np.sin(np.pi * t), np.full(18, r)], axis=1)
    picture = np.broadcast_to(rgb, (64, 96, 3)) * (1 + 0.22 * surfaces.noise(rng, 1, 96, 9, 2)[..., None])
    picture = picture * (1 + 0.35 * (rng.random((64, 96, 1)) < 0.03))
    body = sweep(path, width, width, sides=16)
    tip = cylinder(0.004, 0.006, 8).rotated("y", np.pi / 2).moved(x=length / 2 - 0.001, z=r)
    parts = (Part(body, Finish(rgb, surfaces.as_image(picture), 0.4, 0.3)), Part(tip, plain((0.6, 0.65, 0.3))))
    solids = (rod((-length / 2 + r, 0, r), (length / 2 - r, 0, r), r),)
    return ObjectModel("cucumber", ("cucumber",), parts, solids, None, upright=0.9)


KINDS = (
    *(
        Kind(build.__name__, build)
        for build in (
            banana, apple, orange, lemon, pear, carrot, strawberry, tomato, eggplant, mushroom, egg, donut, cucumber,
        )
    ),
    Kind("bread", loaf),
)
