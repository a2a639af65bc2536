"""How exact positions and boxes are: rendered objects, whose shape, pose and depth the simulator knows.

python -m benchmark.position_accuracy --first-seed 1001 --scenes 15

Two truths are told apart. A camera does not see the far side of a thing, so no box around measured points can have the
size of the whole object; it is compared with the box of the surface that is seen, and with the whole object for those
who want to know what that costs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmark.options import OutOption
from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.oriented_box import oriented_boxes
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.geometry.rigid_transform import RigidTransform
from training.world.scene import Scene, Sources
from training.world.sequence import film

SIZE = (480, 640)
NEAR = 0.005  # metres that a centroid may be off
SIDE_SHARE = 0.10  # of a side of a box that it may be off
LEAST_SIDE_ERROR = 0.005  # metres that a side may be off in any case, in the second way of counting
NOISE, HOLES = 0.002, 0.1  # of sensed depth: standard deviation in metres, share of pixels


@dataclass(frozen=True)
class Errors:
    """Of K objects, metres."""

    name: tuple[str, ...]
    centroid: np.ndarray  # (K,) distance from the mean of the visible points
    size: np.ndarray  # (K, 3) found minus visible: long side, short side, height
    visible: np.ndarray  # (K, 3) sides of the least upright box around the visible points
    whole: np.ndarray  # (K, 3) around the whole object

    def figures(self) -> dict[str, float]:
        """Shares of objects in [0, 1], and millimetres."""
        off_whole = np.abs(self.size + self.visible - self.whole)
        return {
            "objects": len(self.name),
            "centroid within 5 mm": float(np.mean(self.centroid <= NEAR)),
            "largest centroid error, mm": float(self.centroid.max() * 1e3),
            "box within 10 % of the visible": float(self.within(0.0).mean()),
            "box within 10 % or 5 mm of the visible": float(self.within(LEAST_SIDE_ERROR).mean()),
            "box within 10 % or 5 mm of the whole": float(
                (off_whole <= np.maximum(SIDE_SHARE * self.whole, LEAST_SIDE_ERROR)).all(1).mean()
            ),
            "median error of a side, mm": float(np.median(np.abs(self.size)) * 1e3),
        }

    def within(self, least: float) -> np.ndarray:
        """(K,) bool: all three sides are within 10 % of the visible ones, or within `least` metres."""
        limit: np.ndarray = np.maximum(SIDE_SHARE * self.visible, least)
        return (np.abs(self.size) <= limit).all(1)


def sensed(depth: np.ndarray, seed: int) -> np.ndarray:
    """Exact depth (H, W) with what sensors add: noise, holes, and at outlines values between object and background."""
    random = np.random.default_rng(seed)
    mixed: np.ndarray = cv2.blur(depth, (3, 3))
    mixed[random.random(mixed.shape) < HOLES] = 0.0
    return mixed + random.normal(0.0, NOISE, mixed.shape).astype(np.float32) * (mixed > 0)


def least_box(points: np.ndarray) -> np.ndarray:
    """(3,) long side, short side, height of (N, 3) world points: of all yaws in steps of 0.25 degrees the least."""
    angles = np.radians(np.arange(0.0, 90.0, 0.25))
    corners = cv2.convexHull(points[:, :2].astype(np.float32))[:, 0].astype(np.float64)
    along = np.ptp(corners @ [np.cos(angles), np.sin(angles)], axis=0)
    across = np.ptp(corners @ [-np.sin(angles), np.cos(angles)], axis=0)
    least = (along * across).argmin()
    sides = along[least], across[least]
    return np.array([max(sides), min(sides), np.ptp(points[:, 2])])


def errors(seeds: Iterable[int]) -> dict[str, Errors]:
    """The errors with exact and with sensed depth, for the objects in one view of each scene."""
    rows: dict[str, list[tuple[str, float, np.ndarray, np.ndarray, np.ndarray]]] = {"exact": [], "sensed": []}
    for seed in seeds:
        scene = Scene(seed, 0, Sources(), height=SIZE[0], width=SIZE[1])
        view = next(iter(film(scene, height=SIZE[0], width=SIZE[1], frames=1, rate=1.0))).view
        k = view.intrinsics
        camera = Pinhole(SIZE, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
        to_world = RigidTransform(view.pose[:3, :3], view.pose[:3, 3])
        world = to_world.apply(ImagePoints(camera, view.depth).xyz.astype(np.float64))
        things = [segment for segment in view.segments if segment.is_thing]
        pixels = [(view.instances == thing.id).astype(np.uint8) for thing in things]
        boxes = np.array([cv2.boundingRect(own) for own in pixels])
        masks = [own[y : y + height, x : x + width] for own, (x, y, width, height) in zip(pixels, boxes, strict=True)]
        visible = [world[own > 0] for own in pixels]
        for kind, depth in (("exact", view.depth), ("sensed", sensed(view.depth, seed))):
            surfaces = RegionSurfaces(ImagePoints(camera, depth), boxes, masks)
            size = oriented_boxes(surfaces, up=to_world.rotation[2]).size
            off = to_world.apply(surfaces.centroids) - [own.mean(0) for own in visible]
            for row, thing in enumerate(things):
                seen, whole = least_box(visible[row]), least_box(scene.vertices(thing.id - 1))
                name = f"{thing.phrase} of scene {seed}"
                rows[kind].append((name, float(np.linalg.norm(off[row])), size[row] - seen, seen, whole))
    return {
        kind: Errors(names, np.array(middles), np.array(sizes), np.array(visible), np.array(whole))
        for kind, (names, middles, sizes, visible, whole) in ((k, zip(*r, strict=True)) for k, r in rows.items())
    }


def main(
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first scene.")] = 1001,
    scenes: Annotated[int, typer.Option(min=1, help="Scenes, each with three to nine objects.")] = 15,
    out: OutOption = None,
) -> None:
    """Measure the errors of positions and boxes."""
    figures = {kind: found.figures() for kind, found in errors(range(first_seed, first_seed + scenes)).items()}
    table = Table(f"{scenes} scenes", *(f"{kind} depth" for kind in figures))
    for name in figures["exact"]:
        table.add_row(name, *(f"{own[name]:.3g}" for own in figures.values()))
    Console().print(table)
    if out:
        facts = {"first_seed": first_seed, "scenes": scenes, "noise_m": NOISE, "holes": HOLES}
        out.write_text(json.dumps({**facts, "figures": figures}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
