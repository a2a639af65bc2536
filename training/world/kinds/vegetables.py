"""Vegetables and a mushroom in their natural colours."""

import numpy as np

from training.world import surfaces
from training.world.colours import jitter
from training.world.kinds.plant_parts import LEAF, calyx, dimpled, skin, spheroid, stem
from training.world.mesh import Mesh, cylinder, join, lathe, sweep
from training.world.object_model import (
    Collider,
    Finish,
    ObjectModel,
    Part,
    plain,
    rod,
    solid_cylinder,
)

Rng = np.random.Generator


def carrot(rng: Rng) -> ObjectModel:
    """A carrot with its leaves."""
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


def tomato(rng: Rng) -> ObjectModel:
    """A tomato."""
    rgb = jitter((0.83, 0.12, 0.06), rng, 0.04)
    r = rng.uniform(0.030, 0.042)
    h = r * rng.uniform(1.45, 1.65)
    body = lathe(dimpled(r, h, 0.02, 0.004), 28)
    v = body.vertices.copy()
    angle = np.arctan2(v[:, 1], v[:, 0])
    v[:, :2] *= (1 + 0.025 * np.cos(5 * angle) * np.clip(v[:, 2] / h, 0, 1))[:, None]
    top = join([calyx(r * 0.62, 6, 0.004), stem(0.012, 0.002)]).moved(z=h - 0.001)
    parts = (
        Part(Mesh(v, body.normals, body.uv, body.faces), skin(rng, rgb, 0.06, 20, 0.8)),
        Part(top, plain(jitter(LEAF, rng), 0.1)),
    )
    return ObjectModel("tomato", ("tomato",), parts, (spheroid(r, h / 2, (1, 1, h / 2 / r)),), None, upright=0.75)


def eggplant(rng: Rng) -> ObjectModel:
    """An eggplant (aubergine)."""
    rgb = jitter((0.22, 0.07, 0.26), rng, 0.03)
    r, length = rng.uniform(0.028, 0.036), rng.uniform(0.14, 0.19)
    t = np.linspace(0, 1, 20)
    width = r * np.interp(t, [0, 0.03, 0.15, 0.35, 0.7, 0.95, 1.0], [0.15, 0.5, 0.92, 1.0, 0.72, 0.5, 0.4])
    bow = rng.uniform(0.0, 0.02)
    path = np.stack([length * (t - 0.5), bow * np.sin(np.pi * t), np.full(20, r)], axis=1)
    cap_t = np.linspace(0, 1, 8)
    cap_path = np.stack([length * (0.40 + 0.18 * cap_t), bow * 0.4 * (1 - cap_t), np.full(8, r)], axis=1)
    cap = sweep(
        cap_path,
        r * np.interp(cap_t, [0, 0.3, 0.6, 1], [0.70, 0.58, 0.2, 0.15]),
        r * np.interp(cap_t, [0, 0.3, 0.6, 1], [0.70, 0.58, 0.2, 0.15]),
        sides=12,
    )
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
    """A mushroom, white or brown."""
    pale = rng.random() < 0.6
    rgb = jitter((0.90, 0.85, 0.78) if pale else (0.60, 0.42, 0.27), rng)
    r, h = rng.uniform(0.022, 0.030), rng.uniform(0.042, 0.056)
    cap_low = h * 0.48
    dome = [(r * np.cos(a), cap_low + (h - cap_low) * np.sin(a)) for a in np.linspace(0, np.pi / 2, 9)]
    cap = lathe([(r * 0.35, cap_low + 0.003), (r * 0.9, cap_low - 0.003), *dome], 24)
    stem = lathe([(0.0, 0.0), (r * 0.42, 0.0), (r * 0.34, h * 0.3), (r * 0.40, cap_low + 0.004)], 16)
    parts = (
        Part(cap, skin(rng, rgb, 0.12, 8, 0.15)),
        Part(stem, plain(jitter((0.92, 0.88, 0.80), rng), 0.1)),
    )
    solids = (solid_cylinder(r * 0.4, 0.0, cap_low), spheroid(r, cap_low + 0.004, (1, 1, 0.8)))
    return ObjectModel("mushroom", ("mushroom",), parts, solids, "white" if pale else "brown", upright=0.5)


def cucumber(rng: Rng) -> ObjectModel:
    """A cucumber."""
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
    parts = (
        Part(body, Finish(rgb, surfaces.as_image(picture), 0.4, 0.3)),
        Part(tip, plain((0.6, 0.65, 0.3))),
    )
    solids = (rod((-length / 2 + r, 0, r), (length / 2 - r, 0, r), r),)
    return ObjectModel("cucumber", ("cucumber",), parts, solids, None, upright=0.9)
