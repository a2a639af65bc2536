"""Faults that other segmentation nodes have: what they do with a looping bag, a restarted camera, another peer.

Which test catches which fault:

| fault                                               | test                                                        |
|-----------------------------------------------------|-------------------------------------------------------------|
| ids are summed where masks overlap                  | test_consumers: moveit_masks_lie_at_their_offset_best_first |
| JPEG on a label image                               | test_results: png_mask_is_lossless_and_overlay_is_limited   |
| bilinear resize of a label image                    | labels_keep_their_values_at_any_size                        |
| stamp of the newest instead of the processed image  | an_answer_has_the_stamp_of_its_own_image                    |
| a first image in which nothing is found raises      | first_image_without_anything_found                          |
| images dropped for ever after a bag loops           | a_looping_bag_is_answered_with_its_own_depth                |
| images dropped for ever after the clock jumps back  | test_clock_and_transport: clock_jumps_back                  |
| query changed under a frame in flight               | test_query_switch: no_answer_mixes_two_vocabularies         |
| reliable subscription to a best-effort camera       | cameras_of_every_quality_of_service_are_heard               |
| size of a rotated box by |R size|                   | test_oriented_box: an_upright_box_seen_from_above           |
| engine file reused for other weights or code        | test_engine_cache: other_weights_and_other_code_have_...    |
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from ros.depth_rig import intrinsics, metres
from ros.ros_peer import (
    BEST_EFFORT,
    LATCHED,
    RELIABLE,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    ask,
    parameter_file,
    picture,
    wait_until,
    wait_until_active,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import QueryState, RegionArray

PHRASES = ("red mug", "bowl", "green book")


@pytest.fixture(scope="module")
def options(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Nothing is good enough to be found, at first; the rate is limited, where a jump of time did harm to others."""
    parameters = parameter_file(tmp_path_factory.mktemp("parameters"), score_threshold=1.0, max_rate_hz=50.0)
    return [*options, "--queries", "; ".join(PHRASES), "--params-file", parameters, "--use-sim-time"]


class Rig:
    """A colour and depth camera that can be switched off and on again as another one."""

    def __init__(self, peer: Peer, regions: Recorder) -> None:
        self.peer = peer
        self.regions = regions
        self._publishers: list[Any] = []

    def switch_on(self, qos: QoSProfile = RELIABLE) -> None:
        """Advertise all three topics."""
        topics = {"/image": Image, "/depth_registered/image_rect": Image, "/camera_info": CameraInfo}
        self._publishers = [self.peer.publisher(kind, topic, qos) for topic, kind in topics.items()]

    def switch_off(self) -> None:
        """Leave the graph."""
        for publisher in self._publishers:
            self.peer.node.destroy_publisher(publisher)

    def calibrate(self, size: tuple[int, int]) -> None:
        """Send intrinsics for images of `size`, and give them time to arrive."""
        self._publishers[2].publish(intrinsics(size))
        time.sleep(0.2)

    def show(self, size: tuple[int, int], distance: float, header: Header | None = None) -> RegionArray:
        """The new answer to an image of a plane at this distance, metres."""
        image = self.peer.image(picture(0, size), header)
        answered = len(self.regions.with_stamp(image.header))
        self._publishers[1].publish(metres(np.full(size, distance, np.float32), image.header))
        time.sleep(0.1)
        self._publishers[0].publish(image)
        answers = wait_until(lambda: self.regions.with_stamp(image.header)[answered:], f"an answer to {image.header}")
        answer: RegionArray = answers[0]
        assert (answer.height, answer.width) == size and answer.status == RegionArray.OK
        return answer


def distances(answer: RegionArray) -> np.ndarray:
    return np.array([region.centroid.z for region in answer.regions])


@pytest.fixture
def rig(peer: Peer, regions: Recorder) -> Iterator[Rig]:
    made = Rig(peer, regions)
    yield made
    made.switch_off()


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> Any:
    return peer.publisher(Image, "/image", RELIABLE)


