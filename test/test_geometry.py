"""Points and middles of regions against the simulator's own depth and masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.geometry.region_points import centroids, edge_width, without_edge
from training.world.scene import Scene, Sources
from training.world.sequence import film

pytestmark = pytest.mark.rendering


def plane(size: tuple[int, int] = (480, 640)) -> tuple[Pinhole, np.ndarray]:
    """A camera and the depth of a wall 2 m before it."""
    return Pinhole(size, fx=500.0, fy=510.0, cx=319.5, cy=239.5), np.full(size, 2.0, np.float32)


def test_points_of_a_wall() -> None:
    camera, depth = plane()
    points = camera.points(depth)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[0, 0], [-319.5 / 500 * 2, -239.5 / 510 * 2, 2], rtol=1e-6)
    np.testing.assert_allclose(points[479, 639], [319.5 / 500 * 2, 239.5 / 510 * 2, 2], rtol=1e-6)


def test_what_was_not_measured_is_nan_in_all_coordinates() -> None:
    camera, depth = plane((4, 5))
    depth[0, :4] = 0.0, np.nan, np.inf, -1.0
    is_nan = np.isnan(camera.points(depth))
    assert is_nan[0, :4].all() and not is_nan[0, 4:].any() and not is_nan[1:].any()


def test_edges_are_cut_off_and_thin_masks_stay_whole() -> None:
    mask = np.zeros((60, 640), np.uint8)
    mask[10:40, 100:140] = 255
    mask[:20, 600:] = 255  # cut off by the picture's border, which is no outline
    wanted = np.zeros_like(mask, bool)
    wanted[12:38, 102:138] = True
    wanted[:18, 602:] = True
    assert edge_width(640) == 2
    np.testing.assert_array_equal(without_edge(mask, 2), wanted)
    thin = np.zeros_like(mask)
    thin[50, 300:360] = 255
    np.testing.assert_array_equal(without_edge(thin, 2), thin > 0)


def test_centroids_leave_out_holes_and_edges_and_know_regions_without_points() -> None:
    camera, depth = plane((40, 60))
    depth[:, 25:] = 0.0
    points = camera.points(depth)
    boxes = np.array([[10, 5, 20, 12], [40, 20, 10, 10], [0, 30, 12, 10]])
    masks = [np.full((height, width), 255, np.uint8) for _, _, width, height in boxes.tolist()]
    middles = centroids(points, boxes, masks)
    np.testing.assert_allclose(middles[0], points[6:16, 11:25].reshape(-1, 3).mean(0), rtol=1e-5)
    assert np.isnan(middles[1]).all()
    np.testing.assert_allclose(middles[2], points[31:40, 0:11].reshape(-1, 3).mean(0), rtol=1e-5)


@pytest.mark.parametrize("seed", [5, 6])
def test_centroids_of_rendered_objects_despite_holes_and_mixed_edges(seed: int) -> None:
    """Within 5 mm of the simulator's truth. The depth here has what sensors add to it: holes, and at outlines
    values between object and background.
    """
    scene = Scene(seed, 0, Sources(), height=480, width=640)
    view = next(iter(film(scene, height=480, width=640, frames=1, rate=1.0))).view
    k = view.intrinsics
    camera = Pinhole((480, 640), k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    truth = camera.points(view.depth)
    random = np.random.default_rng(seed)
    sensed = cv2.blur(view.depth, (3, 3))
    sensed[random.random(sensed.shape) < 0.1] = 0.0
    sensed += random.normal(0.0, 0.002, sensed.shape).astype(np.float32) * (sensed > 0)
    things = [segment for segment in view.segments if segment.is_thing]
    boxes = np.array([cv2.boundingRect((view.instances == thing.id).astype(np.uint8)) for thing in things])
    masks = [
        (view.instances[y : y + height, x : x + width] == thing.id).astype(np.uint8)
        for thing, (x, y, width, height) in zip(things, boxes.tolist(), strict=True)
    ]
    found = centroids(camera.points(sensed), boxes, masks)
    assert len(things) >= 3
    for middle, thing in zip(found, things, strict=True):
        wanted = truth[view.instances == thing.id].mean(0)
        assert np.linalg.norm(middle - wanted) < 0.005, thing.phrase
