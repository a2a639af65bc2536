"""Table, floor, walls, background photo and lights round the objects.

The world frame stands in the middle of the table top: z = 0 is the table's surface, metres. Without a table it stands
on the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.world import surfaces
from training.world.graphics_backend import mujoco
from training.world.mesh import Mesh, box, cylinder, join
from training.world.model_assets import add_drawn, add_material, add_mesh
from training.world.object_model import Finish
from training.world.surfaces import PictureFolder, Surface

Rng = np.random.Generator
TABLE_HEIGHT = 0.72  # metres above the floor
FLOOR_HALF = (0.7, 0.6)  # metres: as much of the floor as a large table gives objects
TABLE, FLOOR, WALL, BACKGROUND = "table", "floor", "wall", "background"
STUFF_NAMES = (TABLE, FLOOR, WALL, BACKGROUND)  # "background" is a wall covered by one photograph


@dataclass(frozen=True)
class Room:
    """What was built: `ground` is "table" or "floor", on which the objects lie; `table_word` is the table's material
    ("wooden") or None; half extents of the ground that objects may lie on, in metres.
    """

    ground: str
    table_word: str | None
    ground_half: tuple[float, float]
    round_table: bool
    wall_distance: float

    def on_ground(self, x: float, y: float) -> bool:
        """Whether a point lies over the table top, or over the part of the floor that objects may lie on."""
        if self.round_table:
            return bool(np.hypot(x, y) < self.ground_half[0])
        return abs(x) < self.ground_half[0] and abs(y) < self.ground_half[1]


def _grid(x: float, y: float, cells: int, metres_per_picture: float, turn: float) -> Mesh:
    """A horizontal rectangle of full extents x, y in small cells (the renderer lights vertices, not
    pixels).
    """
    u, v = np.meshgrid(np.linspace(-x / 2, x / 2, cells + 1), np.linspace(-y / 2, y / 2, cells + 1))
    vertices = np.stack([u, v, np.zeros_like(u)], -1).reshape(-1, 3)
    index = np.arange((cells + 1) ** 2, dtype=np.int32).reshape(cells + 1, cells + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    co, si = np.cos(turn), np.sin(turn)
    uv = vertices[:, :2] @ np.array([[co, si], [-si, co]]) / metres_per_picture
    return Mesh(vertices, np.tile([0.0, 0.0, 1.0], (len(vertices), 1)), uv, faces)


def _disc(radius: float, metres_per_picture: float) -> Mesh:
    rings, sectors = 10, 36
    angle = np.linspace(0, 2 * np.pi, sectors + 1)
    r = np.linspace(0, radius, rings + 1)
    vertices = np.stack(
        [np.outer(r, np.cos(angle)), np.outer(r, np.sin(angle)), np.zeros((rings + 1, sectors + 1))], -1
    ).reshape(-1, 3)
    index = np.arange(len(vertices), dtype=np.int32).reshape(rings + 1, sectors + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    area = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    faces = faces[np.linalg.norm(area, axis=1) > 1e-9]
    return Mesh(vertices, np.tile([0.0, 0.0, 1.0], (len(vertices), 1)), vertices[:, :2] / metres_per_picture, faces)


def _draw_surface(rng: Rng, folder: PictureFolder | None, own: tuple[Callable[[Rng], Surface], ...]) -> Surface:
    if folder is not None and rng.random() < 0.7:
        return folder.draw(rng)
    return own[int(rng.integers(len(own)))](rng)


def build_room(
    spec: mujoco.MjSpec,
    rng: Rng,
    textures: PictureFolder | None = None,
    photos: PictureFolder | None = None,
    ground: str = TABLE,
) -> Room:
    """Adds everything but the objects and the lights to `spec`; with the `ground` "floor" there is no table."""
    world = spec.worldbody

    def add(name: str, mesh: Mesh, finish: Finish) -> None:
        add_mesh(spec, name, mesh)
        add_material(spec, name, finish)
        add_drawn(world, name, name, name)

    if ground == TABLE:
        table_word, half, round_table = _add_table(add, rng, textures)
        floor_z = -TABLE_HEIGHT
    else:
        table_word, half, round_table = None, FLOOR_HALF, False
        floor_z = 0.0

    solid = world.add_geom()
    solid.name = "ground_solid"
    solid.type = mujoco.mjtGeom.mjGEOM_CYLINDER if round_table else mujoco.mjtGeom.mjGEOM_BOX
    solid.size = [half[0], 0.05, 0.0] if round_table else [half[0], half[1], 0.05]
    solid.pos = [0.0, 0.0, -0.05]
    solid.group = 3
    solid.condim = 6
    solid.friction = [0.9, 0.01, 0.003]

    wall_distance = float(rng.uniform(1.7, 2.8))
    cover = _draw_surface(rng, textures, (surfaces.wood, surfaces.tiles, surfaces.plain))
    floor_mesh = _grid(2 * wall_distance, 2 * wall_distance, 14, float(rng.uniform(0.6, 1.8)), 0.0)
    add("floor", floor_mesh.moved(z=floor_z), Finish(np.ones(3), cover.image, 0.1, 0.05))
    _add_walls(add, rng, textures, photos, wall_distance, floor_z)
    return Room(ground, table_word, half, round_table, wall_distance)


def _add_table(
    add: Callable[[str, Mesh, Finish], None], rng: Rng, textures: PictureFolder | None
) -> tuple[str | None, tuple[float, float], bool]:
    """A table of any material and size; the word for its material, its half extents, whether it is round."""
    top = _draw_surface(rng, textures, (surfaces.wood, surfaces.wood, surfaces.plain, surfaces.cloth))
    tint = np.clip(rng.uniform(0.72, 1.05) * rng.uniform(0.93, 1.07, 3), 0.0, 2.0)
    picture = surfaces.as_image(np.clip(top.image / 255.0 * tint, 0, 1))
    gloss = float(rng.uniform(0.0, 0.5))
    finish = Finish(np.ones(3), picture, gloss, gloss * 0.5)
    per_picture = float(rng.uniform(0.4, 1.3))
    thickness = float(rng.uniform(0.02, 0.05))
    round_table = bool(rng.random() < 0.25)
    edge_rgb = picture.mean(axis=(0, 1)) / 255.0 * 0.8
    if round_table:
        half = (float(rng.uniform(0.42, 0.7)),) * 2
        add("table_top", _disc(half[0], per_picture), finish)
        edge = cylinder(half[0], thickness, 36).moved(z=-thickness - 0.0005)
        legs = [cylinder(0.04, TABLE_HEIGHT, 16).moved(z=-TABLE_HEIGHT)]
    else:
        half = (float(rng.uniform(0.42, 0.85)), float(rng.uniform(0.36, 0.55)))
        add("table_top", _grid(2 * half[0], 2 * half[1], 18, per_picture, rng.uniform(0, 2 * np.pi)), finish)
        edge = box(2 * half[0], 2 * half[1], thickness).moved(z=-thickness / 2 - 0.0005)
        legs = [
            box(0.05, 0.05, TABLE_HEIGHT).moved(sx * (half[0] - 0.05), sy * (half[1] - 0.05), -TABLE_HEIGHT / 2 - 0.01)
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
    add("table_frame", join([edge, *legs]), Finish(edge_rgb, None, 0.2, 0.1))
    return top.word, half, round_table


def _add_walls(
    add: Callable[[str, Mesh, Finish], None],
    rng: Rng,
    textures: PictureFolder | None,
    photos: PictureFolder | None,
    distance: float,
    floor_z: float,
) -> None:
    """Four walls that stand on the floor at height `floor_z`, facing inwards; a photograph may cover each."""
    height = 2.6
    paper = _draw_surface(rng, textures, (surfaces.plain, surfaces.plain, surfaces.tiles))
    per_picture = float(rng.uniform(0.8, 2.4))
    for side in range(4):
        flat = _grid(2 * distance, height, 8, per_picture, 0.0)
        image = paper.image
        is_photo = photos is not None and rng.random() < 0.4
        if photos is not None and is_photo:
            image = photos.draw(rng).image
            # the lower part of a wall is behind the table, so the photo begins at table height
            span = 0.5 * (flat.vertices[:, :2] / [distance, height / 2] + 1.0)
            flat = Mesh(flat.vertices, flat.normals, np.stack([span[:, 0], 1.0 - span[:, 1]], -1), flat.faces)
        # stand it up (its y becomes z), push it out to +y, and turn it to its side
        wall = flat.rotated("x", np.pi / 2).moved(y=distance, z=height / 2 + floor_z)
        wall = wall.rotated("z", side * np.pi / 2)
        name = f"{BACKGROUND if is_photo else WALL}_{side}"
        add(name, wall, Finish(np.ones(3), np.ascontiguousarray(image), 0.0, 0.0))


def stuff_name(geom_name: str) -> str | None:
    """The stuff that a geom of the room belongs to, None for any other geom."""
    head = geom_name.split("_")[0]
    return head if head in STUFF_NAMES else None


def _temperature_tint(rng: Rng) -> np.ndarray:
    """(3,) from candle-warm to cloudy-sky-cool, green at 1 or just below."""
    t = rng.uniform(-1.0, 1.0)
    warm, cool = np.array([1.0, 0.84, 0.66]), np.array([0.84, 0.93, 1.0])
    return 1.0 + np.clip(t, 0, 1) * (warm - 1.0) + np.clip(-t, 0, 1) * (cool - 1.0)


def add_lights(spec: mujoco.MjSpec, rng: Rng) -> None:
    """One to three lamps and soft light from everywhere; one scene in six is dim."""
    level = rng.uniform(0.40, 0.62) if rng.random() < 0.16 else rng.uniform(0.8, 1.12)
    ambient = rng.uniform(0.26, 0.46)
    head = spec.visual.headlight
    head.ambient = level * ambient * _temperature_tint(rng)
    head.diffuse = np.full(3, level * rng.uniform(0.05, 0.22))
    head.specular = np.full(3, 0.05)
    count = int(rng.choice([1, 2, 2, 3]))
    shares = rng.dirichlet(np.full(count, 2.0)) if count > 1 else np.ones(1)
    budget = level * (1.08 - ambient)
    for index in range(count):
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(32, 85))
        away = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
        colour = budget * shares[index] * _temperature_tint(rng)
        light = spec.worldbody.add_light()
        light.name = f"light_{index}"
        light.pos = away * rng.uniform(1.2, 1.6)
        light.dir = -away + rng.normal(0, 0.03, 3)
        light.diffuse = colour
        light.specular = colour * rng.uniform(0.2, 0.8)
        light.ambient = np.zeros(3)
        light.castshadow = bool(index == int(np.argmax(shares)) or rng.random() < 0.3)
        if rng.random() < 0.6:
            light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
        else:
            light.type = mujoco.mjtLightType.mjLIGHT_SPOT
            light.cutoff = float(rng.uniform(45, 75))
            light.exponent = float(rng.uniform(0, 4))
            light.attenuation = [1.0, 0.0, 0.0]
