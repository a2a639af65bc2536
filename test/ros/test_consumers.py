"""What those who read our topics rely on: each test does what one of them does with the messages.

The contracts are those of kiwicampus/semantic_segmentation_layer (Nav2), the selector of NVIDIA's FoundationPose node,
Contact-GraspNet and MoveIt Pro's Mask2D. Before them come the types, qualities of service and parameters that anybody
looks up.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rcl_interfaces.srv import DescribeParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from ros.depth_rig import SIZE, intrinsics, metres
from ros.ros_peer import BEST_EFFORT, NodeProcess, Peer, Recorder, picture, wait_until
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import RegionArray
from openseg_ros.nodes import qos
from openseg_ros.nodes.optional_packages import HAS_VISION_MSGS
from openseg_ros.nodes.parameters import SPECIFICATIONS, Change

PHRASES = ("red mug", "bowl", "green book")
SENSOR_DATA = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


class RgbdCamera:
    """A registered colour and depth camera whose three topics share every stamp."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._image = peer.publisher(Image, "/image", BEST_EFFORT)
        self._depth = peer.publisher(Image, "/depth_registered/image_rect", BEST_EFFORT)
        self._info = peer.publisher(CameraInfo, "/camera_info", BEST_EFFORT)

    def show(self, seed: int = 0) -> Header:
        """Publish one picture with its depth; the header that all three have."""
        header = self._peer.stamp()
        info = intrinsics(SIZE)
        info.header = header
        self._info.publish(info)
        self._depth.publish(metres(depth_picture(), header))
        self._image.publish(self._peer.image(picture(seed), header))
        return header


class ExactTime:
    """message_filters' ExactTime policy: one queue of stamps, a set is complete when all its topics have come.

    Stamps are compared as integers. Of incomplete sets, the oldest goes when there are more than `queue_size`.
    """

    def __init__(self, topics: tuple[str, ...], queue_size: int) -> None:
        self.complete: list[dict[str, Any]] = []
        self._topics = topics
        self._queue_size = queue_size
        self._waiting: OrderedDict[tuple[int, int], dict[str, Any]] = OrderedDict()

    def callback(self, topic: str) -> Callable[[Any], None]:
        """The callback for the subscription of `topic`."""

        def add(message: Any) -> None:
            stamp = (message.header.stamp.sec, message.header.stamp.nanosec)
            found = self._waiting.setdefault(stamp, {})
            found[topic] = message
            if len(found) == len(self._topics):
                self.complete.append(self._waiting.pop(stamp))
            elif len(self._waiting) > self._queue_size:
                self._waiting.popitem(last=False)

        return add


def depth_picture() -> np.ndarray:
    """(H, W) float32 metres: a slope."""
    return np.tile(np.linspace(0.5, 1.5, SIZE[1], dtype=np.float32), (SIZE[0], 1))


@pytest.fixture(scope="module")
def options(options: list[str]) -> list[str]:
    return [*options, "--queries", "; ".join(PHRASES)]


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> RgbdCamera:
    return RgbdCamera(peer)