def test_first_image_without_anything_found(
    peer: Peer, node: NodeProcess, camera: Any, regions: Recorder, diagnostics: Recorder
) -> None:
    outputs = {name: peer.record(Image, f"/openseg/{name}") for name in ("mask", "instances", "target_mask")}
    image = peer.image(picture())
    camera.publish(image)
    answer: RegionArray = wait_until(lambda: regions.with_stamp(image.header), "an answer to the first image")[0]
    wait_until(lambda: all(recorder.messages for recorder in outputs.values()), "all outputs")
    assert answer.status == RegionArray.NOT_FOUND and not answer.regions and answer.query == PHRASES[0]
    assert not decode_ids(outputs["instances"].messages[0]).any()
    assert not decode_ids(outputs["target_mask"].messages[0]).any()
    assert peer.fresh_status(diagnostics)["errors"] == "0", node.output()
    assert peer.set_parameter("score_threshold", 0.5) == ""


@pytest.mark.parametrize("size", [(120, 160), (97, 211), (481, 643)])
def test_labels_keep_their_values_at_any_size(
    peer: Peer, camera: Any, regions: Recorder, size: tuple[int, int]
) -> None:
    """Values between two ids, such as 128 between 0 and 255, would come from interpolating them."""
    masks = peer.record(Image, "/openseg/mask")
    segments = peer.record(Image, "/openseg/instances")
    image = peer.image(picture(0, size))
    camera.publish(image)
    recorders = (masks, segments, regions)
    wait_until(lambda: all(recorder.with_stamp(image.header) for recorder in recorders), "all outputs")
    mask, segmap, answer = (recorder.with_stamp(image.header)[0] for recorder in recorders)
    labels = set(np.unique(decode_ids(mask)).tolist())
    assert labels <= {*range(len(PHRASES) + 1), 255} and len(labels) > 1
    assert set(np.unique(decode_ids(segmap)).tolist()) <= {0} | {region.id for region in answer.regions}
    assert len(answer.regions) > 1


def test_an_answer_has_the_stamp_of_its_own_image(peer: Peer, camera: Any, regions: Recorder) -> None:
    """Every image has its own size, and the next ones come while it is in work."""
    masks = peer.record(Image, "/openseg/mask")
    sizes: dict[int, tuple[int, int]] = {}
    begun = len(regions.messages)
    while len(regions.messages) < begun + 10 or len(sizes) < 20:
        assert len(sizes) < 3000, "the node must answer"
        number = len(sizes) % 200
        size = (100 + number, 400 - number)
        image = peer.image(picture(number, size))
        sizes[image.header.stamp.sec] = size
        camera.publish(image)
        time.sleep(0.005)
    wait_until(lambda: regions.with_stamp(image.header), "an answer to the last image")
    wait_until(lambda: masks.with_stamp(image.header), "its mask")
    for recorder in (regions, masks):
        answers = [message for message in recorder.messages if message.header.stamp.sec in sizes]
        assert 10 <= len(answers) < len(sizes), "the camera must be faster than the node"
        for answer in answers:
            assert (answer.height, answer.width) == sizes[answer.header.stamp.sec]


def test_a_looping_bag_is_answered_with_its_own_depth(peer: Peer, rig: Rig, diagnostics: Recorder) -> None:
    """Time jumps back with each loop; depth of the loop before has the same stamps and must not be taken."""
    clock = peer.publisher(Clock, "/clock")
    rig.switch_on()
    rig.calibrate((120, 160))
    for distance in (1.0, 2.0, 3.0):
        for seconds in range(500, 504):
            header = Header(frame_id="camera")
            header.stamp.sec = seconds
            clock.publish(Clock(clock=header.stamp))
            answer = rig.show((120, 160), distance, header)
            seen = distances(answer)
            np.testing.assert_allclose(seen[np.isfinite(seen)], distance, rtol=1e-6)
            assert np.isfinite(seen).any()
    assert peer.fresh_status(diagnostics)["errors"] == "0"
    peer.node.destroy_publisher(clock)


