"""What the fields of a typed query and the thresholds among the parameters do to the answers, over real DDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ros.ros_peer import RELIABLE, NodeProcess, Peer, Recorder, picture, wait_until
from sensor_msgs.msg import Image

from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import Query, QueryArray, RegionArray
from openseg_ros.runtime.engine import create_engine
from openseg_ros.runtime.weights import load_weights
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.srv import SetQuery
from openseg_ros.text.text_encoder import load_text_encoder
from openseg_ros.text.vocabulary import Query as LibraryQuery
from openseg_ros.text.vocabulary import build_vocabulary

PARAMETER_QUERIES = tuple(LibraryQuery(name, background=True) for name in ("table", "wall", "floor"))

Expect = Callable[..., Segmentation]
Answer = Callable[..., tuple[RegionArray, np.ndarray]]


@pytest.fixture(scope="module")
def expect(model_folder: Path) -> Expect:
    """What the library says of the picture for queries, with settings."""
    weights = load_weights(model_folder)
    engine, encoder = create_engine(weights, "torch"), load_text_encoder("minilm")

    def segment(queries: list[LibraryQuery], **settings: float) -> Segmentation:
        segmenter = Segmenter(engine=engine, calibration=weights.calibration, settings=SegmenterSettings(**settings))
        vocabulary = build_vocabulary([*queries, *PARAMETER_QUERIES], encoder, 0)
        return segmenter.segment(segmenter.propose(picture()), vocabulary)

    return segment


@pytest.fixture(scope="module")
def answer(node: NodeProcess, peer: Peer, regions: Recorder) -> Answer:
    """What the node says of the picture for queries: regions and mask."""
    camera = peer.publisher(Image, "/image", RELIABLE)
    masks = peer.record(Image, "/openseg/mask")

    def show(*queries: Query) -> tuple[RegionArray, np.ndarray]:
        request = SetQuery.Request(queries=QueryArray(queries=list(queries), replace=True))
        version = peer.call(SetQuery, "/openseg/set_query", request).version
        message = peer.image(picture())
        camera.publish(message)
        recorders = (regions, masks)
        wait_until(lambda: all(recorder.with_stamp(message.header) for recorder in recorders), "regions and mask")
        found, mask = (recorder.with_stamp(message.header)[0] for recorder in recorders)
        assert found.vocabulary_version == version
        return found, decode_ids(mask)

    return show


def same(answered: tuple[RegionArray, np.ndarray], want: Segmentation) -> None:
    regions, mask = answered
    assert [region.phrase for region in regions.regions] == list(want.regions.phrase)
    np.testing.assert_allclose([region.score for region in regions.regions], want.regions.score, atol=1e-5)
    assert regions.status == int(want.status)
    np.testing.assert_array_equal(mask, want.mask)


def test_a_region_may_match_an_alias(answer: Answer, expect: Expect) -> None:
    want = expect([LibraryQuery("qqq", aliases=("green book",))])
    assert want.regions.score[0] > expect([LibraryQuery("qqq")]).regions.score[0] + 0.1, "the alias decides here"
    regions, mask = answer(Query(text="qqq", aliases=["green book"]))
    assert {region.phrase for region in regions.regions} == {"qqq"}
    same((regions, mask), want)


def test_a_query_may_have_a_threshold_of_its_own(answer: Answer, expect: Expect) -> None:
    strict, free = LibraryQuery("red mug", threshold=0.95), LibraryQuery("red mug", threshold=0.05)
    wanted = expect([strict]), expect([LibraryQuery("red mug")]), expect([free])
    assert len({len(want.regions) for want in wanted}) == 3, "it decides here"
    for threshold, want in zip((0.95, -1.0, 0.05), wanted, strict=True):
        same(answer(Query(text="red mug", threshold=threshold)), want)


def test_background_takes_pixels_and_is_not_reported(answer: Answer, expect: Expect) -> None:
    alone = expect([LibraryQuery("toy")])
    want = expect([LibraryQuery("toy"), LibraryQuery("train", background=True)])
    assert np.count_nonzero(want.mask == 1) < np.count_nonzero(alone.mask == 1), "it takes some here"
    regions, mask = answer(Query(text="toy"), Query(text="train", background=True))
    assert "train" not in {region.phrase for region in regions.regions}
    same((regions, mask), want)


@pytest.mark.parametrize(
    ("name", "value", "default", "phrase"),
    [("margin_threshold", 0.3, 0.05, "bowl"), ("score_threshold", 0.8, 0.5, "bowl"), ("nms_iou", 0.3, 0.8, "red mug")],
)
def test_parameters_of_the_segmenter(
    answer: Answer, expect: Expect, peer: Peer, name: str, value: float, default: float, phrase: str
) -> None:
    before, after = expect([LibraryQuery(phrase)]), expect([LibraryQuery(phrase)], **{name: value})
    assert (before.status, len(before.regions)) != (after.status, len(after.regions)) or not np.array_equal(
        before.regions.score, after.regions.score
    ), "it decides here"
    same(answer(Query(text=phrase)), before)
    assert not peer.set_parameter(name, value)
    same(answer(Query(text=phrase)), after)
    assert not peer.set_parameter(name, default)
