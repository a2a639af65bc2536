"""Spoon, fork and knife, built lying along x with z up."""

import numpy as np

from training.world.kinds.outlines import along_x
from training.world.mesh import Mesh, join, sweep
from training.world.object_model import (
    Finish,
    ObjectModel,
    Paint,
    Part,
    metal,
    rod,
    solid_box,
)

Rng = np.random.Generator


def _cutlery(rng: Rng) -> tuple[Finish, Finish, str | None]:
    """Metal for the working end, a finish for the grip, and a colour word where all is of one colour."""
    if rng.random() < 0.6:
        steel = metal(rng, 0.72)
        return steel, steel, None
    paint = Paint(rng, patterns=0.0)
    if rng.random() < 0.5:
        return paint.flat, paint.flat, paint.colour
    return metal(rng, 0.72), paint.flat, None


def spoon(rng: Rng) -> ObjectModel:
    """A table spoon of metal or plastic."""
    end, grip, colour = _cutlery(rng)
    length, bowl = rng.uniform(0.15, 0.20), rng.uniform(0.016, 0.022)
    handle_length = length - 2.6 * bowl
    height = 0.004 + 0.010 * np.sin(np.linspace(0.2, np.pi * 0.85, 14))
    width = np.interp(np.linspace(0, 1, 14), [0, 0.15, 0.75, 1], [0.005, 0.008, 0.0032, 0.004])
    handle = sweep(along_x(handle_length, 14, height, -length / 2), width, 0.0012, sides=8, squareness=3)
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
        shell.append(
            Mesh(
                vertices,
                normals,
                np.full((len(vertices), 2), 0.5),
                (faces[:, ::-1] if flip else faces).astype(np.int32),
            )
        )
    dish = join(shell).moved(x=length / 2 - 1.38 * bowl, z=0.0012)
    parts = (Part(handle, grip), Part(dish, end))
    solids = (
        rod((-length / 2, 0, 0.007), (length / 2 - 2 * bowl, 0, 0.009), 0.005),
        solid_box(2.6 * bowl, 1.7 * bowl, 0.008, (length / 2 - 1.38 * bowl, 0, 0.005)),
    )
    return ObjectModel("spoon", ("spoon",), parts, solids, colour, upright=0.9)


def fork(rng: Rng) -> ObjectModel:
    """A fork with three or four tines."""
    end, grip, colour = _cutlery(rng)
    length, head = rng.uniform(0.16, 0.20), rng.uniform(0.011, 0.0135)
    tines = int(rng.choice([3, 4, 4]))
    tine_length, palm = 0.046, 0.026
    handle_length = length - tine_length - palm
    height = 0.003 + 0.010 * np.sin(np.linspace(0.2, np.pi * 0.8, 14))
    width = np.interp(np.linspace(0, 1, 14), [0, 0.15, 0.75, 1], [0.005, 0.008, 0.0032, 0.004])
    handle = sweep(along_x(handle_length, 14, height, -length / 2), width, 0.0012, sides=8, squareness=3)
    palm_x = -length / 2 + handle_length
    palm_width = np.interp(np.linspace(0, 1, 8), [0, 0.5, 1], [0.004, head * 0.85, head])
    palm_mesh = sweep(
        along_x(palm, 8, np.linspace(height[-1], 0.004, 8), palm_x), palm_width, 0.0011, sides=8, squareness=4
    )
    prongs = []
    curve_up = 0.004 + 0.007 * np.linspace(0, 1, 8) ** 2
    for y in np.linspace(-head * 0.83, head * 0.83, tines):
        prong = sweep(
            along_x(tine_length, 8, curve_up, palm_x + palm - 0.002),
            np.linspace(0.0017, 0.0010, 8),
            0.0011,
            sides=6,
        )
        prongs.append(prong.moved(y=float(y)))
    parts = (Part(handle, grip), Part(join([palm_mesh, *prongs]), end))
    solids = (
        rod((-length / 2, 0, 0.007), (palm_x, 0, 0.009), 0.005),
        solid_box(palm + tine_length, 2 * head, 0.008, (palm_x + (palm + tine_length) / 2, 0, 0.006)),
    )
    return ObjectModel("fork", ("fork",), parts, solids, colour, upright=0.9)


def knife(rng: Rng) -> ObjectModel:
    """A kitchen or table knife."""
    kitchen = rng.random() < 0.5
    blade_length = rng.uniform(0.12, 0.18) if kitchen else rng.uniform(0.09, 0.11)
    depth = rng.uniform(0.013, 0.019) if kitchen else 0.009
    grip_length = rng.uniform(0.09, 0.115)
    t = np.linspace(0, 1, 16)
    half = depth * np.interp(t, [0, 0.55, 0.85, 1], [1.0, 0.95, 0.6, 0.04])
    path = along_x(blade_length, 16, 0.006)
    path[:, 1] = depth - half  # the back stays straight, the edge runs up to the tip
    blade = sweep(path, half, 0.0012, sides=8, squareness=1.6)
    grip_t = np.linspace(0, 1, 10)
    grip_path = along_x(grip_length, 10, 0.006, -grip_length + 0.002)
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
