"""The services over real DDS: answers equal the library's, refusals say why, and the node lives on."""

from __future__ import annotations

import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros.ros_peer import NodeProcess, NodeStarter, Peer, Recorder, ask, picture, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import Query, QueryArray, QueryState, RegionArray
from openseg_ros.runtime.engine import create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.srv import EncodeText, FindRegions, SegmentImage
from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder
from openseg_ros.text.vocabulary import Query as LibraryQuery
from openseg_ros.text.vocabulary import build_vocabulary

BACKGROUND = ("table", "wall", "floor")
SLOW_S = 60.0  # for what needs a run of the network on a loaded machine


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> Any:
    return peer.publisher(Image, "/image")


class Library:
    """What the library says, computed in this process."""

    def __init__(self, model_folder: Path) -> None:
        self._weights = load_weights(model_folder)
        self._engine = create_engine(self._weights, "torch")
        self.encoder: TextEncoder = load_text_encoder("minilm")
        self.space = self._weights.embedding_space

    def segment(self, rgb: np.ndarray, phrases: list[str], *, background: bool, **settings: float) -> Segmentation:
        queries = [LibraryQuery(phrase) for phrase in phrases]
        queries += [LibraryQuery(phrase, background=True) for phrase in BACKGROUND if background]
        segmenter = Segmenter(
            engine=self._engine,
            calibration=self._weights.calibration,
            settings=SegmenterSettings(**settings),
        )
        return segmenter.segment(segmenter.propose(rgb), build_vocabulary(queries, self.encoder, 0))


@pytest.fixture(scope="module")
def library(model_folder: Path) -> Library:
    return Library(model_folder)


def encode(peer: Peer, texts: list[str]) -> EncodeText.Response:
    return peer.call(EncodeText, "/openseg/encode_text", EncodeText.Request(texts=texts), SLOW_S)


def find(peer: Peer, text: str, top_k: int = 0) -> FindRegions.Response:
    return peer.call(FindRegions, "/openseg/find_regions", FindRegions.Request(text=text, top_k=top_k), SLOW_S)


def segment(peer: Peer, request: SegmentImage.Request) -> SegmentImage.Response:
    return peer.call(SegmentImage, "/openseg/segment_image", request, SLOW_S)


def set_enabled(peer: Peer, value: bool) -> SetBool.Response:
    return peer.call(SetBool, "/openseg/set_enabled", SetBool.Request(data=value))


def show(peer: Peer, camera: Any, regions: Recorder, rgb: np.ndarray) -> RegionArray:
    """The published regions of one image."""
    message = peer.image(rgb)
    camera.publish(message)
    return wait_until(lambda: regions.with_stamp(message.header), "regions", SLOW_S)[0]


def assert_same_regions(message: RegionArray, expected: Segmentation) -> None:
    assert [region.id for region in message.regions] == expected.regions.id.tolist()
    assert [region.phrase for region in message.regions] == list(expected.regions.phrase)
    np.testing.assert_allclose([region.score for region in message.regions], expected.regions.score, atol=1e-5)
    np.testing.assert_allclose([region.margin for region in message.regions], expected.regions.margin, atol=1e-5)
    boxes = [(r.roi.x_offset, r.roi.y_offset, r.roi.width, r.roi.height) for r in message.regions]
    np.testing.assert_array_equal(boxes, expected.regions.roi)
    vectors = np.reshape(message.embeddings, (len(message.regions), message.embedding_dim))
    np.testing.assert_allclose(vectors, expected.regions.embeddings, atol=1e-5)


# These two come first: the node has not seen an image.


def test_without_an_image_the_services_say_so(peer: Peer, node: NodeProcess) -> None:
    answer = find(peer, "red mug")
    assert not answer.success and "no image was processed" in answer.message and not answer.regions.regions
    latest = segment(peer, SegmentImage.Request(use_latest=True))
    assert not latest.success and "no image was received" in latest.message and not latest.mask.data


