"""Positions and point clouds over real DDS equal, value for value, what the depth image and the masks say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter
from ros.depth_rig import CAMERA, FOCAL, SIZE, DepthRig, depth_picture, metres
from ros.ros_peer import BEST_EFFORT, NodeProcess, Peer, Recorder, ask, picture
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.outline import edge_width, without_edge
from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.msg import QueryState, RegionArray
from openseg_ros.nodes.image_codec import encode_image
from openseg_ros.nodes.optional_packages import HAS_VISION_MSGS
from openseg_ros.nodes.parameter_table import ParameterTable
from openseg_ros.runtime.engine import create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.text_encoder import load_text_encoder
from openseg_ros.text.vocabulary import Query, build_vocabulary

CLOUDS = ("points", "target_points", "scene_minus_target_points")
POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("label", "<u2"), ("instance", "<u2"), ("score", "<f4")]
)


def read(cloud: PointCloud2) -> np.ndarray:
    """(height, width) of `POINT`, by the fields that the message names."""
    assert [(field.name, field.offset) for field in cloud.fields] == [
        (name, POINT.fields[name][1]) for name in POINT.names
    ]
    assert cloud.point_step == POINT.itemsize and cloud.row_step == POINT.itemsize * cloud.width
    return np.frombuffer(cloud.data, POINT).reshape(cloud.height, cloud.width)


@pytest.fixture(scope="module")
def rig(node: NodeProcess, peer: Peer, regions: Recorder, states: Recorder) -> DepthRig:
    clouds = {name: peer.record(PointCloud2, f"/openseg/{name}", BEST_EFFORT) for name in CLOUDS}
    made = DepthRig(peer, clouds | {"regions": regions})
    ask(peer, states, "red mug; bowl; green book")
    return made


@pytest.fixture(scope="module")
def expected(rig: DepthRig, states: Recorder, model_folder: Path) -> Segmentation:
    """What the library says of the picture."""
    state: QueryState = states.messages[-1]
    weights = load_weights(model_folder)
    segmenter = Segmenter(
        engine=create_engine(weights, "torch"),
        calibration=weights.calibration,
        settings=SegmenterSettings(),
    )
    queries = [Query(query.text, background=query.background) for query in state.active]
    segmentation = segmenter.segment(
        segmenter.propose(picture()), build_vocabulary(queries, load_text_encoder("minilm"), state.version)
    )
    assert segmentation.target_region is not None and len(segmentation.regions) > 1
    return segmentation


def show(
    rig: DepthRig, depth: Image | None, *, depth_late_s: float = 0.0
) -> tuple[RegionArray, dict[str, PointCloud2]]:
    """The regions and the clouds for the picture."""
    header, messages = rig.show(picture(), depth, depth_late_s=depth_late_s)
    clouds = {name: messages[name] for name in CLOUDS}
    assert all(cloud.header == header for cloud in clouds.values())
    return messages["regions"], clouds


def middles(message: RegionArray) -> np.ndarray:
    return np.array([(r.centroid.x, r.centroid.y, r.centroid.z) for r in message.regions])


def test_without_depth_positions_are_nan_and_clouds_are_empty(rig: DepthRig) -> None:
    regions, clouds = show(rig, None)
    assert regions.regions and np.isnan(middles(regions)).all()
    assert [len(cloud.data) for cloud in clouds.values()] == [0, 0, 0]


@pytest.mark.parametrize("late", [0.0, 0.005])
def test_positions_and_clouds_equal_depth_and_masks(rig: DepthRig, expected: Segmentation, late: float) -> None:
    rig.calibrate()
    image_points = ImagePoints(CAMERA, depth_picture())
    points = image_points.xyz
    regions, clouds = show(rig, metres(depth_picture()), depth_late_s=late)
    wanted = RegionSurfaces(image_points, expected.regions.roi, expected.region_masks()).centroids
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


def test_millimetres_give_the_same_positions(rig: DepthRig) -> None:
    rig.calibrate()
    depth = np.full(SIZE, 1.25, np.float32)
    in_metres, _ = show(rig, metres(depth))
    in_millimetres, _ = show(rig, encode_image(np.full(SIZE, 1250, np.uint16), "16UC1", Header()))
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
    rig: DepthRig, diagnostics: Recorder, focal: float, depth: Any, cause: str
) -> None:
    rig.calibrate(focal)
    regions, clouds = show(rig, depth)
    assert regions.status == RegionArray.OK and np.isnan(middles(regions)).all()
    assert not clouds["points"].data
    assert rig.peer.fresh_status(diagnostics)[f"bad_input.{cause}"] == "1"


@pytest.mark.skipif(HAS_VISION_MSGS, reason="vision_msgs is installed")
def test_without_vision_msgs_the_node_says_so_once(node: NodeProcess) -> None:
    assert node.output().count("vision_msgs is not installed: no ~/label_info, ~/detections and ~/detections_3d") == 1


@pytest.mark.skipif(importlib.util.find_spec("tf2_ros") is not None, reason="tf2_ros is installed")
def test_without_tf2_a_target_frame_is_refused(peer: Peer) -> None:
    reason = "target_frame 'base_link' needs tf2_ros, which is not installed: install it, or leave it ''"
    wanted = Parameter("target_frame", value="base_link")
    node = rclpy.create_node("parameters", context=peer.context)
    ParameterTable(node, is_configured=lambda: False)
    (result,) = node.set_parameters([wanted])
    assert (result.successful, result.reason) == (False, reason)
    assert node.get_parameter("target_frame").value == ""
    node.destroy_node()

    started = rclpy.create_node("parameters", context=peer.context, parameter_overrides=[wanted])
    with pytest.raises(ValueError, match=re.escape(reason)):
        ParameterTable(started, is_configured=lambda: False).read()
    started.destroy_node()