def test_a_camera_that_restarts_with_another_size_gets_its_positions_again(
    peer: Peer, rig: Rig, diagnostics: Recorder
) -> None:
    rig.switch_on()
    rig.calibrate((120, 160))
    assert np.isfinite(distances(rig.show((120, 160), 1.0))).any()
    rig.switch_off()
    rig.switch_on(BEST_EFFORT)
    key = "bad_input.camera_info_other_size"
    before = int(peer.fresh_status(diagnostics).get(key, 0))
    assert np.isnan(distances(rig.show((240, 320), 1.5))).all(), "the intrinsics of the old size are of no use"
    assert int(peer.fresh_status(diagnostics)[key]) == before + 1
    rig.calibrate((240, 320))
    seen = distances(rig.show((240, 320), 1.5))
    np.testing.assert_allclose(seen[np.isfinite(seen)], 1.5, rtol=1e-6)
    assert np.isfinite(seen).any()


@pytest.mark.parametrize("qos", [BEST_EFFORT, RELIABLE, LATCHED], ids=["best_effort", "reliable", "latched"])
def test_cameras_of_every_quality_of_service_are_heard(peer: Peer, rig: Rig, qos: QoSProfile) -> None:
    rig.switch_on(qos)
    rig.calibrate((120, 160))
    assert np.isfinite(distances(rig.show((120, 160), 1.0))).any(), "image, depth and intrinsics arrive"


def test_a_latched_query_is_heard_once(peer: Peer, node: NodeProcess, states: Recorder) -> None:
    """`ros2 topic pub` of a latched query works; a node that starts later does not get an old wish."""
    publisher = peer.publisher(String, "/openseg/query", LATCHED)
    seen = len(states.messages)
    publisher.publish(String(data="; ".join(PHRASES)))
    wait_until(lambda: states.messages[seen:], "the state of the latched query")
    assert peer.change_state("deactivate") and peer.change_state("activate")
    version = states.messages[-1].version
    time.sleep(0.5)
    assert states.messages[-1].version == version
    peer.node.destroy_publisher(publisher)


def test_a_latched_reader_of_results_is_named(peer: Peer, node: NodeProcess, diagnostics: Recorder) -> None:
    """Results are volatile; a reader that asks for latched ones gets none, and would look for the reason."""
    peer.node.create_subscription(RegionArray, "/openseg/regions", lambda message: None, LATCHED)
    wait_until(lambda: peer.status(diagnostics).get("incompatible_qos.~/regions") == "1", "the reader is counted")
    assert "~/regions: a peer's DURABILITY" in node.output()


def test_a_node_that_was_killed_comes_back_to_the_same_peers(
    start_node: NodeStarter, options: list[str], peer: Peer, node: NodeProcess, camera: Any, regions: Recorder
) -> None:
    """The last test. Nobody else restarts: the camera, the reader of answers and that of the state stay connected."""
    states = peer.record(QueryState, "/openseg/query_state", LATCHED)
    node.interrupt(signal.SIGKILL)
    states.messages.clear()
    restarted = start_node(*options)
    wait_until(lambda: states.messages, "the latched state of the new node", 120.0)
    wait_until_active(peer, restarted)
    assert peer.set_parameter("score_threshold", 0.5) == ""
    assert [query.text for query in states.messages[-1].active if not query.background] == list(PHRASES)

    def answered() -> list[RegionArray]:
        image = peer.image(picture())
        camera.publish(image)
        time.sleep(0.3)
        return regions.with_stamp(image.header)

    assert wait_until(answered, "an answer of the new node")[0].regions
    assert ask(peer, states, "bowl").status == QueryState.ACTIVE
    assert restarted.interrupt() == 0 and "Traceback" not in restarted.output()
