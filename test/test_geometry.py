"""Points of depth images, outlines, and the surfaces and middles of regions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.outline import edge_width, without_edge
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.geometry.region_surface import RegionSurfaces


def wall(size: tuple[int, int] = (480, 640)) -> ImagePoints:
    """A wall 2 m before a camera."""
    return ImagePoints(Pinhole(size, fx=500.0, fy=510.0, cx=319.5, cy=239.5), np.full(size, 2.0, np.float32))


def test_points_of_a_wall() -> None:
    points = wall().xyz
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[0, 0], [-319.5 / 500 * 2, -239.5 / 510 * 2, 2], rtol=1e-6)
    np.testing.assert_allclose(points[479, 639], [319.5 / 500 * 2, 239.5 / 510 * 2, 2], rtol=1e-6)


def test_what_was_not_measured_is_nan_in_all_coordinates() -> None:
    points = wall((4, 5))
    points.depth[0, :4] = 0.0, np.nan, np.inf, -1.0
    is_nan = np.isnan(points.xyz)
    assert is_nan[0, :4].all() and not is_nan[0, 4:].any() and not is_nan[1:].any()
    np.testing.assert_array_equal(points.z[0], [0, 0, 0, 0, 2])


def test_some_pixels_have_the_points_that_they_have_among_all() -> None:
    points = wall((40, 50))
    points.depth[:] = np.random.default_rng(0).uniform(0.5, 2.0, (40, 50))
    points.depth[8, 4:9] = 0.0, np.nan, np.inf, -1.0, 1.0
    rows, columns = np.arange(0, 40, 8), np.arange(4, 50, 3)
    np.testing.assert_array_equal(points.at(rows, columns), points.xyz[np.ix_(rows, columns)])


def test_noise_is_that_of_the_sensor_not_of_the_scene() -> None:
    """Slopes, steps between things and holes are no noise."""
    random = np.random.default_rng(0)
    depth = np.tile(np.linspace(0.5, 1.5, 640, dtype=np.float32), (480, 1))
    depth[:, 320:] += 0.4
    depth[random.random(depth.shape) < 0.2] = 0.0
    camera = wall().camera
    assert ImagePoints(camera, depth).noise < 1e-6
    noisy = depth + random.normal(0.0, 0.003, depth.shape).astype(np.float32) * (depth > 0)
    np.testing.assert_allclose(ImagePoints(camera, noisy).noise, 0.003, rtol=0.05)
    assert ImagePoints(camera, np.zeros_like(depth)).noise == 0.0


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


def test_centroids_leave_out_holes_and_know_regions_without_points() -> None:
    points = wall((40, 60))
    points.depth[:, 25:] = 0.0
    boxes = np.array([[10, 5, 20, 12], [40, 20, 10, 10], [0, 30, 12, 10]])
    masks = [np.full((height, width), 255, np.uint8) for _, _, width, height in boxes.tolist()]
    middles = RegionSurfaces(points, boxes, masks).centroids
    # Of the first region 15 columns are measured. At its outline four more are filled from beside them.
    measured = [points.xyz[5:17, 10:25].reshape(-1, 3), wall((40, 60)).xyz[[5, 16], 25:29].reshape(-1, 3)]
    np.testing.assert_allclose(middles[0], np.concatenate(measured).mean(0), rtol=2e-5)
    assert np.isnan(middles[1]).all()
    np.testing.assert_allclose(middles[2], points.xyz[30:40, 0:12].reshape(-1, 3).mean(0), rtol=1e-5)
    assert RegionSurfaces(points, np.zeros((0, 4)), []).centroids.shape == (0, 3)


def test_what_is_mixed_along_an_outline_moves_neither_middle_nor_extent() -> None:
    """A plate before a wall; its outermost pixels lie half a metre behind it, in the air."""
    points = wall()
    points.depth[100:200, 300:400] = 1.0
    truth = points.xyz[100:200, 300:400].copy()
    mixed = points.depth.copy()
    mixed[100:200, 300:400][[0, -1]] = mixed[100:200, 300:400][:, [0, -1]] = 1.5
    surface = RegionSurfaces(
        ImagePoints(points.camera, mixed), np.array([[300, 100, 100, 100]]), [np.ones((100, 100), np.uint8)]
    )
    np.testing.assert_allclose(surface.centroids[0], truth.reshape(-1, 3).mean(0), atol=1e-4)  # 0.05 pixels
    np.testing.assert_allclose(np.nanmin(surface.xyz[0], 0), truth.min((0, 1)), atol=1e-6)
    np.testing.assert_allclose(np.nanmax(surface.xyz[0], 0), truth.max((0, 1)), atol=1e-6)


def test_a_large_region_is_thinned_and_keeps_its_extent_and_middle() -> None:
    points = wall()
    mask = cv2.circle(np.zeros((401, 401), np.uint8), (200, 200), 200, 255, -1)
    surface = RegionSurfaces(points, np.array([[100, 40, 401, 401]]), [mask])
    truth = points.xyz[40:441, 100:501][mask > 0].astype(np.float64)
    assert len(surface.xyz[0]) < 2500 < len(truth)
    np.testing.assert_allclose(surface.centroids[0], truth.mean(0), atol=1e-3)  # the disc is 1.6 m wide
    np.testing.assert_allclose(np.ptp(surface.xyz[0], axis=0), np.ptp(truth, axis=0), atol=2 * 2.0 / 500)


@pytest.mark.parametrize("corner", [(0, 0), (560, 400)])
def test_a_region_at_the_pictures_border(corner: tuple[int, int]) -> None:
    points, (x, y) = wall(), corner
    surface = RegionSurfaces(points, np.array([[x, y, 80, 80]]), [np.ones((80, 80), np.uint8)])
    truth = points.xyz[y : y + 80, x : x + 80].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(surface.centroids[0], truth.mean(0), atol=1e-5)
    np.testing.assert_allclose(np.ptp(surface.xyz[0], axis=0), np.ptp(truth, axis=0), atol=1e-5)
