"""Several cameras on one node: each gets its own answers with its own headers, and none is harmed by another."""

from __future__ import annotations

import array
import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from ros.depth_rig import metres
from ros.ros_peer import (
    START_TIMEOUT_S,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    ask,
    parameter_file,
    picture,
    wait_until,
)
from ros.view_page import Reader, start_view
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from openseg_ros.action import FindObject
from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import Query, QueryArray, QueryState, RegionArray
from openseg_ros.nodes.bag_recorder import topics_of_node
from openseg_ros.runtime.engine import create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.segmentation import Segmentation, Status
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.srv import FindRegions, SegmentImage
from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder
from openseg_ros.text.vocabulary import Query as LibraryQuery
from openseg_ros.text.vocabulary import build_vocabulary

QUERIES = "red mug; bowl; green book"
PHRASES = ("red mug", "green book", "bowl", "banana", "screwdriver", "white plate", "kitten", "train")
SIZES = {"wrist": (120, 160), "front": (150, 110)}
SLOW_S = 60.0  # for what needs several runs of the network on a loaded machine


@pytest.fixture(scope="module")
def options(options: list[str]) -> list[str]:
    images = "/rig/{camera}/color/image_raw"  # a driver's name for it; depth and camera_info keep the node's
    return [*options, "--cameras", "wrist, front", "--image", images, "--queries", QUERIES]


@dataclass
class Camera:
    """One camera before the node, and what the node says of its images."""

    peer: Peer
    name: str
    images: Any
    regions: Recorder

    def picture(self, seed: int) -> np.ndarray:
        return picture(seed, SIZES[self.name])

    def send(self, rgb: np.ndarray, header: Header | None = None) -> Header:
        """Publish an image; its header names the camera's frame."""
        message = self.peer.image(rgb, header)
        message.header.frame_id = f"{self.name}_optical_frame"
        self.images.publish(message)
        return message.header

    def answer(self, header: Header) -> RegionArray:
        """The one answer to the image with this header."""
        wait_until(lambda: self.regions.with_stamp(header), f"regions of {self.name}", SLOW_S)
        (answer,) = self.regions.with_stamp(header)
        return answer

    def show(self, rgb: np.ndarray) -> RegionArray:
        return self.answer(self.send(rgb))


Cameras = dict[str, Camera]


@pytest.fixture(scope="module")
def cameras(node: NodeProcess, peer: Peer) -> Cameras:
    return {
        name: Camera(
            peer,
            name,
            peer.publisher(Image, f"/rig/{name}/color/image_raw"),
            peer.record(RegionArray, f"/openseg/{name}/regions"),
        )
        for name in SIZES
    }


