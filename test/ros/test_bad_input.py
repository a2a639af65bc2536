"""Bad images and bad queries: each is refused, counted under its cause and explained; the node lives on."""

from __future__ import annotations

import array
from typing import Any

import pytest
from ros.ros_peer import (
    BEST_EFFORT,
    NodeProcess,
    Peer,
    Recorder,
    ask,
    picture,
    wait_until,
)
from sensor_msgs.msg import Image
from std_msgs.msg import String

from openseg_ros.msg import Query, QueryArray, QueryState, RegionArray
from openseg_ros.srv import SetQuery


@pytest.fixture(scope="module")
def options(options: list[str]) -> list[str]:
    return [*options, "--queries", "cup"]


@pytest.fixture(scope="module")
def camera(node: NodeProcess, peer: Peer) -> Any:
    return peer.publisher(Image, "/image")


def publish_and_wait_for_answer(peer: Peer, camera: Any, regions: Recorder) -> RegionArray:
    message = peer.image(picture())
    camera.publish(message)
    return wait_until(lambda: regions.with_stamp(message.header), "an answer after the bad images")[0]


def bad_image(peer: Peer, change: dict[str, object]) -> Image:
    message = peer.image(picture())
    for field, value in change.items():
        setattr(message, field, value)
    return message


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"encoding": "bayer_rggb8"}, "unsupported_encoding"),
        ({"encoding": "32FC1"}, "unsupported_encoding"),
        ({"encoding": ""}, "unsupported_encoding"),
        ({"width": 0}, "absurd_size"),
        ({"height": 0}, "absurd_size"),
        ({"height": 2**32 - 1, "width": 2**32 - 1}, "absurd_size"),
        ({"step": 1}, "step_too_small"),
        ({"data": array.array("B", bytes(100))}, "short_data"),
        ({"data": array.array("B")}, "short_data"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_bad_image_is_counted_and_survived(
    peer: Peer,
    node: NodeProcess,
    camera: Any,
    regions: Recorder,
    diagnostics: Recorder,
    change: dict[str, object],
    cause: str,
) -> None:
    key = f"bad_input.{cause}"
    before = int(peer.fresh_status(diagnostics).get(key, 0))
    message = bad_image(peer, change)
    camera.publish(message)
    wait_until(lambda: int(peer.status(diagnostics).get(key, 0)) == before + 1, f"{key} rises by one")
    answer = publish_and_wait_for_answer(peer, camera, regions)
    assert (answer.height, answer.width) == (120, 160)
    assert not regions.with_stamp(message.header), "a bad image has no result"
    assert node.is_alive()


def test_each_cause_is_logged_once(node: NodeProcess) -> None:
    """Runs after the images above, several of which have the same cause."""
    log = node.output()
    assert log.count("image refused: encoding 'bayer_rggb8'") == 1
    assert log.count("image refused: encoding") == 1
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ;  ; ", "empty"),
        ("\x01\x02", "empty"),
        ("x" * 10_000, "200"),
        (";".join(f"thing {number}" for number in range(1200)), "1000"),
    ],
    ids=["empty", "blank", "control", "10000 characters", "1200 phrases"],
)
def test_bad_query_is_refused_with_its_reason(peer: Peer, states: Recorder, text: str, reason: str) -> None:
    before = states.messages[-1]
    state = ask(peer, states, text)
    assert state.status == QueryState.REJECTED
    assert reason in f"{state.message} {' '.join(state.rejected)}".lower()
    assert state.version == before.version, "the vocabulary stays"
    assert [query.text for query in state.active] == [query.text for query in before.active]


def test_good_phrases_of_a_bad_query_are_used(peer: Peer, states: Recorder) -> None:
    request = SetQuery.Request()
    request.queries.queries = [Query(text="cup"), Query(text=" "), Query(text="y" * 500), Query(text="bowl")]
    request.queries.replace = True
    answer = peer.call(SetQuery, "/openseg/set_query", request)
    assert answer.success and list(answer.parsed_phrases) == ["cup", "bowl"]
    assert len(answer.rejected) == 2


def test_foreign_words_do_not_harm(peer: Peer, states: Recorder) -> None:
    state = ask(peer, states, "красная кружка; 红色的杯子; 🍌")
    assert state.status == QueryState.ACTIVE
    assert len([query for query in state.active if not query.background]) == 3


def test_refused_queries_are_counted(peer: Peer, node: NodeProcess, states: Recorder, diagnostics: Recorder) -> None:
    before = int(peer.fresh_status(diagnostics).get("bad_input.query_refused", 0))
    ask(peer, states, " ")
    wait_until(
        lambda: int(peer.status(diagnostics).get("bad_input.query_refused", 0)) == before + 1, "the counter rises"
    )
    assert node.is_alive()


def test_a_peer_with_another_quality_of_service_is_named(peer: Peer, node: NodeProcess, diagnostics: Recorder) -> None:
    publisher = peer.node.create_publisher(String, "/openseg/query", BEST_EFFORT)  # queries are read reliably
    wait_until(lambda: peer.status(diagnostics).get("incompatible_qos.~/query") == "1", "the peer is counted")
    assert "~/query: a peer's" in node.output()
    peer.node.destroy_publisher(publisher)


def test_thousand_queries_are_answered(peer: Peer, camera: Any, states: Recorder, regions: Recorder) -> None:
    queries = [Query(text=f"object number {number}") for number in range(1000)]
    request = SetQuery.Request(queries=QueryArray(queries=queries, replace=True))
    answer = peer.call(SetQuery, "/openseg/set_query", request, timeout=60.0)
    assert answer.success and len(answer.parsed_phrases) == 1000
    assert publish_and_wait_for_answer(peer, camera, regions).vocabulary_version == answer.version
