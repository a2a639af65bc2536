"""A camera that moves round one settled scene, and one object that may slide: frames for demos, bags and
tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.world.camera import Camera, look_at
from training.world.renderer import Renderer
from training.world.scene import Scene
from training.world.view import View, take

SLIDE_REACH = 0.06  # metres that a moving object goes out and back
SLIDE_SECONDS = 4.0  # for once out and back


@dataclass(frozen=True)
class Motion:
    """How the camera moves: round the objects' middle, breathing in height and distance.

    Angles in radians, distance in metres, `seconds` for the whole arc.
    """

    start: float = 0.0
    arc: float = np.pi / 2.0
    elevation: float = 0.75
    elevation_swing: float = 0.12
    distance: float = 0.75
    distance_swing: float = 0.06
    fovy: float = 0.85
    seconds: float = 6.0

    def camera(self, middle: np.ndarray, time: float) -> Camera:
        """The camera at `time` seconds, looking at `middle` (3,)."""
        phase = time / self.seconds
        azimuth = self.start + self.arc * phase
        elevation = self.elevation + self.elevation_swing * np.sin(2.0 * np.pi * phase)
        distance = self.distance + self.distance_swing * np.sin(4.0 * np.pi * phase)
        level = np.cos(elevation)
        away = np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)])
        return look_at(middle + distance * away, middle, self.fovy)


@dataclass(frozen=True)
class Frame:
    """One picture of a sequence: `time` in seconds from its start, and what `View` tells.

    An object keeps its id in `view.instances` through the whole sequence. `names` holds the name of every
    visible id.
    """

    time: float
    view: View

    @property
    def names(self) -> dict[int, str]:
        """Plain English name by instance id."""
        return {segment.id: segment.name for segment in self.view.segments}


def film(
    scene: Scene,
    *,
    height: int,
    width: int,
    frames: int,
    rate: float,
    motion: Motion | None = None,
    moving_object: int | None = None,
) -> Iterator[Frame]:
    """Yields `frames` frames at `rate` per second.

    height and width must be at most what the scene was made for. `moving_object`, a position in
    `scene.objects`, slides out and back on the table, away from the others, without physics. The scene is
    left as it was found.
    """
    if moving_object is not None and not 0 <= moving_object < len(scene.objects):
        raise ValueError(f"moving_object is {moving_object}, but the scene has {len(scene.objects)} objects")
    motion = motion or Motion()
    middle, _ = scene.middle_and_radius()
    rest = scene.data.qpos.copy()
    try:
        with Renderer(scene.model, height, width) as renderer:
            for index in range(frames):
                time = index / rate
                if moving_object is not None:
                    scene.data.qpos[:] = rest
                    _slide(scene, moving_object, middle, time)
                rng = np.random.default_rng([scene.seed, scene.index, 1_000_000 + index])
                yield Frame(time, take(scene, renderer, motion.camera(middle, time), rng))
    finally:
        scene.data.qpos[:] = rest
        scene.settle_kinematics()


def _slide(scene: Scene, number: int, middle: np.ndarray, time: float) -> None:
    body = scene.objects[number].body
    address = int(scene.model.jnt_qposadr[scene.model.body_jntadr[body]])
    outward = scene.data.qpos[address : address + 2] - middle[:2]
    length = float(np.hypot(*outward))
    outward = outward / length if length > 1e-3 else np.array([1.0, 0.0])
    swing = 0.5 - 0.5 * np.cos(2.0 * np.pi * time / SLIDE_SECONDS)
    scene.data.qpos[address : address + 2] += SLIDE_REACH * swing * outward
    scene.settle_kinematics()
