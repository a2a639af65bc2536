"""What the node publishes for an image equals, value for value, what the library computes for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ros.ros_peer import (
    BEST_EFFORT,
    RELIABLE,
    NodeProcess,
    Peer,
    Recorder,
    ask,
    picture,
    wait_until,
)
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from openseg_ros.image_messages import decode_ids, decode_image
from openseg_ros.msg import Query, QueryArray, QueryState, RegionArray
from openseg_ros.nodes.image_codec import encode_image
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import Segmenter
from openseg_ros.srv import SetQuery
from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder
from openseg_ros.text.vocabulary import Query as VocabularyQuery
from openseg_ros.text.vocabulary import build_vocabulary

QUERIES = "red mug; bowl; green book"
IMAGES = ("mask", "confidence", "instances", "target_mask")


@dataclass
class Outputs:
    """Recorders of every output for one image at a time."""

    peer: Peer
    regions: Recorder
    images: dict[str, Recorder] = field(default_factory=dict)

    def of(self, header: Header) -> tuple[RegionArray, dict[str, Image]]:
        """The one complete set of outputs with this stamp."""
        recorders = [self.regions, *self.images.values()]
        wait_until(lambda: all(recorder.with_stamp(header) for recorder in recorders), f"all outputs of {header}")
        sets = [recorder.with_stamp(header) for recorder in recorders]
        assert [len(messages) for messages in sets] == [1] * len(sets), "one set of outputs per image"
        return sets[0][0], dict(zip(self.images, (messages[0] for messages in sets[1:]), strict=True))


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> Any:
    return peer.publisher(Image, "/image", RELIABLE)


@pytest.fixture(scope="module")
def outputs(peer: Peer, regions: Recorder) -> Outputs:
    return Outputs(peer, regions, {name: peer.record(Image, f"/openseg/{name}") for name in IMAGES})


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text_encoder("minilm")


def expected(library: Segmenter, encoder: TextEncoder, state: QueryState, rgb: np.ndarray) -> Segmentation:
    queries = [VocabularyQuery(query.text, background=query.background) for query in state.active]
    return library.segment(library.propose(rgb), build_vocabulary(queries, encoder, state.version))


def test_before_any_query_the_answer_says_so(peer: Peer, camera: Any, outputs: Outputs) -> None:
    message = peer.image(picture())
    camera.publish(message)
    regions, images = outputs.of(message.header)
    assert regions.status == RegionArray.NO_QUERY
    assert (regions.height, regions.width) == (120, 160)
    assert not regions.regions and not regions.embeddings and regions.query == ""
    assert (decode_ids(images["mask"]) == 255).all(), "nothing is labelled"
    assert not decode_ids(images["instances"]).any() and not decode_ids(images["target_mask"]).any()


def test_outputs_equal_the_library(
    peer: Peer, camera: Any, outputs: Outputs, states: Recorder, library: Segmenter, encoder: TextEncoder
) -> None:
    state = ask(peer, states, QUERIES)
    found = 0
    for seed in range(4):
        rgb = picture(seed)
        message = peer.image(rgb)
        camera.publish(message)
        regions, images = outputs.of(message.header)
        want = expected(library, encoder, state, rgb)
        for name, encoding in zip(IMAGES, ("mono8", "mono8", "16UC1", "mono8"), strict=True):
            assert images[name].encoding == encoding
            # Probabilities are rounded to bytes. On one machine one pixel differed by one; why was not found: it is
            # neither the number of threads nor the arrays' alignment.
            difference = np.abs(decode_ids(images[name]).astype(int) - getattr(want, name))
            assert difference.max() <= (name == "confidence"), name
        assert regions.vocabulary_version == state.version
        assert regions.status == int(want.status)
        assert [region.phrase for region in regions.regions] == list(want.regions.phrase)
        np.testing.assert_allclose([region.score for region in regions.regions], want.regions.score, rtol=1e-5)
        found += len(regions.regions)
    assert found > 4, "without regions this test shows nothing"


def test_ids_regions_and_pixels_agree(peer: Peer, camera: Any, outputs: Outputs, states: Recorder) -> None:
    ask(peer, states, QUERIES)
    message = peer.image(picture(1))
    camera.publish(message)
    regions, images = outputs.of(message.header)
    instances = decode_ids(images["instances"])
    ids = [region.id for region in regions.regions]
    assert len(ids) > 1 and len(set(ids)) == len(ids) and min(ids) >= 1
    assert set(np.unique(instances)) - {0} <= set(ids)
    scores = [region.score for region in regions.regions]
    assert scores == sorted(scores, reverse=True)
    for region in regions.regions:
        y, x = np.nonzero(instances == region.id)
        assert len(y) <= region.area <= 120 * 160
        if len(y):
            assert region.roi.x_offset <= x.min() and x.max() < region.roi.x_offset + region.roi.width
            assert region.roi.y_offset <= y.min() and y.max() < region.roi.y_offset + region.roi.height
        assert np.isnan(region.centroid.x), "no depth, no position"
    best = regions.regions[0]
    assert (instances == best.id).sum() == best.area, "the best region is not covered by another"


def test_embeddings_are_unit_vectors_of_a_named_space(
    peer: Peer, camera: Any, outputs: Outputs, states: Recorder, model_folder: Path
) -> None:
    ask(peer, states, QUERIES)
    message = peer.image(picture(2))
    camera.publish(message)
    regions, _ = outputs.of(message.header)
    vectors = np.asarray(regions.embeddings, np.float32).reshape(len(regions.regions), regions.embedding_dim)
    assert regions.embedding_dim == 384 and len(vectors) > 0
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    assert regions.embedding_space == load_weights(model_folder).embedding_space


def test_publish_embeddings_and_region_masks(peer: Peer, camera: Any, outputs: Outputs, states: Recorder) -> None:
    ask(peer, states, QUERIES)
    rgb = picture(1)

    def answer() -> RegionArray:
        message = peer.image(rgb)
        camera.publish(message)
        return outputs.of(message.header)[0]

    matched = answer()
    assert peer.set_parameter("publish_embeddings", "all") == ""
    everything = answer()
    assert peer.set_parameter("publish_embeddings", "off") == ""
    assert peer.set_parameter("publish_region_masks", True) == ""
    message = peer.image(rgb)
    camera.publish(message)
    bare, images = outputs.of(message.header)
    assert peer.set_parameter("publish_embeddings", "matched") == ""
    assert peer.set_parameter("publish_region_masks", False) == ""

    assert len(everything.regions) > len(matched.regions) == len(bare.regions)
    assert len(everything.embeddings) == len(everything.regions) * 384
    unmatched = [region for region in everything.regions if region.label == 0]
    assert unmatched and all(region.phrase == "" for region in unmatched)
    assert bare.embedding_dim == 0 and not bare.embeddings
    best = bare.regions[0]
    crop = decode_ids(best.mask)
    assert crop.shape == (best.roi.height, best.roi.width)
    y, x = best.roi.y_offset, best.roi.x_offset
    inside = decode_ids(images["instances"])[y : y + best.roi.height, x : x + best.roi.width] == best.id
    np.testing.assert_array_equal(crop == 255, inside)
    assert matched.regions[0].mask.height == 0


def test_track_ids_last_until_time_goes_back(peer: Peer, camera: Any, outputs: Outputs, states: Recorder) -> None:
    ask(peer, states, QUERIES)

    def identities(header: Header | None = None) -> list[str]:
        message = peer.image(picture(1), header)
        camera.publish(message)
        return [region.track_id for region in outputs.of(message.header)[0].regions]

    first = identities()
    assert first and all(first)
    assert identities() == first
    ask(peer, states, "bowl; red mug")
    assert set(identities()) & set(first), "a region that other words find is the same region"
    ask(peer, states, QUERIES)
    assert identities() == first
    past = Header(frame_id="camera")
    past.stamp.sec = 7
    assert not set(identities(past)) & set(first)
    assert peer.set_parameter("track_memory_s", 0.0) == ""
    assert set(identities()) == {""}
    assert peer.set_parameter("track_memory_s", 2.0) == ""


@pytest.mark.parametrize(("sec", "nanosec"), [(0, 0), (0, 1), (1_700_000_000, 999_999_999), (-5, 7), (2**31 - 1, 0)])
def test_header_is_copied_bit_for_bit(peer: Peer, camera: Any, outputs: Outputs, sec: int, nanosec: int) -> None:
    header = Header(frame_id="cámara/optical_frame")
    header.stamp.sec, header.stamp.nanosec = sec, nanosec
    camera.publish(peer.image(picture(), header))
    regions, images = outputs.of(header)
    assert regions.header == header
    for name, image in images.items():
        assert image.header == header, name
        assert (image.height, image.width) == (120, 160), name


def test_nothing_found_is_an_answer(peer: Peer, camera: Any, outputs: Outputs, states: Recorder) -> None:
    request = SetQuery.Request()
    request.queries = QueryArray(queries=[Query(text="unicorn", threshold=1.0)], replace=True)
    version = peer.call(SetQuery, "/openseg/set_query", request).version
    message = peer.image(picture())
    camera.publish(message)
    regions, images = outputs.of(message.header)
    assert regions.status == RegionArray.NOT_FOUND and regions.vocabulary_version == version
    assert regions.query == "unicorn" and not regions.regions
    assert not decode_ids(images["target_mask"]).any()
    assert images["target_mask"].encoding == "mono8"


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_encodings_and_steps_give_the_same_mask(
    peer: Peer, camera: Any, outputs: Outputs, states: Recorder, encoding: str, padding: int
) -> None:
    if states.messages[-1].parsed_phrases != ["red mug", "bowl", "green book"]:
        ask(peer, states, QUERIES)
    rgb = picture(3)
    plain = peer.image(rgb)
    camera.publish(plain)
    reference = decode_ids(outputs.of(plain.header)[1]["mask"])
    assert len(np.unique(reference)) > 1, "a constant mask shows nothing"

    channels = rgb[..., ::-1] if encoding.startswith("bgr") else rgb
    if encoding.endswith("a8"):
        channels = np.concatenate([channels, np.full((*rgb.shape[:2], 1), 13, np.uint8)], -1)
    rows = np.pad(channels.reshape(120, -1), ((0, 0), (0, padding)), constant_values=200)
    message = encode_image(rows, "mono8", peer.stamp())
    message.width, message.encoding = 160, encoding
    camera.publish(message)
    np.testing.assert_array_equal(decode_ids(outputs.of(message.header)[1]["mask"]), reference)


def test_mono8_is_grey_rgb(peer: Peer, camera: Any, outputs: Outputs) -> None:
    grey = cv2.cvtColor(picture(3), cv2.COLOR_RGB2GRAY)
    as_grey = encode_image(grey, "mono8", peer.stamp())
    camera.publish(as_grey)
    mask = decode_ids(outputs.of(as_grey.header)[1]["mask"])
    as_rgb = peer.image(np.repeat(grey[..., None], 3, -1))
    camera.publish(as_rgb)
    np.testing.assert_array_equal(decode_ids(outputs.of(as_rgb.header)[1]["mask"]), mask)


@pytest.mark.parametrize("qos", [BEST_EFFORT, RELIABLE], ids=["best_effort", "reliable"])
def test_cameras_of_both_reliabilities_are_heard(peer: Peer, node: NodeProcess, outputs: Outputs, qos: Any) -> None:
    publisher = peer.publisher(Image, "/image", qos)
    message = peer.image(picture())
    publisher.publish(message)
    outputs.of(message.header)
    peer.node.destroy_publisher(publisher)


def test_no_image_is_lost_on_the_way(peer: Peer, node: NodeProcess, outputs: Outputs, diagnostics: Recorder) -> None:
    """With Fast DDS's own shared memory segment 95 % of these would be: guards that our profile is really read.

    They are larger than that segment, so it does not matter how fast they come; a loaded machine misses fast ones.
    """
    publisher = peer.publisher(Image, "/image", BEST_EFFORT)
    before = int(peer.fresh_status(diagnostics)["images_received"])
    frame = picture(0, (480, 640))
    for _ in range(15):
        publisher.publish(peer.image(frame))
        time.sleep(0.1)
    received = int(peer.fresh_status(diagnostics)["images_received"]) - before
    peer.node.destroy_publisher(publisher)
    assert received >= 10


@pytest.mark.parametrize("size", [(480, 640), (1, 1), (641, 479), (120, 160)])
def test_camera_restarts_with_another_size(peer: Peer, camera: Any, outputs: Outputs, size: tuple[int, int]) -> None:
    message = peer.image(picture(0, size) if min(size) > 8 else np.full((*size, 3), 9, np.uint8))
    camera.publish(message)
    regions, images = outputs.of(message.header)
    assert (regions.height, regions.width) == size
    assert {(image.height, image.width) for image in images.values()} == {size}


def test_a_bag_that_loops_is_processed_again(peer: Peer, camera: Any, outputs: Outputs) -> None:
    headers = [peer.stamp() for _ in range(3)]
    for loop in (1, 2, 3):
        for header in headers:  # from the second loop on, the first stamp lies in the past
            camera.publish(peer.image(picture(), header))
            wait_until(lambda: len(outputs.regions.with_stamp(header)) == loop, f"loop {loop}")  # noqa: B023


def test_png_mask_is_lossless_and_overlay_is_limited(
    peer: Peer, camera: Any, outputs: Outputs, states: Recorder
) -> None:
    ask(peer, states, QUERIES)
    packed = peer.record(CompressedImage, "/openseg/mask/compressed")
    overlay = peer.record(Image, "/openseg/overlay", BEST_EFFORT)
    jpeg = peer.record(CompressedImage, "/openseg/overlay/compressed", BEST_EFFORT)
    started = time.monotonic()
    sent = []
    for seed in range(15):
        sent.append(peer.image(picture(seed % 4)))
        camera.publish(sent[-1])
        _, images = outputs.of(sent[-1].header)
        png = wait_until(lambda: packed.with_stamp(sent[-1].header), "the PNG mask")[0]
        assert png.format == "mono8; png compressed "
        unpacked = cv2.imdecode(np.frombuffer(png.data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(unpacked, decode_ids(images["mask"]))
    elapsed = time.monotonic() - started
    wait_until(lambda: overlay.messages and jpeg.messages, "an overlay")
    assert 1 <= len(overlay.messages) <= 5 * elapsed + 2, "overlay_rate_hz is 5"
    source = next(image for image in sent if image.header == overlay.messages[0].header)
    drawn = decode_image(overlay.messages[0])
    assert drawn.shape == (120, 160, 3) and (drawn != decode_image(source)).any(), "the overlay shows regions"
    assert jpeg.messages[0].format == "rgb8; jpeg compressed bgr8"
    for topic in ("overlay", "overlay/compressed", "mask/compressed"):
        for subscription in list(peer.node.subscriptions):
            if subscription.topic_name == f"/openseg/{topic}":
                peer.node.destroy_subscription(subscription)


def test_more_than_254_classes_need_16_bits(peer: Peer, camera: Any, outputs: Outputs) -> None:
    # The network, random as it is, takes most of the picture for object 216, the 257th here.
    queries = [Query(text=f"object {number}") for number in (*range(220, 260), *range(220))]
    packed = peer.record(CompressedImage, "/openseg/mask/compressed")
    request = SetQuery.Request(queries=QueryArray(queries=queries, replace=True))
    assert peer.call(SetQuery, "/openseg/set_query", request, 30.0).success
    message = peer.image(picture())
    camera.publish(message)
    answer, images = outputs.of(message.header)
    mask = decode_ids(images["mask"])
    assert images["mask"].encoding == "16UC1" and mask.dtype == np.uint16
    assert set(np.unique(mask)) <= {*range(261), 65535}
    seen = {(region.label, region.phrase) for region in answer.regions}
    assert (mask == 257).any() and (257, "object 216") in seen
    png = wait_until(lambda: packed.with_stamp(message.header), "the PNG mask")[0]
    assert png.format == "16UC1; png compressed "
    unpacked = cv2.imdecode(np.frombuffer(png.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(unpacked, mask)


def test_parameters_are_guarded_and_take_effect(peer: Peer, camera: Any, outputs: Outputs, states: Recorder) -> None:
    for name, value, reason in (
        ("score_threshold", 1.5, "range"),
        ("score_threshold", float("nan"), "score_threshold"),
        ("max_regions", 0, "range"),
        ("max_rate_hz", -1.0, "range"),
        ("min_relative_area", 0.95, "smaller than max_relative_area"),
        ("publish_embeddings", "some", "off, matched, all"),
        ("weights", "other", "unconfigured"),
        ("diagnostics_period_s", 2.0, "read-only"),
    ):
        assert reason in peer.set_parameter(name, value), name
    ask(peer, states, QUERIES)
    rgb = picture(1)
    message = peer.image(rgb)
    camera.publish(message)
    many = len(outputs.of(message.header)[0].regions)
    assert many > 1
    assert peer.set_parameter("max_regions", 1) == ""
    message = peer.image(rgb)
    camera.publish(message)
    assert len(outputs.of(message.header)[0].regions) == 1
    assert peer.set_parameter("max_regions", 128) == ""


def test_rate_limit_keeps_the_newest_image(peer: Peer, camera: Any, outputs: Outputs, diagnostics: Recorder) -> None:
    assert peer.set_parameter("max_rate_hz", 4.0) == ""
    time.sleep(0.3)
    answered = len(outputs.regions.messages)
    before = peer.fresh_status(diagnostics)
    sent = []
    start = time.monotonic()
    while time.monotonic() - start < 2.0:
        sent.append(peer.image(picture()))
        camera.publish(sent[-1])
        time.sleep(0.02)
    outputs.of(sent[-1].header)
    elapsed = time.monotonic() - start
    processed = len(outputs.regions.messages) - answered
    after = peer.fresh_status(diagnostics)
    assert peer.set_parameter("max_rate_hz", 0.0) == ""
    assert 7 <= processed <= 4 * elapsed + 2, "4 Hz for two seconds, and the last image"
    received, dropped = (
        int(after[key]) - int(before.get(key, 0)) for key in ("images_received", "images_dropped.superseded_by_newer")
    )
    assert received == processed + dropped, "every image that came is accounted for"
    assert len(sent) // 2 < received <= len(sent)


def test_diagnostics_tell_what_happened(peer: Peer, node: NodeProcess, diagnostics: Recorder) -> None:
    """Runs after the tests above: the counters must add up."""
    status = peer.fresh_status(diagnostics)
    assert status["state"] == "active" and status["errors"] == "0", node.output()
    assert "torch" in status["backend"] and status["weights"].startswith("random/")
    received, processed = int(status["images_received"]), int(status["images_processed"])
    assert processed > 60 and received == processed + int(status["images_dropped"])
