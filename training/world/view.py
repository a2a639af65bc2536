"""One look at a scene: picture, exact masks, depth, and a description of everything that can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.world.camera import Camera
from training.world.graphics_backend import mujoco
from training.world.model_assets import quaternion
from training.world.photo_effects import develop
from training.world.renderer import Renderer
from training.world.scene import Scene

MIN_IMAGE_SHARE = 0.001  # of the picture: smaller objects are left out
MIN_VISIBLE_SHARE = 0.15  # of the object's outline: objects more hidden or more cut off are left out
SIZE_RATIO = 1.25  # one of a kind is "big" when another one in view is smaller by this factor


@dataclass(frozen=True)
class Segment:
    """A thing or stuff that can be seen.

    id is its value in the instance mask. For things: `nouns` all true names, colour, pattern and size the
    words that describe it or None, position (3,) metres its middle in the world, radius its horizontal half
    size, and `support` the id of the segment that carries it, `inside` telling "in" from "on". For stuff
    only name, phrase and area count.
    """

    id: int
    name: str
    is_thing: bool
    phrase: str
    area: int
    nouns: tuple[str, ...] = ()
    colour: str | None = None
    pattern: str | None = None
    size: str | None = None
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 0.0
    support: int | None = None
    inside: bool = False

    def attributes(self) -> dict[str, str]:
        """The describing words there are."""
        words = {"colour": self.colour, "pattern": self.pattern, "size": self.size}
        return {key: word for key, word in words.items() if word}


@dataclass(frozen=True)
class View:
    """rgb (H, W, 3) uint8, instances (H, W) int32 (0 = unlabelled), depth (H, W) float32 metres along the
    optical axis (0 = nothing), intrinsics (3, 3), pose (4, 4) camera to world, segments of what can be
    seen. `ground` is what the things lie on, "table" or "floor"; `table_word` the table's material or None.
    """

    rgb: np.ndarray
    instances: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    segments: tuple[Segment, ...]
    ground: str
    table_word: str | None


def take(scene: Scene, renderer: Renderer, camera: Camera, rng: np.random.Generator) -> View:
    """Looks at the scene in its present state. `rng` drives only the sensor effects."""
    model, data = scene.model, scene.data
    model.cam_pos[0] = camera.position
    model.cam_quat[0] = quaternion(camera.gl_rotation())
    model.cam_fovy[0] = np.degrees(camera.fovy)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    renderer.update(data)
    raw = renderer.colour()
    geoms, depth = renderer.geoms_and_depth()
    numbered = scene.instances(geoms)
    height, width = depth.shape
    segments = describe(scene, numbered, camera)
    kept = np.zeros(int(numbered.max()) + 1, np.int32)
    for segment in segments:
        kept[segment.id] = segment.id
    return View(
        rgb=develop(raw, depth, rng),
        instances=kept[numbered],
        depth=depth,
        intrinsics=camera.intrinsics(height, width),
        pose=camera.pose(),
        segments=segments,
        ground=scene.room.ground,
        table_word=scene.room.table_word,
    )


def describe(scene: Scene, numbered: np.ndarray, camera: Camera) -> tuple[Segment, ...]:
    """Segments of the things and stuff in an instance picture (H, W) that show enough of themselves."""
    height, width = numbered.shape
    areas = np.bincount(numbered.ravel(), minlength=len(scene.objects) + len(scene.stuff_names) + 1)
    least = MIN_IMAGE_SHARE * height * width
    seen: list[int] = []
    for number in range(len(scene.objects)):
        area = areas[number + 1]
        if area >= least:
            outline = camera.project(scene.vertices(number), height, width)
            outline = outline[outline[:, 2] > 0.02, :2].astype(np.float32)
            if len(outline) > 2 and area >= MIN_VISIBLE_SHARE * cv2.contourArea(cv2.convexHull(outline)):
                seen.append(number)
    segments = []
    for number in seen:
        placed = scene.objects[number]
        model = placed.model
        points = scene.vertices(number)
        low, high = points.min(axis=0), points.max(axis=0)
        others = [scene.objects[k].model for k in seen if k != number and scene.objects[k].model.name == model.name]
        size = None
        if others and model.length() >= SIZE_RATIO * max(other.length() for other in others):
            size = "big"
        elif others and model.length() * SIZE_RATIO <= min(other.length() for other in others):
            size = "small"
        middle = (low + high) / 2.0
        segments.append(
            Segment(
                id=number + 1,
                name=model.name,
                is_thing=True,
                phrase=" ".join(w for w in (size, model.colour, model.pattern, model.name) if w),
                area=int(areas[number + 1]),
                nouns=model.nouns,
                colour=model.colour,
                pattern=model.pattern,
                size=size,
                position=(float(middle[0]), float(middle[1]), float(middle[2])),
                radius=float(np.mean((high - low)[:2]) / 2.0),
                support=placed.support + 1 if placed.support in seen and placed.support is not None else None,
                inside=placed.inside,
            )
        )
    for offset, name in enumerate(scene.stuff_names):
        number = len(scene.objects) + 1 + offset
        if areas[number] >= least:
            word = scene.room.table_word if name == "table" else None
            phrase = f"{word} {name}" if word else name
            segments.append(Segment(number, name, False, phrase, int(areas[number]), nouns=(name,)))
    return tuple(segments)
