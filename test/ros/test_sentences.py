"""A sentence on ~/query chooses the target by its relations, as the library does, and says why where it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
from ros.ros_peer import RELIABLE, NodeProcess, Peer, Recorder, ask, picture, wait_until
from sensor_msgs.msg import Image

from openseg_ros.image_messages import decode_ids
from openseg_ros.msg import RegionArray
from openseg_ros.segmenter.segmentation import Status
from openseg_ros.segmenter.segmenter import Segmenter
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
            masks.add(mask.tobytes())
            seen[wanted.status] = (said, seed, wanted.target_result)
        status = peer.fresh_status(diagnostics)
        result = wanted.target_result
        assert status["target"] == " ".join([result.status.name, result.reason]).strip()
    assert len(masks) > 2, "different places are different targets"
    assert len(seen) > 1, "sentences that succeed and sentences that do not"
