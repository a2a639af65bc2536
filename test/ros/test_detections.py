"""The topics of vision_msgs over real DDS equal what ~/regions, ~/mask and the depth image say."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros import vision_msgs_package
from ros.depth_rig import CAMERA, DepthRig, depth_picture, metres
from ros.ros_peer import (
    BEST_EFFORT,
    LATCHED,
    RELIABLE,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    ask,
    picture,
    wait_until,
)
from sensor_msgs.msg import Image, PointCloud2

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.oriented_box import OrientedBoxes, oriented_boxes
from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.geometry.rigid_transform import RigidTransform
from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import RegionArray

pytestmark = pytest.mark.timeout(900)  # the first test compiles vision_msgs
SWITCHES = 12  # of queries
POINTS = ImagePoints(CAMERA, depth_picture())

# A camera on a mast of base_link: it looks ahead and down. tf2 is not on the package index, so this module answers in
# its place; what is tested is all that the node does with the answer.
TO_BASE = RigidTransform.from_quaternion((-0.653281, 0.653281, -0.270598, 0.270598), np.array([0.1, -0.2, 1.2]))
TF2_ROS = """
from geometry_msgs.msg import TransformStamped
class TransformException(Exception):
    pass
class Buffer:
    newest = 0
    def clear(self):
        self.newest = 0
    def lookup_transform(self, target, source, time, timeout):
        if time.nanoseconds < self.newest - 10 * 10**9:
            raise TransformException("tf2 keeps ten seconds")
        self.newest = max(self.newest, time.nanoseconds)
        if not (target == "base_link" and source == "camera_color_optical_frame" and time.nanoseconds % 10**9):
            raise TransformException(f"{source} is not connected")
        found = TransformStamped()
        turn, shift = found.transform.rotation, found.transform.translation
        turn.x, turn.y, turn.z, turn.w = -0.653281, 0.653281, -0.270598, 0.270598
        shift.x, shift.y, shift.z = 0.1, -0.2, 1.2
        return found
class TransformListener:
    def __init__(self, buffer, node):
        pass
    def unregister(self):
        pass
"""


@pytest.fixture(scope="module", params=["", "base_link"])
def target_frame(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def start_node(domain: int, target_frame: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeStarter]:
    """Starts the node where vision_msgs and tf2_ros can be imported; ends it before one with another frame starts."""
    prefix = vision_msgs_package.build()
    vision_msgs_package.load(prefix)
    folder = tmp_path_factory.mktemp("tf2")
    (folder / "tf2_ros.py").write_text(TF2_ROS)
    environment = vision_msgs_package.environment(prefix)
    environment["PYTHONPATH"] += f"{os.pathsep}{folder}"
    starter = NodeStarter(domain, tmp_path_factory.mktemp("log"), environment)
    yield starter
    starter.stop()


@pytest.fixture(scope="module")
def options(model_folder: Path, target_frame: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("parameters") / "node.yaml"
    file.write_text(
        f"/**:\n  ros__parameters:\n    target_frame: '{target_frame}'\n    publish_region_masks: true\n"
        "    publish_embeddings: 'off'\n"
    )
    return ["--weights", str(model_folder), "--backend", "torch", "--params-file", str(file)]


@pytest.fixture(scope="module")
def labels(node: NodeProcess, peer: Peer) -> Recorder:
    from vision_msgs.msg import LabelInfo

    return peer.record(LabelInfo, "/openseg/label_info", LATCHED)


@pytest.fixture(scope="module")
def rig(node: NodeProcess, peer: Peer, regions: Recorder, states: Recorder, labels: Recorder) -> DepthRig:
    from vision_msgs.msg import Detection2DArray, Detection3DArray

    reliable = {"detections": Detection2DArray, "detections_3d": Detection3DArray, "mask": Image}
    recorders = {name: peer.record(kind, f"/openseg/{name}", RELIABLE) for name, kind in reliable.items()}
    recorders |= {"points": peer.record(PointCloud2, "/openseg/points", BEST_EFFORT), "regions": regions}
    made = DepthRig(peer, recorders)
    ask(peer, states, "red mug; bowl; green book")
    made.calibrate()
    return made


@pytest.fixture(scope="module")
def answers(rig: DepthRig) -> tuple[Any, dict[str, Any]]:
    """The header of one image, and what the node says of it."""
    return rig.show(picture(), metres(depth_picture()))


def expected_boxes(regions: RegionArray, up: np.ndarray | None) -> OrientedBoxes:
    """The boxes of the library, in the camera's frame, from the masks in the message."""
    rois = [(r.roi.x_offset, r.roi.y_offset, r.roi.width, r.roi.height) for r in regions.regions]
    masks = [decode_ids(r.mask) for r in regions.regions]
    return oriented_boxes(RegionSurfaces(POINTS, np.array(rois), masks), up)


