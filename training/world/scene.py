"""One random tabletop scene: objects chosen, dropped, settled by physics, ready to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.world import room as room_module
from training.world.graphics_backend import mujoco
from training.world.kinds import KINDS
from training.world.mesh import rotation
from training.world.model_assets import add_object, quaternion
from training.world.object_model import ObjectModel
from training.world.scans import Scan, load_scan
from training.world.surfaces import PictureFolder

Rng = np.random.Generator
SETTLE_SECONDS = 1.4
TIME_STEP = 0.004  # seconds
CLEARANCE = 0.004  # metres between things before they are let go
HIDDEN_DEPTH = -30.0  # metres: where things that fell off the table are put away
SIZE_FACTOR = 1.32  # a "big" one is this much larger than a "small" one of its kind


@dataclass(frozen=True)
class Sources:
    """Where things and surfaces come from. Procedural objects are always there."""

    scans: tuple[Scan, ...] = ()
    scan_share: float = 0.5  # probability that an object is a scan, when there are scans
    twin_share: float = 0.14  # probability that an object is another one of a procedural kind that is there already
    textures: PictureFolder | None = None
    photos: PictureFolder | None = None


@dataclass(frozen=True)
class Placed:
    """An object of the scene. `body` is its MuJoCo body id, `support` the index of the object that carries
    it (or None for the table), `inside` whether it lies in that object rather than on it.
    """

    model: ObjectModel
    body: int
    support: int | None
    inside: bool


class Scene:
    """A compiled, settled scene. `objects` are those that stayed on the table."""

    def __init__(
        self,
        seed: int,
        index: int,
        sources: Sources,
        *,
        height: int,
        width: int,
        things: tuple[int, int] = (3, 9),
        kinds: Sequence[str] | None = None,
        ground: str = room_module.TABLE,
    ) -> None:
        """Everything follows from (seed, index, sources, things, ground); height and width only size the frame buffer.

        `things` is the least and the largest number of objects. `kinds` puts exactly these procedural objects in,
        instead of a random choice. `ground` is what they lie on: "table", or "floor" in a room without a table.
        """
        self.seed, self.index = seed, index
        rng = np.random.default_rng([seed, index])
        models = choose_models(rng, sources, things) if kinds is None else [KINDS[name].build(rng) for name in kinds]
        spec = mujoco.MjSpec()
        _set_options(spec, height, width)
        self.room = room_module.build_room(spec, rng, sources.textures, sources.photos, ground)
        room_module.add_lights(spec, rng)
        camera = spec.worldbody.add_camera()
        camera.name = "view"
        for number, (model, (position, turn)) in enumerate(zip(models, place(models, rng), strict=True)):
            add_object(spec, model, f"object{number}", position, quaternion(turn))
        self.model: mujoco.MjModel = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._settle()
        self.objects = self._keep_what_stayed(models)
        self._geom_owner, self.stuff_names = self._owners()

    def _settle(self) -> None:
        for step in range(int(SETTLE_SECONDS / TIME_STEP)):
            mujoco.mj_step(self.model, self.data)
            if step > 100 and step % 10 == 0 and np.abs(self.data.qvel).max(initial=0.0) < 0.01:
                break
        mujoco.mj_forward(self.model, self.data)

    def settle_kinematics(self) -> None:
        """Brings all poses up to date after `data.qpos` was changed by hand."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _keep_what_stayed(self, models: Sequence[ObjectModel]) -> tuple[Placed, ...]:
        bodies = [self.model.body(f"object{number}").id for number in range(len(models))]
        stayed = []
        for number, body in enumerate(bodies):
            x, y, z = self.data.xpos[body]
            if z > -0.03 and self.room.on_ground(x, y):
                stayed.append(number)
            else:
                address = self.model.jnt_qposadr[self.model.body_jntadr[body]]
                self.data.qpos[address + 2] = HIDDEN_DEPTH - number
        carriers = self._carriers([bodies[n] for n in stayed], [models[n] for n in stayed])
        placed = []
        for place_in_list, number in enumerate(stayed):
            support = carriers[place_in_list]
            inside = support is not None and self._lies_in(
                bodies[number], bodies[stayed[support]], models[stayed[support]]
            )
            placed.append(Placed(models[number], bodies[number], support, inside))
        mujoco.mj_forward(self.model, self.data)
        return tuple(placed)

    def _carriers(self, bodies: Sequence[int], models: Sequence[ObjectModel]) -> list[int | None]:
        """For every body the position in `bodies` of the one that carries it: touching, lower, not sharing
        the table.
        """
        position = {body: i for i, body in enumerate(bodies)}
        on_table: set[int] = set()
        touching: dict[int, set[int]] = {i: set() for i in range(len(bodies))}
        for contact in self.data.contact:
            pair = [int(self.model.geom_bodyid[g]) for g in contact.geom]
            known = [position[b] for b in pair if b in position]
            if len(known) == 2:
                touching[known[0]].add(known[1])
                touching[known[1]].add(known[0])
            elif known and 0 in pair:
                on_table.add(known[0])
        result: list[int | None] = []
        for i, body in enumerate(bodies):
            lower = [] if i in on_table else [j for j in touching[i] if self._lies_on(body, bodies[j], models[j])]
            result.append(lower[0] if len(lower) == 1 else None)
        return result

    def _lies_on(self, body: int, carrier: int, model: ObjectModel) -> bool:
        """Whether a body that touches `carrier` is above it, or within it where it is a vessel."""
        higher = self.data.xipos[body][2] > self.data.xipos[carrier][2] + 0.003
        return bool(higher) or self._lies_in(body, carrier, model)

    def _lies_in(self, body: int, carrier: int, model: ObjectModel) -> bool:
        """Whether a body's middle is within `carrier`, a vessel that stands upright, and not far above its rim."""
        if model.holds != "in" or self.data.xmat[carrier][8] < 0.8:
            return False
        offset = self.data.xipos[body] - self.data.xpos[carrier]
        low, high = model.bounds()
        within = np.hypot(offset[0], offset[1]) < (high - low)[:2].min() / 2.0
        return bool(within and offset[2] < high[2] + 0.01)

    def _owners(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """(ngeom,) instance number of every geom, and the stuff names that come after the objects."""
        names: list[str] = []
        owner = np.zeros(self.model.ngeom, np.int32)
        numbers = {placed.body: i + 1 for i, placed in enumerate(self.objects)}
        for geom in range(self.model.ngeom):
            body = int(self.model.geom_bodyid[geom])
            stuff = room_module.stuff_name(self.model.geom(geom).name) if body == 0 else None
            if body in numbers:
                owner[geom] = numbers[body]
            elif stuff is not None:
                if stuff not in names:
                    names.append(stuff)
                owner[geom] = len(self.objects) + 1 + names.index(stuff)
        return owner, tuple(names)

    def instances(self, geoms: np.ndarray) -> np.ndarray:
        """Geom ids (H, W), -1 for none, to instance numbers (H, W) int32: 0 nothing, 1..K the objects in
        order, then the stuff in the order of `stuff_names`.
        """
        return np.where(geoms >= 0, self._geom_owner[np.maximum(geoms, 0)], 0).astype(np.int32)

    def vertices(self, number: int) -> np.ndarray:
        """(N, 3) world coordinates of all drawn vertices of object `number` (from 0)."""
        placed = self.objects[number]
        points = np.concatenate([part.mesh.vertices for part in placed.model.parts])
        turn = self.data.xmat[placed.body].reshape(3, 3)
        return points @ turn.T + self.data.xpos[placed.body]

    def middle_and_radius(self) -> tuple[np.ndarray, float]:
        """Middle (3,) of the objects and the radius in metres round it that holds their centres and some
        more.
        """
        if not self.objects:
            return np.zeros(3), 0.15
        centres = np.array([self.vertices(i).mean(axis=0) for i in range(len(self.objects))])
        middle = (centres.min(axis=0) + centres.max(axis=0)) / 2.0
        return middle, float(np.linalg.norm(centres - middle, axis=1).max() + 0.07)


def _set_options(spec: mujoco.MjSpec, height: int, width: int) -> None:
    spec.option.timestep = TIME_STEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = 30
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    spec.visual.quality.shadowsize = 1024
    spec.visual.quality.offsamples = 4
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 12.0  # metres, as the extent is 1
    spec.visual.map.shadowclip = 0.75  # metres round the table's middle that a directional lamp's shadows cover
    spec.stat.extent = 1.0
    spec.stat.center = [0.0, 0.0, 0.0]


def choose_models(rng: Rng, sources: Sources, things: tuple[int, int]) -> list[ObjectModel]:
    """As many objects as `things` allows; sometimes some of one kind, and then sometimes of clearly different size."""
    names = list(KINDS)
    count = int(rng.integers(things[0], things[1] + 1))
    models: list[ObjectModel] = []
    while len(models) < count:
        if models and rng.random() < sources.twin_share:
            twin = models[int(rng.integers(len(models)))]
            if twin.name in KINDS:
                again = KINDS[twin.name].build(rng)
                if rng.random() < 0.4:
                    again = again.scaled(SIZE_FACTOR if rng.random() < 0.5 else 1.0 / SIZE_FACTOR)
                models.append(again)
                continue
        if sources.scans and rng.random() < sources.scan_share:
            models.append(load_scan(sources.scans[int(rng.integers(len(sources.scans)))]))
        else:
            models.append(KINDS[names[int(rng.integers(len(names)))]].build(rng))
    return models


def _orientation(model: ObjectModel, rng: Rng) -> np.ndarray:
    """(3, 3): upright with any heading, else lying, upside down or anyhow."""
    heading = rotation("z", rng.uniform(0, 2 * np.pi))
    if rng.random() < model.upright:
        return heading
    tip = rng.choice([np.pi / 2, np.pi / 2, np.pi, rng.uniform(0, np.pi)])
    return heading @ rotation("x", float(tip)) @ rotation("z", rng.uniform(0, 2 * np.pi))


def place(models: Sequence[ObjectModel], rng: Rng) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses (position (3,), rotation (3, 3)) from which the objects are let go, none touching another.

    Large things first would look arranged, so the order is as drawn, except that vessels come before what
    may fall into them. Where a free spot is not found, or in a pile, a thing starts above what is already
    there.
    """
    pile = rng.random() < 0.22
    reach = rng.uniform(0.05, 0.10) if pile else rng.uniform(0.14, 0.30)
    order = sorted(range(len(models)), key=lambda i: models[i].holds is None)
    poses: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    taken: list[tuple[float, float, float, float, bool]] = []  # x, y, radius, top, holds
    for i in order:
        turn = _orientation(models[i], rng)
        points = np.concatenate([part.mesh.vertices for part in models[i].parts]) @ turn.T
        low, high = points.min(axis=0), points.max(axis=0)
        middle = (low + high) / 2.0
        radius = float(np.hypot(*(high - low)[:2]) / 2.0)
        holders = [t for t in taken if t[4] and t[2] > 0.85 * radius]
        if holders and rng.random() < 0.3:
            x, y = holders[int(rng.integers(len(holders)))][:2]
        else:
            for _ in range(1 if pile else 25):
                angle, far = rng.uniform(0, 2 * np.pi), reach * np.sqrt(rng.random())
                x, y = far * np.cos(angle), 0.85 * far * np.sin(angle)
                if all(np.hypot(x - t[0], y - t[1]) > 0.8 * (radius + t[2]) for t in taken):
                    break
        below = [t[3] for t in taken if np.hypot(x - t[0], y - t[1]) < radius + t[2]]
        floor = max(below, default=0.0) + CLEARANCE
        poses[i] = (np.array([x - middle[0], y - middle[1], floor - low[2]]), turn)
        taken.append((x, y, radius, floor + float(high[2] - low[2]), models[i].holds is not None))
    return [poses[i] for i in range(len(models))]