SUBSCRIPTIONS = {
    "/image": ("sensor_msgs/msg/Image", ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE),
    "/camera_info": ("sensor_msgs/msg/CameraInfo", ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE),
    "/depth_registered/image_rect": (
        *("sensor_msgs/msg/Image", ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE),
    ),
    "/openseg/query": ("std_msgs/msg/String", ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
    "/openseg/query_array": ("openseg_ros/msg/QueryArray", ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
}
OUTPUTS = {
    "mask": ("sensor_msgs/msg/Image", ReliabilityPolicy.RELIABLE),
    "mask/compressed": ("sensor_msgs/msg/CompressedImage", ReliabilityPolicy.RELIABLE),
    "confidence": ("sensor_msgs/msg/Image", ReliabilityPolicy.RELIABLE),
    "instances": ("sensor_msgs/msg/Image", ReliabilityPolicy.RELIABLE),
    "target_mask": ("sensor_msgs/msg/Image", ReliabilityPolicy.RELIABLE),
    "regions": ("openseg_ros/msg/RegionArray", ReliabilityPolicy.RELIABLE),
    "detections": ("vision_msgs/msg/Detection2DArray", ReliabilityPolicy.RELIABLE),
    "detections_3d": ("vision_msgs/msg/Detection3DArray", ReliabilityPolicy.RELIABLE),
    "points": ("sensor_msgs/msg/PointCloud2", ReliabilityPolicy.BEST_EFFORT),
    "target_points": ("sensor_msgs/msg/PointCloud2", ReliabilityPolicy.BEST_EFFORT),
    "scene_minus_target_points": ("sensor_msgs/msg/PointCloud2", ReliabilityPolicy.BEST_EFFORT),
    "overlay": ("sensor_msgs/msg/Image", ReliabilityPolicy.BEST_EFFORT),
    "overlay/compressed": ("sensor_msgs/msg/CompressedImage", ReliabilityPolicy.BEST_EFFORT),
}
LATCHED_OUTPUTS = {"query_state": "openseg_ros/msg/QueryState", "label_info": "vision_msgs/msg/LabelInfo"}
PUBLICATIONS = {
    **{f"/openseg/{name}": (*facts, DurabilityPolicy.VOLATILE) for name, facts in OUTPUTS.items()},
    **{
        f"/openseg/{name}": (kind, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
        for name, kind in LATCHED_OUTPUTS.items()
    },
    "/diagnostics": ("diagnostic_msgs/msg/DiagnosticArray", ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
}
DEPTHS = {
    **{qos.camera_qos: 1, qos.query_qos: 5, qos.result_qos: 2, qos.detections_qos: 5},
    **{qos.points_qos: 1, qos.overlay_qos: 1, qos.state_qos: 1},
}


@pytest.mark.parametrize("topic", [*SUBSCRIPTIONS, *PUBLICATIONS])
def test_topics_have_the_type_and_quality_of_service_of_the_contract(node: NodeProcess, peer: Peer, topic: str) -> None:
    kind, reliability, durability = (SUBSCRIPTIONS | PUBLICATIONS)[topic]
    if kind.startswith("vision_msgs") and not HAS_VISION_MSGS:
        pytest.skip("vision_msgs is not installed")
    look = (
        peer.node.get_subscriptions_info_by_topic if topic in SUBSCRIPTIONS else peer.node.get_publishers_info_by_topic
    )
    (found,) = wait_until(lambda: [each for each in look(topic) if each.node_name == "openseg"], topic)
    assert found.topic_type == kind
    assert (found.qos_profile.reliability, found.qos_profile.durability) == (reliability, durability)


@pytest.mark.parametrize(("profile", "depth"), DEPTHS.items(), ids=[profile.__name__ for profile in DEPTHS])
def test_queues_have_the_length_of_the_contract(profile: Callable[[], QoSProfile], depth: int) -> None:
    """The network does not tell it."""
    assert (profile().history, profile().depth) == (HistoryPolicy.KEEP_LAST, depth)


def test_parameters_describe_themselves(node: NodeProcess, peer: Peer) -> None:
    request = DescribeParameters.Request(names=[row.name for row in SPECIFICATIONS])
    answer = peer.call(DescribeParameters, "/openseg/describe_parameters", request)
    for row, told in zip(SPECIFICATIONS, answer.descriptors, strict=True):
        assert (told.name, told.description) == (row.name, row.description) and len(row.description) > 20
        assert told.type == Parameter.Type.from_parameter_value(row.default).value, row.name
        assert told.read_only == (row.change is Change.NEVER), row.name
        ranges = [(each.from_value, each.to_value) for each in (*told.floating_point_range, *told.integer_range)]
        assert ranges == ([] if row.limits is None else [row.limits]), row.name
        assert all(choice in told.additional_constraints for choice in (*row.choices, row.change.value)), row.name
    read_only = {told.name for told in answer.descriptors if told.read_only}
    assert read_only == {"diagnostics_period_s"}


def show_until(camera: RgbdCamera, recorders: list[Recorder], seed: int = 0) -> list[Any]:
    """Show a picture until all `recorders` have the answer to one and the same image; best effort may lose some."""
    headers: list[Header] = []

    def complete() -> list[Any]:
        headers.append(camera.show(seed))
        time.sleep(0.2)
        for header in headers:
            sets = [recorder.with_stamp(header) for recorder in recorders]
            if all(sets):
                assert [len(messages) for messages in sets] == [1] * len(sets), "one message per image"
                assert all(messages[0].header == header for messages in sets), "the image's header, bit for bit"
                return [messages[0] for messages in sets]
        return []

    return wait_until(complete, "all outputs of one image")


def test_nav2_layer_gets_mask_confidence_and_cloud_of_one_size(peer: Peer, camera: RgbdCamera) -> None:
    """It reads best effort, counts pixels of mask and cloud, and walks them with one index."""
    mask, confidence, cloud = show_until(
        camera,
        [
            peer.record(Image, "/openseg/mask", SENSOR_DATA),
            peer.record(Image, "/openseg/confidence", SENSOR_DATA),
            peer.record(PointCloud2, "/openseg/points", SENSOR_DATA),
        ],
    )
    assert mask.encoding == confidence.encoding == "mono8"
    for message in (mask, confidence):
        assert message.height * message.width == len(message.data) == cloud.height * cloud.width
        assert message.step == message.width, "pixel i is data[i]"
    labels = np.frombuffer(mask.data, np.uint8)
    certain = np.frombuffer(confidence.data, np.uint8)
    assert set(np.unique(labels)) <= {*range(len(PHRASES) + 1), 255}
    named = (labels > 0) & (labels < 255)
    assert named.any() and (certain[named] > 0).all(), "what has a name has a probability"
    assert not certain[labels == 255].any(), "what no region covers has none"
    label_of_point = np.frombuffer(cloud.data, np.uint8).reshape(-1, cloud.point_step)
    offset = next(field.offset for field in cloud.fields if field.name == "label")
    np.testing.assert_array_equal(label_of_point[:, offset : offset + 2].copy().view(np.uint16)[:, 0], labels)


def test_foundation_pose_completes_its_exact_sets(peer: Peer, camera: RgbdCamera) -> None:
    """ExactTime over image, depth, intrinsics and mask, in queues of 20, while the camera runs at 30 Hz."""
    topics = {
        "/image": Image,
        "/depth_registered/image_rect": Image,
        "/camera_info": CameraInfo,
        "/openseg/target_mask": Image,
    }
    sets = ExactTime(tuple(topics), queue_size=20)
    for topic, message_type in topics.items():
        peer.node.create_subscription(message_type, topic, sets.callback(topic), SENSOR_DATA)
    time.sleep(0.5)
    end = time.monotonic() + 15.0
    while len(sets.complete) < 10 and time.monotonic() < end:
        camera.show()
        time.sleep(1 / 30)
    assert len(sets.complete) >= 10, "masks come too late or with other stamps"
    for one in sets.complete:
        image, depth, info, mask = (one[topic] for topic in topics)
        assert image.header == depth.header == info.header == mask.header
        assert (mask.height, mask.width, mask.encoding) == (image.height, image.width, "mono8")
        assert (depth.height, depth.width, depth.encoding) == (image.height, image.width, "32FC1")
        assert set(np.unique(decode_ids(mask))) == {0, 255}, "one object, and it is there"


def test_grasp_network_reads_depth_under_each_segment(peer: Peer, camera: RgbdCamera) -> None:
    """Contact-GraspNet cuts the depth image with an integer segment map of the same size."""
    segments, regions = show_until(
        camera, [peer.record(Image, "/openseg/instances"), peer.record(RegionArray, "/openseg/regions")]
    )
    segmap = decode_ids(segments)
    assert segments.encoding == "16UC1" and segmap.dtype == np.uint16 and segmap.shape == SIZE
    assert set(np.unique(segmap)) - {0} <= {region.id for region in regions.regions}
    depth = depth_picture()
    compared = 0
    for region in regions.regions:
        beneath = depth[segmap == region.id]
        if beneath.size == region.area and np.isfinite(region.centroid.z):  # no better region hides a part of it
            assert beneath.min() <= region.centroid.z <= beneath.max()
            compared += 1
    assert compared, "without a region that is seen whole this shows nothing"


def test_moveit_masks_lie_at_their_offset_best_first(peer: Peer, camera: RgbdCamera) -> None:
    """A Mask2D is a cropped image, its (x, y), and hypotheses with the best first."""
    assert peer.set_parameter("publish_region_masks", True) == ""
    segments, labels, regions = show_until(
        camera,
        [
            peer.record(Image, "/openseg/instances"),
            peer.record(Image, "/openseg/mask"),
            peer.record(RegionArray, "/openseg/regions"),
        ],
    )
    assert peer.set_parameter("publish_region_masks", False) == ""
    segmap = decode_ids(segments)
    assert len(regions.regions) > 1
    painted = np.zeros(SIZE, np.uint16)
    for region in reversed(regions.regions):  # the best one last, over the others
        assert region.mask.header == regions.header and region.mask.encoding == "mono8"
        crop = decode_ids(region.mask)
        assert crop.shape == (region.roi.height, region.roi.width) and set(np.unique(crop)) <= {0, 255}
        assert np.count_nonzero(crop) == region.area > 0
        assert crop[0].any() and crop[-1].any() and crop[:, 0].any() and crop[:, -1].any(), "the box is tight"
        y, x = region.roi.y_offset, region.roi.x_offset
        part = painted[y : y + region.roi.height, x : x + region.roi.width]
        assert part.shape == crop.shape, "the crop lies in the image"
        part[crop > 0] = region.id
    np.testing.assert_array_equal(painted, segmap)
    assert sum(region.area for region in regions.regions) > np.count_nonzero(painted), "some regions must overlap"
    assert [region.score for region in regions.regions] == sorted((r.score for r in regions.regions), reverse=True)
    assert [region.id for region in regions.regions] == list(range(1, len(regions.regions) + 1))
    assert set(np.unique(decode_ids(labels))) - {0, 255} <= {region.label for region in regions.regions}