def test_label_info_is_latched_and_names_the_values_of_the_mask(
    answers: tuple[Any, dict[str, Any]], labels: Recorder
) -> None:
    _, messages = answers
    names = {entry.class_id: entry.class_name for entry in labels.messages[-1].class_map}
    assert names == {0: "other", 1: "red mug", 2: "bowl", 3: "green book", 255: "unlabelled"}
    assert labels.messages[-1].threshold == pytest.approx(0.5)
    assert set(np.unique(decode_ids(messages["mask"])).tolist()) <= set(names)
    first = labels.messages[0]  # latched before there was a query
    assert [entry.class_name for entry in first.class_map] == ["other", "unlabelled"]
    assert len(labels.messages) == 2  # one for each vocabulary, none for the states between


def test_label_info_is_on_the_wire_before_the_first_mask_that_needs_it(
    rig: DepthRig, states: Recorder, regions: Recorder, target_frame: str
) -> None:
    """By the times at which the node handed its messages over, while queries change under running images."""
    if target_frame:
        pytest.skip("names of labels do not depend on the frame")
    from vision_msgs.msg import LabelInfo

    described: list[tuple[int, LabelInfo]] = []  # nanoseconds, message
    masks: list[tuple[int, Image]] = []
    subscriptions = [
        rig.peer.node.create_subscription(
            kind,
            f"/openseg/{name}",
            # rclpy looks at the callback's signature and adds the times to a second argument
            lambda message, info, seen=seen: seen.append((info["source_timestamp"], message)),
            qos,
        )
        for kind, name, seen, qos in ((LabelInfo, "label_info", described, LATCHED), (Image, "mask", masks, RELIABLE))
    ]
    wait_until(lambda: described, "the latched names")
    stop = threading.Event()

    def run_camera() -> None:
        while not stop.wait(0.01):
            rig.image.publish(rig.peer.image(picture()))

    camera = threading.Thread(target=run_camera)
    camera.start()
    asked = [ask(rig.peer, states, f"red mug; bowl; thing number {number}") for number in range(SWITCHES)]
    last = asked[-1].version
    wait_until(lambda: regions.messages[-1].vocabulary_version == last, "an answer to the last query")
    stop.set()
    camera.join()

    version_of = {array.header.stamp.sec: array.vocabulary_version for array in regions.messages}
    names = {
        state.version: ("other", *(query.text for query in state.active if not query.background), "unlabelled")
        for state in states.messages
    }
    seen = set()
    for time, mask in masks:
        version = version_of.get(mask.header.stamp.sec)
        if version is not None:
            newest = [message for described_at, message in described if described_at < time][-1]
            meant = tuple(entry.class_name for entry in newest.class_map)
            assert meant == names[version], f"a mask of version {version} meets names of another one"
            seen.add(version)
    assert len(seen & {state.version for state in asked}) >= SWITCHES // 2, "masks of too few vocabularies"

    late = rig.peer.record(LabelInfo, "/openseg/label_info", LATCHED)  # who comes late gets the present names, once
    wait_until(lambda: late.messages, "the latched names")
    assert late.messages == [described[-1][1]]
    count = len(described)
    assert not rig.peer.set_parameter("score_threshold", 0.4)
    rig.show(picture(), None)
    wait_until(lambda: len(described) > count, "the new threshold")
    assert described[-1][1].threshold == pytest.approx(0.4) and len(described) == count + 1
    assert described[-1][1].class_map == described[-2][1].class_map
    assert not rig.peer.set_parameter("score_threshold", 0.5)
    for subscription in subscriptions:
        rig.peer.node.destroy_subscription(subscription)


