"""The action ~/find_object over real DDS: every outcome, limits, feedback, cancelling; the node's own queries stay."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from rclpy.action import ActionClient
from ros.depth_rig import metres
from ros.ros_peer import BEST_EFFORT, RELIABLE, NodeProcess, Peer, Recorder, ask, picture, wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from openseg_ros.action import FindObject
from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.oriented_box import oriented_boxes
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.msg import Query, QueryArray, RegionArray
from openseg_ros.runtime.engine import create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.segmentation import Segmentation, Status
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.command import parse_typed_queries
from openseg_ros.text.text_encoder import load_text_encoder
from openseg_ros.text.vocabulary import Query as LibraryQuery
from openseg_ros.text.vocabulary import build_vocabulary

LONG_S = 120  # more than any test needs
SLOW_S = 60.0  # for what needs several runs of the network on a loaded machine
Result = FindObject.Result


def duration(seconds: float) -> Duration:
    return Duration(sec=int(seconds), nanosec=int(seconds % 1 * 1e9))


def goal(*phrases: str, seconds: float = LONG_S, **fields: Any) -> FindObject.Goal:
    queries = QueryArray(queries=[Query(text=phrase) for phrase in phrases])
    return FindObject.Goal(queries=queries, timeout=duration(seconds), **fields)


@dataclass
class Attempt:
    """One goal as its client sees it."""

    handle: Any
    future: Any
    feedback: list[FindObject.Feedback] = field(default_factory=list)

    def result(self) -> tuple[int, Result]:
        """Status of the goal and the result."""
        wait_until(self.future.done, "the goal's result", SLOW_S)
        response = self.future.result()
        return response.status, response.result


Start = Callable[[FindObject.Goal], Attempt]


@pytest.fixture(scope="module")
def start(node: NodeProcess, peer: Peer) -> Iterator[Start]:
    """Sends goals."""
    client = ActionClient(peer.node, FindObject, "/openseg/find_object")
    wait_until(client.server_is_ready, "the action", SLOW_S)

    def in_executor(call: Callable[[], Any]) -> Any:
        # rclpy notes a request after it has sent it: from another thread, the answer may come before and be ignored.
        task = peer.node.executor.create_task(call)
        wait_until(task.done, "the executor's turn", SLOW_S)
        return task.result()

    def send(request: FindObject.Goal) -> Attempt:
        feedback: list[FindObject.Feedback] = []
        keep = partial(client.send_goal_async, feedback_callback=lambda message: feedback.append(message.feedback))
        accepted = in_executor(partial(keep, request))
        wait_until(accepted.done, "acceptance of the goal", SLOW_S)
        assert accepted.result().accepted
        return Attempt(accepted.result(), in_executor(accepted.result().get_result_async), feedback)

    yield send
    client.destroy()


@dataclass
class Camera:
    """Shows a picture again and again until it is told to show another or none."""

    peer: Peer
    publisher: Any
    depth_publisher: Any
    rgb: np.ndarray | None = None
    depth: np.ndarray | None = None  # (H, W) float32 metres
    headers: list[Header] = field(default_factory=list)
    is_closed: bool = False

    def run(self) -> None:
        while not self.is_closed:
            if self.rgb is not None:
                message = self.peer.image(self.rgb)
                self.headers.append(message.header)
                if self.depth is not None:
                    depth = metres(self.depth)
                    depth.header = message.header
                    self.depth_publisher.publish(depth)
                self.publisher.publish(message)
            time.sleep(0.05)


@pytest.fixture(scope="module")
def open_camera(node: NodeProcess, peer: Peer) -> Iterator[Camera]:
    depth = peer.publisher(Image, "/depth_registered/image_rect", BEST_EFFORT)
    camera = Camera(peer, peer.publisher(Image, "/image", BEST_EFFORT), depth)
    thread = threading.Thread(target=camera.run)
    thread.start()
    yield camera
    camera.is_closed = True
    thread.join()


@pytest.fixture
def camera(open_camera: Camera) -> Iterator[Camera]:
    """The camera, dark before and after a test."""
    yield open_camera
    open_camera.rgb = open_camera.depth = None


class Library:
    """What one phrase finds, computed in this process."""

    def __init__(self, model_folder: Path) -> None:
        self._weights = load_weights(model_folder)
        self._engine = create_engine(self._weights, "torch")
        self._encoder = load_text_encoder("minilm")

    def look_for(self, phrase: str, rgb: np.ndarray, **settings: float) -> Segmentation:
        queries = [LibraryQuery(phrase), *(LibraryQuery(name, background=True) for name in ("table", "wall", "floor"))]
        calibration = self._weights.calibration
        segmenter = Segmenter(engine=self._engine, calibration=calibration, settings=SegmenterSettings(**settings))
        return segmenter.segment(segmenter.propose(rgb), build_vocabulary(queries, self._encoder, 0))

    def look_for_closest(self, phrase: str, rgb: np.ndarray, points: ImagePoints | None) -> Segmentation:
        """The target of "closest <phrase>", by the points or, without any, by the image."""
        (query,) = parse_typed_queries([LibraryQuery(f"closest {phrase}")]).queries
        background = [LibraryQuery(name, background=True) for name in ("table", "wall", "floor")]
        segmenter = Segmenter(
            engine=self._engine, calibration=self._weights.calibration, settings=SegmenterSettings(score_threshold=0.3)
        )
        vocabulary = build_vocabulary([query, *background], self._encoder, 0)
        return segmenter.segment(segmenter.propose(rgb), vocabulary, points)

    def example(self, wanted: Status) -> tuple[str, np.ndarray]:
        """A phrase and a picture with that answer."""
        for seed in range(6):
            for phrase in ("red mug", "green book", "bowl", "banana", "screwdriver", "white plate", "kitten", "train"):
                segmentation = self.look_for(phrase, picture(seed))
                if segmentation.target_result is not None and segmentation.target_result.status is wanted:
                    return phrase, picture(seed)
        raise AssertionError(f"no example of {wanted.name}")


@pytest.fixture(scope="module")
def library(model_folder: Path) -> Library:
    return Library(model_folder)


def test_without_images_the_result_says_so(start: Start, camera: Camera) -> None:
    """The first test: later, an image may still be in work."""
    attempt = start(goal("red mug", seconds=0.5))
    status, result = attempt.result()
    assert status == GoalStatus.STATUS_ABORTED and result.status == Result.NO_IMAGE
    assert not attempt.feedback and not result.regions.regions and result.regions.status == RegionArray.NOT_FOUND


def test_found_after_so_many_images_in_a_row(
    start: Start, camera: Camera, states: Recorder, peer: Peer, library: Library
) -> None:
    """Nobody subscribes to an output: images are processed for the goal alone."""
    before = ask(peer, states, "spoon")
    announced = len(states.messages)
    phrase, camera.rgb = library.example(Status.OK)
    attempt = start(goal(phrase, stable_frames=4))
    status, result = attempt.result()
    assert status == GoalStatus.STATUS_SUCCEEDED and result.status == Result.FOUND and result.message == ""
    assert [feedback.frames_in_a_row for feedback in attempt.feedback] == [1, 2, 3, 4]
    assert [feedback.frames_seen for feedback in attempt.feedback] == [1, 2, 3, 4]

    want = library.look_for(phrase, camera.rgb)
    assert result.regions.query == phrase and result.regions.status == RegionArray.OK
    assert result.regions.header in camera.headers
    assert [region.id for region in result.regions.regions] == want.regions.id.tolist()
    np.testing.assert_allclose([r.score for r in result.regions.regions], want.regions.score, atol=1e-5)
    assert want.target_result is not None
    assert attempt.feedback[-1].best_score == pytest.approx(want.target_result.score, abs=1e-5)
    assert math.isnan(result.box_center.position.x) and math.isnan(result.box_size.x), "there is no depth"
    assert states.messages[announced - 1].version == before.version and len(states.messages) == announced


def test_with_depth_the_result_has_the_target_s_box(start: Start, camera: Camera, peer: Peer, library: Library) -> None:
    phrase, rgb = library.example(Status.OK)
    height, width = rgb.shape[:2]
    pinhole = Pinhole((height, width), 150.0, 150.0, width / 2, height / 2)
    k = [150.0, 0.0, width / 2, 0.0, 150.0, height / 2, 0.0, 0.0, 1.0]
    peer.publisher(CameraInfo, "/camera_info", RELIABLE).publish(CameraInfo(height=height, width=width, k=k))
    camera.depth = np.tile(np.linspace(0.8, 1.2, width, dtype=np.float32), (height, 1))
    camera.rgb = rgb
    _, result = start(goal(phrase, stable_frames=4)).result()
    assert result.status == Result.FOUND

    want = library.look_for(phrase, rgb)
    assert want.target_region is not None
    row = want.target_region - 1
    points = ImagePoints(pinhole, camera.depth)
    boxes = oriented_boxes(RegionSurfaces(points, want.regions.roi[[row]], [want.region_masks()[row]]), None)
    position, size = result.box_center.position, result.box_size
    np.testing.assert_allclose([position.x, position.y, position.z], boxes.centre[0], atol=1e-6)
    np.testing.assert_allclose([size.x, size.y, size.z], boxes.size[0], atol=1e-6)
    assert 0.7 < position.z < 1.3 and max(size.x, size.y) > 0.01


def test_a_place_is_decided_with_depth(start: Start, camera: Camera, library: Library, peer: Peer) -> None:
    """The nearest things are at the top of the picture here, where those far away are by the picture alone."""
    rgb = picture()
    height, width = rgb.shape[:2]
    depth = np.tile(np.linspace(0.5, 2.0, height, dtype=np.float32)[:, None], (1, width))
    points = ImagePoints(Pinhole((height, width), 150.0, 150.0, width / 2, height / 2), depth)

    def target(phrase: str, points: ImagePoints | None) -> tuple[int, ...] | None:
        found = library.look_for_closest(phrase, rgb, points)
        is_clear = found.target_result is not None and found.target_result.status is Status.OK
        return tuple(found.regions.roi[found.target_region - 1].tolist()) if is_clear else None

    phrases = ("mug", "book", "bowl", "banana", "screwdriver", "plate", "kitten", "train", "box", "lamp", "tool", "toy")
    by_depth = {phrase: target(phrase, points) for phrase in phrases}
    phrase = next(phrase for phrase in phrases if by_depth[phrase] not in (None, target(phrase, None)))
    peer.sender(CameraInfo, "/camera_info").publish(
        CameraInfo(height=height, width=width, k=[150.0, 0, width / 2, 0, 150.0, height / 2, 0, 0, 1])
    )
    time.sleep(0.2)
    camera.depth, camera.rgb = depth, rgb
    _, result = start(goal(f"closest {phrase}", stable_frames=3, min_score=0.3)).result()
    assert result.status == Result.FOUND, result.message
    region = next(region for region in result.regions.regions if region.id == result.regions.target_id)
    roi = region.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == by_depth[phrase]


def test_an_image_that_came_before_the_goal_does_not_count(
    start: Start, camera: Camera, peer: Peer, library: Library, diagnostics: Recorder
) -> None:
    """The rate limit makes the image wait, as it would while the network runs on another one."""
    phrase, rgb = library.example(Status.OK)
    assert not peer.set_parameter("max_rate_hz", 0.5)
    before = int(peer.fresh_status(diagnostics)["images_received"])
    for _ in range(2):  # one is looked at, or begins the limit's two seconds; one waits
        camera.publisher.publish(peer.image(rgb))
        time.sleep(0.1)
    wait_until(lambda: int(peer.status(diagnostics)["images_received"]) == before + 2, "both images")
    try:
        _, result = start(goal(phrase, seconds=4.0)).result()
        assert result.status == Result.NO_IMAGE, result
        camera.publisher.publish(peer.image(rgb))
        camera.rgb = rgb
        _, result = start(goal(phrase)).result()
        assert result.status == Result.FOUND
    finally:
        assert not peer.set_parameter("max_rate_hz", 0.0)


def test_a_paused_node_refuses(start: Start, camera: Camera, peer: Peer) -> None:
    assert peer.call(SetBool, "/openseg/set_enabled", SetBool.Request(data=False)).success
    _, result = start(goal("red mug", seconds=0.0)).result()
    assert result.status == Result.REJECTED and "paused" in result.message
    assert peer.call(SetBool, "/openseg/set_enabled", SetBool.Request(data=True)).success


def test_the_topics_keep_the_nodes_own_queries(
    start: Start, camera: Camera, states: Recorder, regions: Recorder, peer: Peer, library: Library
) -> None:
    before = ask(peer, states, "spoon")
    phrase, camera.rgb = library.example(Status.OK)
    seen = len(regions.messages)
    _, result = start(goal(phrase, stable_frames=3)).result()
    assert result.status == Result.FOUND
    wait_until(lambda: len(regions.messages) >= seen + 5, "images during and after the goal", SLOW_S)
    assert {message.query for message in regions.messages[seen:]} == {"spoon"}
    assert {message.vocabulary_version for message in regions.messages[seen:]} == {before.version}


@pytest.mark.parametrize(
    ("answer", "outcome"), [(Status.NOT_FOUND, Result.NOT_FOUND), (Status.AMBIGUOUS, Result.AMBIGUOUS)]
)
def test_the_time_is_over(start: Start, camera: Camera, library: Library, answer: Status, outcome: int) -> None:
    phrase, camera.rgb = library.example(answer)
    attempt = start(goal(phrase, seconds=3.0))
    status, result = attempt.result()
    assert status == GoalStatus.STATUS_ABORTED and result.status == outcome, result
    assert "3 s" in result.message and result.regions.query == phrase and result.regions.status == int(answer)
    assert attempt.feedback[-1].frames_seen > 0 and attempt.feedback[-1].frames_in_a_row == 0


def test_images_that_do_not_show_it_break_the_row(start: Start, camera: Camera, library: Library) -> None:
    phrase, shown = library.example(Status.OK)
    attempt = start(goal(phrase, stable_frames=10_000))
    camera.rgb = shown
    wait_until(lambda: attempt.feedback and attempt.feedback[-1].frames_in_a_row >= 2, "a row", SLOW_S)
    camera.rgb = np.full_like(shown, 90)  # nothing
    assert library.look_for(phrase, camera.rgb).target_result.status is not Status.OK
    wait_until(lambda: attempt.feedback[-1].frames_in_a_row == 0, "the end of the row", SLOW_S)
    camera.rgb = shown
    wait_until(lambda: attempt.feedback[-1].frames_in_a_row == 1, "a new row", SLOW_S)
    attempt.handle.cancel_goal_async()
    assert attempt.result()[0] == GoalStatus.STATUS_CANCELED


def test_the_limits_are_the_goals(start: Start, camera: Camera, library: Library) -> None:
    phrase, camera.rgb = library.example(Status.OK)
    found = library.look_for(phrase, camera.rgb)
    share = float(found.regions.area[0]) / (120 * 160)

    def outcome(**fields: float) -> int:
        return int(start(goal(phrase, seconds=2.0, stable_frames=1, **fields)).result()[1].status)

    score = float(found.regions.score[0])
    assert outcome(min_score=score - 0.01) == Result.FOUND
    assert outcome(min_score=min(score + 0.01, 1.0)) == Result.NOT_FOUND
    for limits in ({"min_relative_area": min(share * 2, 0.8)}, {"max_relative_area": share / 2}, {"nms_iou": 0.0}):
        want = library.look_for(phrase, camera.rgb, **limits)
        fields = {("max_nms_iou" if name == "nms_iou" else name): value for name, value in limits.items()}
        _, result = start(goal(phrase, seconds=2.0, stable_frames=1, **fields)).result()
        assert [r.area for r in result.regions.regions] == want.regions.area.tolist(), limits
        assert want.regions.area.tolist() != found.regions.area.tolist(), "a limit that changes nothing proves nothing"


def test_a_goal_can_be_cancelled(start: Start, camera: Camera, library: Library) -> None:
    phrase, camera.rgb = library.example(Status.NOT_FOUND)
    attempt = start(goal(phrase, seconds=0.0))
    wait_until(lambda: len(attempt.feedback) >= 2, "feedback", SLOW_S)
    attempt.handle.cancel_goal_async()
    status, result = attempt.result()
    assert status == GoalStatus.STATUS_CANCELED and result.status == Result.CANCELLED
    assert result.regions.query == phrase
    seen = len(attempt.feedback)
    assert start(goal(phrase, seconds=1.0)).result()[1].status == Result.NOT_FOUND, "the next goal is served"
    assert len(attempt.feedback) == seen, "a cancelled goal is silent"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stable_frames": 0}, "stable_frames"),
        ({"min_score": 1.5}, "min_score is 1.5"),
        ({"max_nms_iou": math.nan}, "max_nms_iou is nan"),
        ({"min_relative_area": 0.5, "max_relative_area": 0.4}, "must be smaller"),
        ({"timeout": Duration(sec=-1)}, "timeout is -1 s"),
        ({"queries": QueryArray()}, "nothing is looked for"),
        ({"queries": QueryArray(queries=[Query(text=" ")])}, "empty"),
        ({"queries": QueryArray(queries=[Query(text="cup"), Query(text="x" * 9999)])}, "9999 characters"),
        ({"queries": QueryArray(queries=[Query(text="wall", background=True)])}, "nothing is looked for"),
        ({"queries": QueryArray(queries=[Query(text=t, is_target=True) for t in ("cup", "bowl")])}, "2 targets"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_a_goal_that_makes_no_sense_is_refused(start: Start, change: dict[str, Any], reason: str) -> None:
    request = goal("red mug")
    for name, value in change.items():
        setattr(request, name, value)
    status, result = start(request).result()
    assert status == GoalStatus.STATUS_ABORTED and result.status == Result.REJECTED
    assert reason in result.message and not result.regions.regions


def test_a_second_goal_is_refused_and_the_first_goes_on(start: Start, camera: Camera) -> None:
    first = start(goal("red mug", seconds=0.0))
    _, refused = start(goal("bowl")).result()
    assert refused.status == Result.REJECTED and "another goal" in refused.message
    assert not first.future.done()
    first.handle.cancel_goal_async()
    assert first.result()[1].status == Result.CANCELLED


def test_deactivating_ends_the_goal_and_an_inactive_node_refuses(
    start: Start, node: NodeProcess, peer: Peer, camera: Camera
) -> None:
    attempt = start(goal("red mug", seconds=0.0))
    assert peer.change_state("deactivate")
    status, result = attempt.result()
    assert status == GoalStatus.STATUS_ABORTED and "deactivated" in result.message
    _, refused = start(goal("red mug")).result()
    assert refused.status == Result.REJECTED and "not active" in refused.message
    assert peer.change_state("cleanup") and peer.change_state("configure") and peer.change_state("activate")


def test_interrupted_in_the_middle_of_a_goal(start: Start, node: NodeProcess) -> None:
    """The last test."""
    start(goal("red mug", seconds=0.0))
    assert node.interrupt() == 0 and "Traceback" not in node.output(), node.output()
    assert "[ERROR]" not in node.output(), node.output()
