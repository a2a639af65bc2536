"""Positions and point clouds over real DDS equal, value for value, what the depth image and the masks say."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros.ros_peer import BEST_EFFORT, RELIABLE, NodeProcess, Peer, Recorder, ask, picture, wait_until
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.geometry.region_points import centroids, edge_width, without_edge
from openseg_ros.msg import QueryState, RegionArray
from openseg_ros.nodes.image_codec import encode_image
from openseg_ros.runtime.engine import create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.text_encoder import load_text_encoder
from openseg_ros.text.vocabulary import Query, build_vocabulary

SIZE = (120, 160)
FOCAL = 150.0
CAMERA = Pinhole(SIZE, FOCAL, FOCAL, 79.5, 59.5)
CLOUDS = ("points", "target_points", "scene_minus_target_points")
POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<u2"), ("instance", "<u2"), ("score", "<f4")]
)


class Rig:
    """A colour and depth camera, and recorders of what the node says."""

    def __init__(self, peer: Peer, regions: Recorder) -> None:
        self.peer = peer
        self.regions = regions
        self.clouds = {name: peer.record(PointCloud2, f"/openseg/{name}", BEST_EFFORT) for name in CLOUDS}
        self.image = peer.publisher(Image, "/image", RELIABLE)
        self.depth = peer.publisher(Image, "/depth_registered/image_rect", RELIABLE)
        self.info = peer.publisher(CameraInfo, "/camera_info", RELIABLE)

    def calibrate(self, focal: float = FOCAL) -> None:
        """Send intrinsics and give them time to arrive."""
        k = [focal, 0.0, CAMERA.cx, 0.0, focal, CAMERA.cy, 0.0, 0.0, 1.0 if focal else 0.0]
        self.info.publish(CameraInfo(height=SIZE[0], width=SIZE[1], k=k))
        time.sleep(0.2)

    def show(self, rgb: np.ndarray, depth: Image | None, *, depth_late_s: float = 0.0) -> tuple[RegionArray, dict]:
        """The regions and clouds for one image, whose depth comes before or after it."""
        message = self.peer.image(rgb)
        if depth is not None:
            depth.header = message.header
            if not depth_late_s:
                self.depth.publish(depth)
                time.sleep(0.1)
        self.image.publish(message)
        if depth is not None and depth_late_s:
            time.sleep(depth_late_s)
            self.depth.publish(depth)
        recorders = [self.regions, *self.clouds.values()]
        wait_until(lambda: all(recorder.with_stamp(message.header) for recorder in recorders), "regions and clouds")
        clouds = {name: recorder.with_stamp(message.header)[0] for name, recorder in self.clouds.items()}
        assert all(cloud.header == message.header for cloud in clouds.values())
        return self.regions.with_stamp(message.header)[0], clouds


def read(cloud: PointCloud2) -> np.ndarray:
    """(height, width) of `POINT`, by the fields that the message names."""
    assert [(field.name, field.offset) for field in cloud.fields] == [
        (name, POINT.fields[name][1]) for name in POINT.names
    ]
    assert cloud.point_step == POINT.itemsize and cloud.row_step == POINT.itemsize * cloud.width
    return np.frombuffer(cloud.data, POINT).reshape(cloud.height, cloud.width)


def depth_picture() -> np.ndarray:
    """(H, W) float32 metres: a slope with holes of every kind."""
    depth = np.tile(np.linspace(0.5, 1.5, SIZE[1], dtype=np.float32), (SIZE[0], 1))
    depth[:10] = 0.0
    depth[10:14] = np.nan
    depth[14:18] = np.inf
    return depth


def metres(depth: np.ndarray) -> Image:
    message = encode_image(depth.view(np.uint8), "32FC1", Header())
    message.width //= 4
    return message


@pytest.fixture(scope="module")
def rig(node: NodeProcess, peer: Peer, regions: Recorder, states: Recorder) -> Rig:
    made = Rig(peer, regions)
    ask(peer, states, "red mug; bowl; green book")
    return made


@pytest.fixture(scope="module")
def expected(rig: Rig, states: Recorder, model_folder: Path) -> Segmentation:
    """What the library says of the picture."""
    state: QueryState = states.messages[-1]
    weights = load_weights(model_folder)
    segmenter = Segmenter(
        engine=create_engine(weights, "torch"),
        calibration=weights.description.calibration,
        settings=SegmenterSettings(),
    )
    queries = [Query(query.text, background=query.background) for query in state.active]
    segmentation = segmenter.segment(
        segmenter.propose(picture()), build_vocabulary(queries, load_text_encoder("minilm"), state.version)
    )
    assert segmentation.target_region is not None and len(segmentation.regions) > 1
    return segmentation


def middles(message: RegionArray) -> np.ndarray:
    return np.array([(r.centroid.x, r.centroid.y, r.centroid.z) for r in message.regions])


def test_without_depth_positions_are_nan_and_clouds_are_empty(rig: Rig) -> None:
    regions, clouds = rig.show(picture(), None)
    assert regions.regions and np.isnan(middles(regions)).all()
    assert [len(cloud.data) for cloud in clouds.values()] == [0, 0, 0]


@pytest.mark.parametrize("late", [0.0, 0.005])
def test_positions_and_clouds_equal_depth_and_masks(rig: Rig, expected: Segmentation, late: float) -> None:
    rig.calibrate()
    points = CAMERA.points(depth_picture())
    regions, clouds = rig.show(picture(), metres(depth_picture()), depth_late_s=late)
    wanted = centroids(points, expected.regions.roi, expected.region_masks())
    np.testing.assert_allclose(middles(regions), wanted, rtol=1e-5)
    assert np.isfinite(wanted).any()

    cloud = read(clouds["points"])
    assert cloud.shape == SIZE
    for axis, name in enumerate("xyz"):
        np.testing.assert_array_equal(cloud[name], points[..., axis])
    np.testing.assert_array_equal(cloud["instance"], expected.instances)
    np.testing.assert_array_equal(cloud["label"], expected.mask)
    red, green, blue = np.moveaxis(picture().astype(np.uint32), -1, 0)
    np.testing.assert_array_equal(cloud["rgb"], red << 16 | green << 8 | blue)
    scores = np.append(np.float32(0), expected.regions.score)
    np.testing.assert_allclose(cloud["score"], scores[expected.instances], rtol=1e-5)

    measured = np.isfinite(points[..., 2])
    target = expected.target_mask > 0
    inner = without_edge(expected.target_mask, edge_width(SIZE[1]))
    np.testing.assert_array_equal(read(clouds["target_points"])[0], cloud[inner & measured])
    assert clouds["target_points"].is_dense and not clouds["points"].is_dense
    rest = read(clouds["scene_minus_target_points"])[0]
    assert set(map(tuple, rest[["x", "y", "z"]])).isdisjoint(map(tuple, cloud[target & measured][["x", "y", "z"]]))
    edge = 2 * edge_width(SIZE[1]) + 1
    least, most = np.count_nonzero(measured & ~target) - edge * 4 * sum(SIZE), np.count_nonzero(measured & ~target)
    assert max(least, 1) <= len(rest) <= most


def test_millimetres_give_the_same_positions(rig: Rig) -> None:
    rig.calibrate()
    depth = np.full(SIZE, 1.25, np.float32)
    in_metres, _ = rig.show(picture(), metres(depth))
    in_millimetres, _ = rig.show(picture(), encode_image(np.full(SIZE, 1250, np.uint16), "16UC1", Header()))
    np.testing.assert_allclose(middles(in_millimetres), middles(in_metres), rtol=1e-6)
    np.testing.assert_allclose(middles(in_metres)[:, 2], 1.25, rtol=1e-6)


@pytest.mark.parametrize(
    ("focal", "depth", "cause"),
    [
        (0.0, metres(np.ones(SIZE, np.float32)), "uncalibrated_camera"),
        (FOCAL, metres(np.ones((60, 80), np.float32)), "depth_other_size"),
        (FOCAL, encode_image(np.ones(SIZE, np.uint8), "mono8", Header()), "depth_unsupported_encoding"),
    ],
)
def test_unusable_depth_is_counted_and_the_masks_still_come(
    rig: Rig, diagnostics: Recorder, focal: float, depth: Any, cause: str
) -> None:
    rig.calibrate(focal)
    regions, clouds = rig.show(picture(), depth)
    assert regions.status == RegionArray.OK and np.isnan(middles(regions)).all()
    assert not clouds["points"].data
    assert rig.peer.fresh_status(diagnostics)[f"bad_input.{cause}"] == "1"