def test_detections_equal_regions(answers: tuple[Any, dict[str, Any]]) -> None:
    header, messages = answers
    regions, found = messages["regions"], messages["detections"]
    assert found.header == header
    assert len(found.detections) == len(regions.regions) > 1
    for detection, region in zip(found.detections, regions.regions, strict=True):
        (result,) = detection.results
        assert (result.hypothesis.class_id, detection.header) == (region.phrase, header)
        assert detection.id == region.track_id != ""
        assert result.hypothesis.score == pytest.approx(region.score)
        box = detection.bbox
        assert (box.size_x, box.size_y, box.center.theta) == (region.roi.width, region.roi.height, 0.0)
        left = box.center.position.x - box.size_x / 2, box.center.position.y - box.size_y / 2
        assert left == (region.roi.x_offset, region.roi.y_offset)


def test_boxes_in_space_and_clouds_are_in_the_target_frame(
    answers: tuple[Any, dict[str, Any]], target_frame: str
) -> None:
    header, messages = answers
    regions, found, cloud = messages["regions"], messages["detections_3d"], messages["points"]
    frame_id = target_frame or header.frame_id
    boxes = expected_boxes(regions, TO_BASE.rotation[2] if target_frame else None)
    middles = np.array([(r.centroid.x, r.centroid.y, r.centroid.z) for r in regions.regions])
    xyz = POINTS.xyz
    if target_frame:
        boxes, middles, xyz = boxes.moved(TO_BASE), TO_BASE.apply(middles), TO_BASE.apply(xyz)
    measured = np.flatnonzero(np.isfinite(boxes.size[:, 0]))
    assert regions.header == header  # an image's regions stay in the image's frame
    assert found.header.stamp == cloud.header.stamp == header.stamp
    assert found.header.frame_id == cloud.header.frame_id == frame_id
    assert len(found.detections) == len(measured) > 1
    for row, detection in zip(measured, found.detections, strict=True):
        (result,), box = detection.results, detection.bbox
        assert (result.hypothesis.class_id, detection.id) == (
            regions.regions[row].phrase,
            regions.regions[row].track_id,
        )
        np.testing.assert_allclose([box.size.x, box.size.y, box.size.z], boxes.size[row], atol=1e-6)
        centre, position, turn = box.center.position, result.pose.pose.position, box.center.orientation
        np.testing.assert_allclose([centre.x, centre.y, centre.z], boxes.centre[row], atol=1e-6)
        np.testing.assert_allclose([position.x, position.y, position.z], middles[row], atol=1e-6)
        rotation = RigidTransform.from_quaternion((turn.x, turn.y, turn.z, turn.w), np.zeros(3)).rotation
        np.testing.assert_allclose(rotation, boxes.rotation[row], atol=1e-6)
        if target_frame:
            np.testing.assert_allclose(rotation[:, 2], (0, 0, 1), atol=1e-5)  # it stands upright
    sent = np.frombuffer(cloud.data, "<f4").reshape(cloud.height, cloud.width, -1)[..., :3]
    np.testing.assert_allclose(sent, xyz, atol=1e-5)


def test_without_the_cameras_pose_boxes_and_clouds_are_empty(
    rig: DepthRig, target_frame: str, diagnostics: Recorder
) -> None:
    if not target_frame:
        pytest.skip("the camera's own frame needs no pose")
    header, messages = rig.show(picture(), metres(depth_picture()), frame_id="loose_camera")
    assert messages["detections_3d"].header == messages["points"].header == header
    assert not messages["detections_3d"].detections and not messages["points"].data
    assert any(np.isfinite(region.centroid.z) for region in messages["regions"].regions)
    assert rig.peer.fresh_status(diagnostics)["bad_input.no_transform"] == "1"


def test_poses_are_known_again_after_a_bag_has_looped(rig: DepthRig, target_frame: str) -> None:
    if not target_frame:
        pytest.skip("the camera's own frame needs no pose")
    for stamp_s in (100, 101, 99):  # the first one is far behind those of the tests before, the last one a little late
        _, messages = rig.show(picture(), metres(depth_picture()), stamp_s=stamp_s)
        assert messages["detections_3d"].detections and messages["points"].header.frame_id == "base_link"