def test_encoded_phrases_are_the_text_encoders_vectors(peer: Peer, node: NodeProcess, library: Library) -> None:
    texts = ["red mug", "  green   book ", "red mug", "🍌"]
    answer = encode(peer, texts)
    assert answer.success and answer.message == "" and answer.embedding_space == library.space
    assert answer.dim == library.encoder.dim
    vectors = np.reshape(answer.embeddings, (len(texts), answer.dim))
    np.testing.assert_allclose(vectors, library.encoder.encode(["red mug", "green book", "red mug", "🍌"]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_vectors_compare_with_published_regions(peer: Peer, camera: Any, regions: Recorder, states: Recorder) -> None:
    ask(peer, states, "red mug; bowl; green book")
    message = show(peer, camera, regions, picture())
    answer = encode(peer, ["red mug", "bowl", "green book"])
    assert answer.embedding_space == message.embedding_space and answer.dim == message.embedding_dim
    cosine = np.reshape(message.embeddings, (-1, answer.dim)) @ np.reshape(answer.embeddings, (-1, answer.dim)).T
    assert len(message.regions) > 1
    assert (cosine.argmax(1) + 1).tolist() == [region.label for region in message.regions]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([], "0 phrases"),
        (["cup", ""], "phrase 2, '': it is empty"),
        (["cup", "x" * 201, "?"], "201 characters"),
        (["cup"] * 1001, "1001 phrases"),
    ],
    ids=["none", "empty", "long", "many"],
)
def test_texts_that_cannot_be_encoded_are_named(peer: Peer, node: NodeProcess, texts: list[str], reason: str) -> None:
    answer = encode(peer, texts)
    assert not answer.success and reason in answer.message
    assert not answer.embeddings and answer.dim == 0


def test_a_new_phrase_is_found_in_the_last_image_without_the_network(
    peer: Peer, camera: Any, regions: Recorder, states: Recorder, diagnostics: Recorder, library: Library
) -> None:
    state = ask(peer, states, "bowl")
    message = show(peer, camera, regions, picture(1))
    runs = int(peer.fresh_status(diagnostics)["network_runs"])
    assert runs > 0

    found = 0
    for phrase in ("red mug", "green book", "screwdriver"):
        answer = find(peer, phrase)
        want = library.segment(picture(1), [phrase], background=False)
        assert answer.success and answer.regions.header == message.header
        assert (answer.regions.height, answer.regions.width) == (120, 160)
        assert answer.regions.query == phrase and answer.regions.status == int(want.status)
        assert_same_regions(answer.regions, want)
        found += len(want.regions)

        best = find(peer, phrase, top_k=3)
        ranked = library.segment(picture(1), [phrase], background=False, score_threshold=0.0, max_regions=3)
        assert len(best.regions.regions) == 3 and best.regions.status == int(want.status)
        assert best.regions.target_id == (want.target_region or 0), "what is not good enough is no target"
        assert_same_regions(best.regions, ranked)
    assert found > 0, "empty answers prove nothing"

    assert int(peer.fresh_status(diagnostics)["network_runs"]) == runs, "the network did not run"
    assert states.messages[-1].version == state.version, "the node's own queries stay"


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), ("y" * 100_000, "200")], ids=["empty", "enormous"])
def test_a_bad_phrase_finds_nothing_and_says_why(
    peer: Peer, camera: Any, regions: Recorder, text: str, reason: str
) -> None:
    show(peer, camera, regions, picture())
    answer = find(peer, text)
    assert not answer.success and reason in answer.message and not answer.regions.regions


def test_an_image_is_segmented_with_its_own_queries(
    peer: Peer, camera: Any, regions: Recorder, states: Recorder, library: Library
) -> None:
    state = ask(peer, states, "bowl")
    rgb = picture().repeat(2, axis=0).repeat(2, axis=1)  # not the size of the camera's images
    image = peer.image(rgb)
    phrases = ["red mug", "green book"]
    queries = QueryArray(queries=[Query(text=phrase) for phrase in phrases])
    published = len(regions.messages)
    answer = segment(peer, SegmentImage.Request(image=image, queries=queries))
    want = library.segment(rgb, phrases, background=True)
    assert answer.success and answer.message == ""
    assert answer.regions.header == answer.mask.header == answer.instances.header == image.header
    assert want.regions.id.size and answer.regions.status == int(want.status)
    assert_same_regions(answer.regions, want)
    np.testing.assert_array_equal(decode_ids(answer.mask), want.mask)
    np.testing.assert_array_equal(decode_ids(answer.instances), want.instances)
    names = dict(zip(answer.class_ids, answer.class_names, strict=True))
    assert names == {0: "other", 1: "red mug", 2: "green book", 255: "unlabelled"}

    own = show(peer, camera, regions, picture())
    assert len(regions.messages) == published + 1, "the image of the request is not on the topics"
    assert own.query == "bowl" and own.vocabulary_version == state.version != answer.regions.vocabulary_version