@contextmanager
def running(work: Callable[[], Any], period_s: float) -> Iterator[None]:
    """Does `work` again and again in a thread of its own."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(period_s):
            work()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


class Library:
    """What the library says, computed in this process."""

    def __init__(self, model_folder: Path) -> None:
        weights = load_weights(model_folder)
        self._segmenter = Segmenter(
            engine=create_engine(weights, "torch"),
            calibration=weights.calibration,
            settings=SegmenterSettings(),
        )
        self._encoder: TextEncoder = load_text_encoder("minilm")

    def segment(self, rgb: np.ndarray, *phrases: str, background: bool = True) -> Segmentation:
        queries = [LibraryQuery(phrase) for phrase in phrases]
        queries += [LibraryQuery(phrase, background=True) for phrase in ("table", "wall", "floor") if background]
        return self._segmenter.segment(self._segmenter.propose(rgb), build_vocabulary(queries, self._encoder, 0))


@pytest.fixture(scope="module")
def library(model_folder: Path) -> Library:
    return Library(model_folder)


def test_only_the_cameras_topics_are_there(peer: Peer, node: NodeProcess, cameras: Cameras) -> None:
    for topic in ("/image", "/wrist/image", "/camera_info"):
        assert peer.node.count_subscribers(topic) == 0, topic
    assert peer.node.count_publishers("/openseg/mask") == 0
    for name in cameras:
        assert peer.node.count_subscribers(f"/{name}/camera_info") == 1
        for output in ("mask", "mask/compressed", "instances", "target_mask", "overlay", "points"):
            assert peer.node.count_publishers(f"/openseg/{name}/{output}") == 1, output


def test_answers_equal_the_librarys_and_carry_the_cameras_headers(
    peer: Peer, cameras: Cameras, states: Recorder, library: Library
) -> None:
    """The images of both have the same stamps, as those of synchronised cameras do."""
    state = states.messages[-1]
    kinds = ("mask", "instances")
    images = {(name, kind): peer.record(Image, f"/openseg/{name}/{kind}") for name in cameras for kind in kinds}
    found = 0
    for seed in range(3):
        stamp = peer.stamp().stamp
        sent = {name: camera.send(camera.picture(seed), Header(stamp=stamp)) for name, camera in cameras.items()}
        for name, camera in cameras.items():
            answer = camera.answer(sent[name])
            want = library.segment(camera.picture(seed), *QUERIES.split("; "))
            assert answer.header == sent[name] and answer.header.frame_id == f"{name}_optical_frame"
            assert (answer.height, answer.width) == SIZES[name] and answer.vocabulary_version == state.version
            assert [region.phrase for region in answer.regions] == list(want.regions.phrase)
            np.testing.assert_allclose([region.score for region in answer.regions], want.regions.score, atol=1e-5)
            for kind in kinds:
                recorder = images[name, kind]
                wait_until(lambda: recorder.with_stamp(sent[name]), f"{kind} of {name}")  # noqa: B023
                (message,) = recorder.with_stamp(sent[name])
                assert message.header == sent[name]
                np.testing.assert_array_equal(decode_ids(message), getattr(want, kind), err_msg=f"{name} {kind}")
            found += len(answer.regions)
    assert found > 4, "without regions this test shows nothing"


def test_each_camera_has_its_own_depth_and_intrinsics(peer: Peer, cameras: Cameras) -> None:
    distances = {"wrist": 0.4, "front": 2.5}
    focals = {"wrist": 150.0, "front": 300.0}
    for name, camera in cameras.items():
        height, width = SIZES[name]
        info = peer.publisher(CameraInfo, f"/{name}/camera_info")
        k = [focals[name], 0.0, width / 2, 0.0, focals[name], height / 2, 0.0, 0.0, 1.0]
        info.publish(CameraInfo(height=height, width=width, k=k))
        depth = peer.publisher(Image, f"/{name}/depth_registered/image_rect")
        time.sleep(0.2)
        header = peer.stamp()
        message = metres(np.full(SIZES[name], distances[name], np.float32))
        message.header = header
        depth.publish(message)
        time.sleep(0.1)
        answer = camera.answer(camera.send(camera.picture(1), header))
        region = max(answer.regions, key=lambda region: region.area)
        assert region.centroid.z == pytest.approx(distances[name], abs=1e-4)
        left = (region.roi.x_offset - width / 2) * distances[name] / focals[name]
        assert left < region.centroid.x < left + region.roi.width * distances[name] / focals[name]
        bare = camera.show(camera.picture(1))
        assert np.isnan(bare.regions[0].centroid.z), "no depth has the stamp of this image"
        for publisher in (info, depth):
            peer.node.destroy_publisher(publisher)


def test_track_ids_belong_to_a_camera(cameras: Cameras) -> None:
    def identities(camera: Camera) -> list[str]:
        return [region.track_id for region in camera.show(picture(1)).regions]

    wrist, front = cameras["wrist"], cameras["front"]
    first = identities(wrist), identities(front)
    assert first[0] and first[1] and all(first[0] + first[1])
    assert not set(first[0]) & set(first[1]), "the same picture, yet not the same thing"
    assert (identities(wrist), identities(front)) == first


def test_a_query_reaches_all_cameras_with_one_version(peer: Peer, cameras: Cameras, states: Recorder) -> None:
    seen = {name: len(camera.regions.messages) for name, camera in cameras.items()}

    def stream() -> None:
        for camera in cameras.values():
            camera.send(camera.picture(1))

    def phrases(state: QueryState) -> list[str]:
        return [query.text for query in state.active if not query.background]

    announced = {states.messages[-1].version: phrases(states.messages[-1])}
    with running(stream, 0.02):
        for text in ("white plate", "bowl", "train"):
            state = ask(peer, states, text)
            announced[state.version] = phrases(state)
            for camera in cameras.values():
                regions = camera.regions.messages
                wait_until(lambda: regions and regions[-1].vocabulary_version == state.version, text, SLOW_S)  # noqa: B023
    for name, camera in cameras.items():
        answers = camera.regions.messages[seen[name] :]
        assert {answer.vocabulary_version for answer in answers} >= set(list(announced)[1:])
        for answer in answers:
            wanted = announced[answer.vocabulary_version]
            assert answer.query == wanted[0] and {region.phrase for region in answer.regions} <= set(wanted)


def test_a_fast_camera_does_not_starve_a_slow_one(peer: Peer, cameras: Cameras, diagnostics: Recorder) -> None:
    """The fast one sends far more than the node can process; every image of the slow one is answered in its turn."""
    wrist, front = cameras["wrist"], cameras["front"]
    superseded = "images_dropped.superseded_by_newer"
    before = {name: int(peer.fresh_status(diagnostics, f"camera {name}").get(superseded, 0)) for name in cameras}
    large = picture(2, (480, 640))
    with running(lambda: wrist.send(large), 0.002):
        wait_until(lambda: any(answer.height == 480 for answer in wrist.regions.messages), "the fast camera", SLOW_S)
        for seed in range(10):
            front.show(front.picture(seed % 4))
        answered = len(wrist.regions.messages)
        wait_until(lambda: len(wrist.regions.messages) > answered, "nor is the fast one starved", SLOW_S)
    after = {name: int(peer.fresh_status(diagnostics, f"camera {name}").get(superseded, 0)) for name in cameras}
    assert after["wrist"] - before["wrist"] > 20, "the node was not busy, so this shows nothing"
    assert after["front"] == before["front"], "no image of the slow camera was lost"


def test_garbage_from_one_camera_does_not_hurt_the_other(
    peer: Peer, node: NodeProcess, cameras: Cameras, diagnostics: Recorder
) -> None:
    wrist, front = cameras["wrist"], cameras["front"]
    garbage = peer.image(front.picture(0))
    garbage.data = array.array("B", bytes(100))
    before = peer.fresh_status(diagnostics, "camera wrist")
    with running(lambda: front.images.publish(garbage), 0.005):
        for seed in range(8):
            wrist.show(wrist.picture(seed % 4))
        key = "bad_input.short_data"
        wait_until(lambda: int(peer.status(diagnostics, "camera front").get(key, 0)) > 20, "garbage is counted")
        status = peer.fresh_status(diagnostics, "camera front")
        assert status["level"] == "1" and "bad input" in status["message"]
        after = peer.fresh_status(diagnostics, "camera wrist")
    assert key not in after and after["images_processed"] == str(int(before["images_processed"]) + 8)
    assert node.output().count("camera front: image refused: ") == 1 and "camera wrist:" not in node.output()
    front.show(front.picture(0))


def test_a_silent_camera_is_named_and_the_other_goes_on(peer: Peer, cameras: Cameras, diagnostics: Recorder) -> None:
    wrist = cameras["wrist"]
    with running(lambda: wrist.send(wrist.picture(0)), 0.1):
        wait_until(lambda: peer.status(diagnostics, "camera front")["message"].startswith("no image for"), "a warning")
        for title in ("camera wrist", "segmentation"):
            assert peer.fresh_status(diagnostics, title)["level"] == "0", title
        assert peer.status(diagnostics, "camera front")["level"] == "1"


def test_the_nodes_counts_are_the_sum_of_the_cameras(peer: Peer, cameras: Cameras, diagnostics: Recorder) -> None:
    """Runs after the tests above. The cameras are silent."""
    time.sleep(0.5)
    node = peer.fresh_status(diagnostics)
    parts = [peer.status(diagnostics, f"camera {name}") for name in cameras]
    for key in ("images_received", "images_processed", "images_dropped"):
        assert int(node[key]) == sum(int(part[key]) for part in parts) > 0, key
    for part in parts:
        refused = sum(int(value) for key, value in part.items() if key.startswith("bad_input.short"))
        assert int(part["images_received"]) == int(part["images_processed"]) + int(part["images_dropped"]) + refused
        assert part["target"] in ("OK", "NOT_FOUND", "AMBIGUOUS") and part["target"] in node["target"]
        assert float(part["latency_samples"]) == 0, "the stamps are of another age"
    assert node["errors"] == "0"


def test_find_regions_answers_with_the_camera_that_shows_it_best(
    peer: Peer, cameras: Cameras, library: Library
) -> None:
    pictures = {name: camera.picture(seed) for seed, (name, camera) in enumerate(cameras.items(), 1)}
    headers = {name: camera.send(pictures[name]) for name, camera in cameras.items()}
    for name, camera in cameras.items():
        camera.answer(headers[name])
    winners = set()
    for phrase in PHRASES:
        want = {name: library.segment(rgb, phrase, background=False) for name, rgb in pictures.items()}
        winner = max(want, key=lambda name: want[name].target_score)
        for top_k in (0, 2):
            request = FindRegions.Request(text=phrase, top_k=top_k)
            answer = peer.call(FindRegions, "/openseg/find_regions", request, SLOW_S)
            assert answer.success and answer.regions.header == headers[winner], phrase
            assert (answer.regions.height, answer.regions.width) == SIZES[winner]
            assert answer.regions.status == int(want[winner].status)
            if top_k:
                assert len(answer.regions.regions) == top_k
            else:
                assert [region.id for region in answer.regions.regions] == want[winner].regions.id.tolist()
        winners.add(winner)
    assert winners == set(cameras), "one camera that always wins shows nothing"


def test_the_latest_image_is_the_last_of_any_camera(peer: Peer, cameras: Cameras) -> None:
    for name in ("wrist", "front", "wrist"):
        camera = cameras[name]
        answer = camera.show(camera.picture(3))
        latest = peer.call(SegmentImage, "/openseg/segment_image", SegmentImage.Request(use_latest=True), SLOW_S)
        assert latest.success and latest.regions.header == answer.header
        assert (latest.mask.height, latest.mask.width) == SIZES[name]
        assert [region.id for region in latest.regions.regions] == [region.id for region in answer.regions]


@pytest.mark.parametrize("shows_it", list(SIZES))
def test_find_object_watches_all_cameras(peer: Peer, cameras: Cameras, library: Library, shows_it: str) -> None:
    camera = cameras[shows_it]
    other = next(other for name, other in cameras.items() if name != shows_it)
    empty = np.full((*SIZES[other.name], 3), 90, np.uint8)

    def fate(phrase: str, rgb: np.ndarray) -> Status | None:
        result = library.segment(rgb, phrase).target_result
        return None if result is None else result.status

    phrase, rgb = next(
        (phrase, camera.picture(seed))
        for seed in range(6)
        for phrase in PHRASES
        if fate(phrase, camera.picture(seed)) is Status.OK and fate(phrase, empty) is Status.NOT_FOUND
    )
    feedback: list[FindObject.Feedback] = []
    client = ActionClient(peer.node, FindObject, "/openseg/find_object")
    wait_until(client.server_is_ready, "the action", SLOW_S)

    def in_executor(call: Callable[[], Any]) -> Any:
        task = peer.node.executor.create_task(call)
        wait_until(lambda: task.done() and task.result().done(), "an answer of the action", SLOW_S)
        return task.result().result()

    goal = FindObject.Goal(queries=QueryArray(queries=[Query(text=phrase)]), stable_frames=4)
    keep = partial(client.send_goal_async, feedback_callback=lambda message: feedback.append(message.feedback))
    handle = in_executor(partial(keep, goal))
    sent = []

    def stream() -> None:
        other.send(empty)
        sent.append(camera.send(rgb))

    with running(stream, 0.05):
        result = in_executor(handle.get_result_async).result
    client.destroy()
    assert result.status == FindObject.Result.FOUND, result.message
    assert result.regions.header in sent and result.regions.header.frame_id == f"{shows_it}_optical_frame"
    assert [region.id for region in result.regions.regions] == library.segment(rgb, phrase).regions.id.tolist()
    assert feedback[-1].frames_in_a_row == 4 and feedback[-1].frames_seen > 4, "images of both were looked at"
    assert [message.frames_in_a_row for message in feedback] == sorted(message.frames_in_a_row for message in feedback)


def test_a_recording_of_the_node_has_the_topics_of_its_cameras(peer: Peer, cameras: Cameras) -> None:
    chosen = set(topics_of_node("/openseg")(peer.node))
    for name in cameras:
        assert chosen >= {
            *(f"/openseg/{name}/{answer}" for answer in ("regions", "mask/compressed")),
            *(f"/rig/{name}/color/image_raw", f"/{name}/camera_info", f"/{name}/depth_registered/image_rect"),
        }
    assert {"/openseg/query", "/openseg/query_state"} <= chosen
    assert not any(topic.endswith(("/overlay", "/points", "/instances")) for topic in chosen)


def test_the_page_shows_one_camera(
    start_node: NodeStarter, peer: Peer, cameras: Cameras, states: Recorder, library: Library
) -> None:
    view = start_view(start_node, "--camera", "wrist")[1]
    pictures = {name: camera.picture(seed) for seed, (name, camera) in enumerate(cameras.items(), 1)}

    async def check() -> None:
        async with Reader(view) as page:
            node = await page.until("node", lambda node: node["present"])
            assert node["name"] == "/openseg/wrist"
            while peer.node.count_subscribers("/openseg/wrist/overlay/compressed") == 0:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            assert peer.node.count_subscribers("/openseg/front/overlay/compressed") == 0
            front, wrist = (cameras[name].send(pictures[name]) for name in ("front", "wrist"))
            shown = await page.until("answer", lambda answer: True)
            cameras["front"].answer(front)
            assert shown["stamp"] == f"{wrist.stamp.sec}.{wrist.stamp.nanosec:09d}"
            assert (shown["height"], shown["width"]) == SIZES["wrist"]
            found = set()
            for phrase in PHRASES:
                scores = {n: library.segment(p, phrase, background=False).target_score for n, p in pictures.items()}
                best = max(scores, key=lambda name: scores[name])
                status, answer = await page.send("POST", "/find", {"text": phrase, "top_k": 1})
                if best == "wrist":
                    assert status == 200 and answer["stamp"] == shown["stamp"]
                else:
                    assert status != 200 and "'front_optical_frame'" in answer["error"]
                found.add(best)
            assert found == set(cameras), "one camera that always wins shows nothing"

    asyncio.run(check())


def test_deactivated_cameras_are_not_listened_to(peer: Peer, node: NodeProcess, cameras: Cameras) -> None:
    """The last test of the shared node."""
    assert peer.change_state("deactivate")
    for name in cameras:
        wait_until(lambda: peer.node.count_subscribers(f"/rig/{name}/color/image_raw") == 0, name)  # noqa: B023
    assert peer.change_state("activate")
    for camera in cameras.values():
        wait_until(lambda: camera.images.get_subscription_count() == 1, camera.name)  # noqa: B023
        time.sleep(0.2)
        camera.show(camera.picture(0))
    assert node.interrupt() == 0 and "Traceback" not in node.output(), node.output()
    errors = [line for line in node.output().splitlines() if "[ERROR]" in line]
    assert all("camera front: image refused" in line for line in errors), errors  # the garbage of a test above


@pytest.fixture
def unconfigured(
    start_node: NodeStarter, node: NodeProcess, model_folder: Path, tmp_path: Path, peer: Peer
) -> Iterator[NodeProcess]:
    """A node whose parameter file names its cameras badly."""
    if node.is_alive():
        node.interrupt()
    peer.destroy_subscriptions()
    parameters = parameter_file(tmp_path, cameras=["left", "2nd"])
    process = start_node(
        *("--weights", str(model_folder), "--backend", "torch", "--params-file", parameters, "--no-autostart")
    )
    wait_until(lambda: peer.state() == "unconfigured", "the node", START_TIMEOUT_S)
    yield process
    assert process.interrupt() == 0, process.output()


def test_bad_names_are_refused_and_good_ones_take_their_place(peer: Peer, unconfigured: NodeProcess) -> None:
    diagnostics = peer.record(DiagnosticArray, "/diagnostics")
    assert not peer.change_state("configure")
    assert "cameras '2nd' is not understood" in peer.fresh_status(diagnostics)["last_error"]
    for names, reason in (
        (["left", "le ft"], "'le ft' is not understood"),
        (["a/b"], "'a/b'"),
        (["_hidden"], "'_hidden'"),
        (["a__b"], "'a__b'"),
        (["linke_kamerä"], "'linke_kamerä'"),
        (["left", "right", "left"], "'left' is there twice"),
        (["left", "mask"], "~/mask is the name of something else"),
        (["query"], "~/query is the name of something else"),
    ):
        assert reason in peer.set_parameter("cameras", names), names
    assert peer.set_parameter("cameras", ["left", "Right_2"]) == ""
    assert peer.change_state("configure"), unconfigured.output()
    for name in ("left", "Right_2"):
        wait_until(lambda: peer.node.count_publishers(f"/openseg/{name}/mask") == 1, name)  # noqa: B023
        assert peer.fresh_status(diagnostics, f"camera {name}")["message"] == "inactive"
    assert "unconfigured" in peer.set_parameter("cameras", ["left"])

    assert peer.change_state("cleanup") and peer.set_parameter("cameras", [""]) == ""
    assert peer.change_state("configure") and peer.change_state("activate")
    wait_until(lambda: peer.node.count_publishers("/openseg/mask") == 1, "the one camera's output")
    wait_until(lambda: peer.node.count_publishers("/openseg/left/mask") == 0, "the end of the others")
    assert peer.fresh_status(diagnostics)["state"] == "active"
    assert len(diagnostics.messages[-1].status) == 1, "one camera needs no status of its own"

    own_names = names_below_the_node(peer)
    assert len(own_names) > 15
    assert peer.change_state("deactivate") and peer.change_state("cleanup")
    for name in own_names:
        assert f"~/{name} is the name of something else" in peer.set_parameter("cameras", [name])


def names_below_the_node(peer: Peer) -> set[str]:
    """What our node has below its name, but for what every lifecycle node has."""
    found = peer.node.get_publisher_names_and_types_by_node("openseg", "/")
    found += peer.node.get_subscriber_names_and_types_by_node("openseg", "/")
    services = peer.node.get_service_names_and_types_by_node("openseg", "/")
    found += [service for service in services if service[1][0].startswith(("openseg_ros/", "std_srvs/"))]
    return {name.split("/")[2] for name, _ in found if name.startswith("/openseg/")} - {"transition_event"}


def test_one_topic_for_all_cameras_is_refused(start_node: NodeStarter) -> None:
    process = start_node("--cameras", "left,right", "--image", "/camera/image_raw")
    assert process.wait(START_TIMEOUT_S) == 2
    assert "/camera/image_raw" in process.output() and "Traceback" not in process.output()
