"""A sentence on ~/query chooses the target by its relations, as the library does, and says why where it cannot."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from ros.ros_peer import RELIABLE, NodeProcess, Peer, Recorder, ask, picture, wait_until
from sensor_msgs.msg import Image

from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import Query as QueryMessage
from openseg_ros.msg import QueryArray, RegionArray
from openseg_ros.segmenter.segmentation import Status
from openseg_ros.segmenter.segmenter import Segmenter
from openseg_ros.srv import SegmentImage, SetQuery
from openseg_ros.text.command import parse_query_text
from openseg_ros.text.text_encoder import load_text_encoder
from openseg_ros.text.vocabulary import Query, build_vocabulary

SENTENCES = (
    "pick the leftmost bowl",
    "pick the rightmost bowl",
    "grab the bowl next to the red mug",
    "grab the bowl to the left of the green book",
    "find the largest bowl behind the red mug",
)


def test_typed_queries_have_relations_too(peer: Peer, node: NodeProcess, states: Recorder, library: Segmenter) -> None:
    """A planner's phrases on ~/query_array, ~/set_query and in ~/segment_image: understood, echoed, and obeyed."""
    typed = QueryArray(
        replace=True,
        queries=[QueryMessage(text="red mug"), QueryMessage(text="bowl to the left of the green book", is_target=True)],
    )
    echoed = (["red mug", "bowl"], "'bowl' is chosen by: left of 'green book'")
    answer = peer.call(SetQuery, "/openseg/set_query", SetQuery.Request(queries=typed))
    assert answer.success and (list(answer.parsed_phrases), answer.message) == echoed
    typed.queries[1].text = "pick the leftmost bowl"
    peer.publisher(QueryArray, "/openseg/query_array", RELIABLE).publish(typed)
    wait_until(lambda: states.messages[-1].version > answer.version, "the state")
    assert (list(states.messages[-1].parsed_phrases), states.messages[-1].message) == (
        ["red mug", "bowl"],
        "'bowl' is chosen by: left",
    )

    encoder = load_text_encoder("minilm")
    background = [Query(phrase, background=True) for phrase in ("table", "wall", "floor")]
    targets = set()
    for said in SENTENCES:
        vocabulary = build_vocabulary((*parse_query_text(said).queries, *background), encoder, 1)
        wanted = library.segment(library.propose(picture(0)), vocabulary)
        request = SegmentImage.Request(
            image=peer.image(picture(0)), queries=QueryArray(queries=[QueryMessage(text=said)])
        )
        found = peer.call(SegmentImage, "/openseg/segment_image", request)
        assert found.success and found.regions.query == "bowl"
        assert (found.regions.status, len(found.regions.regions)) == (wanted.status, len(wanted.regions)), said
        assert found.regions.target_id == (wanted.target_region or 0)
        targets.add(wanted.status)
    assert len(targets) > 1, "sentences that succeed and sentences that do not"


def test_sentences_choose_as_the_library_does(
    peer: Peer,
    node: NodeProcess,
    regions: Recorder,
    states: Recorder,
    diagnostics: Recorder,
    library: Segmenter,
) -> None:
    camera = peer.publisher(Image, "/image", RELIABLE)
    targets = peer.record(Image, "/openseg/target_mask")
    encoder = load_text_encoder("minilm")
    background = [Query(phrase, background=True) for phrase in ("table", "wall", "floor")]
    seen: dict[Status, Any] = {}
    masks = set()
    for said in SENTENCES:
        state = ask(peer, states, said)
        assert list(state.parsed_phrases) == ["bowl"]
        assert "'bowl' is chosen by: " in state.message
        vocabulary = build_vocabulary((*parse_query_text(said).queries, *background), encoder, state.version)
        for seed in (0, 1):
            wanted = library.segment(library.propose(picture(seed)), vocabulary)
            assert wanted.target_result is not None
            message = peer.image(picture(seed))
            camera.publish(message)
            wait_until(lambda: regions.with_stamp(message.header), "regions", 60.0)  # noqa: B023
            wait_until(lambda: targets.with_stamp(message.header), "the target", 60.0)  # noqa: B023
            answer: RegionArray = regions.with_stamp(message.header)[0]
            mask = decode_ids(targets.with_stamp(message.header)[0])
            assert answer.status == wanted.status, said
            assert {region.phrase for region in answer.regions} <= {"bowl"}
            np.testing.assert_array_equal(mask, wanted.target_mask, err_msg=said)
            rois = [region.roi for region in answer.regions if region.id == answer.target_id]
            assert [(roi.x_offset, roi.y_offset, roi.width, roi.height) for roi in rois] == [
                cv2.boundingRect(mask) for _ in range(int(mask.any()))
            ], "the target's region is the one of the target mask, and there is none without a target"
            masks.add(mask.tobytes())
            seen[wanted.status] = (said, seed, wanted.target_result)
        status = peer.fresh_status(diagnostics)
        result = wanted.target_result
        assert status["target"] == " ".join([result.status.name, result.reason]).strip()
    assert len(masks) > 2, "different places are different targets"
    assert len(seen) > 1, "sentences that succeed and sentences that do not"