def test_the_latest_image_is_segmented_with_the_active_queries(
    peer: Peer, camera: Any, regions: Recorder, states: Recorder
) -> None:
    ask(peer, states, "red mug; bowl; green book")
    message = show(peer, camera, regions, picture(3))
    answer = segment(peer, SegmentImage.Request(use_latest=True))
    assert answer.success and answer.regions.vocabulary_version == message.vocabulary_version
    assert answer.regions.header == message.header and message.regions
    assert [(r.id, r.phrase, r.area) for r in answer.regions.regions] == [
        (r.id, r.phrase, r.area) for r in message.regions
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoding": "32FC1"}, "encoding '32FC1' is not supported"),
        ({"data": array.array("B", bytes(100))}, "100 bytes of data"),
        ({"height": 0}, "each side must be"),
    ],
    ids=["encoding", "short", "size"],
)
def test_a_bad_image_is_refused_with_its_reason(
    peer: Peer, node: NodeProcess, change: dict[str, object], reason: str
) -> None:
    image = peer.image(picture())
    for field, value in change.items():
        setattr(image, field, value)
    answer = segment(peer, SegmentImage.Request(image=image))
    assert not answer.success and reason in answer.message and not answer.mask.data


def test_queries_that_cannot_be_used_are_told(peer: Peer, node: NodeProcess) -> None:
    image = peer.image(picture())
    some = QueryArray(queries=[Query(text="cup"), Query(text="z" * 300)])
    partly = segment(peer, SegmentImage.Request(image=image, queries=some))
    assert partly.success and "300 characters" in partly.message and partly.regions.query == "cup"
    none = segment(peer, SegmentImage.Request(image=image, queries=QueryArray(queries=[Query(text=" ")])))
    assert not none.success and "empty" in none.message
    background = QueryArray(queries=[Query(text="table", background=True)])
    nothing = segment(peer, SegmentImage.Request(image=image, queries=background))
    assert not nothing.success and "nothing is looked for" in nothing.message


def test_a_paused_node_leaves_images_alone(
    peer: Peer, camera: Any, regions: Recorder, states: Recorder, diagnostics: Recorder
) -> None:
    ask(peer, states, "red mug; bowl; green book")
    show(peer, camera, regions, picture())
    assert set_enabled(peer, False).success
    before = peer.fresh_status(diagnostics)
    published = len(regions.messages)
    message = peer.image(picture(2))
    camera.publish(message)
    wait_until(
        lambda: (
            int(peer.status(diagnostics).get("images_dropped.paused", 0))
            == int(before.get("images_dropped.paused", 0)) + 1
        ),
        "the image is counted as dropped",
    )
    status = peer.fresh_status(diagnostics)
    assert status["network_runs"] == before["network_runs"] and len(regions.messages) == published
    assert status["is_paused"] == "true" and "paused" in status["message"] and status["level"] == "0"

    asked = segment(peer, SegmentImage.Request(use_latest=True))
    assert asked.success and asked.regions.header == message.header, "who asks for one image still gets it"

    assert set_enabled(peer, True).success
    assert show(peer, camera, regions, picture(3)).regions
    assert peer.fresh_status(diagnostics)["is_paused"] == "false"


def test_images_keep_coming_while_requests_are_answered(
    peer: Peer, camera: Any, regions: Recorder, states: Recorder
) -> None:
    """New phrases take the encoder seconds; an image that comes meanwhile is answered before."""
    ask(peer, states, "bowl")
    client = peer.node.create_client(EncodeText, "/openseg/encode_text")
    wait_until(client.service_is_ready, "the service")
    future = client.call_async(EncodeText.Request(texts=[f"quite new thing number {i} of many" for i in range(200)]))
    for seed in range(3):
        show(peer, camera, regions, picture(seed))
    was_waiting = not future.done()
    wait_until(future.done, "the vectors", 2 * SLOW_S)
    assert future.result().success and was_waiting
    peer.node.destroy_client(client)


def test_an_inactive_node_says_so(
    start_node: NodeStarter, node: NodeProcess, options: list[str], peer: Peer, states: Recorder
) -> None:
    """The last test of the shared node."""
    assert states.messages[-1].status == QueryState.ACTIVE
    assert peer.change_state("deactivate")
    image = SegmentImage.Request(image=peer.image(picture()))
    for answer in (find(peer, "cup"), segment(peer, image), set_enabled(peer, False)):
        assert not answer.success and "not active" in answer.message
    assert encode(peer, ["cup"]).success, "words need no images"
    assert peer.change_state("activate")
    answer = find(peer, "cup")
    assert not answer.success and "no image" in answer.message, "images of the life before are forgotten"
    assert node.interrupt() == 0 and "Traceback" not in node.output(), node.output()
    assert "[ERROR]" not in node.output(), node.output()
