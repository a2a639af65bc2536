"""`openseg record` and `openseg replay` over real DDS: what goes into a bag comes out again, in time."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.duration import Duration
from rclpy.serialization import deserialize_message
from ros.ros_peer import (
    ANSWER_TIMEOUT_S,
    BEST_EFFORT,
    LATCHED,
    RELIABLE,
    START_TIMEOUT_S,
    CommandStarter,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    ask,
    picture,
    wait_until,
    wait_until_active,
)
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from typer.testing import CliRunner
from written_bag import SECOND, START, string, write_bag

from openseg_ros.bags.message_types import types_of
from openseg_ros.cli.main import app
from openseg_ros.msg import QueryState, RegionArray


def until_said(command: NodeProcess, text: str) -> None:
    def said() -> bool:
        assert command.is_alive(), command.output()
        return text in command.output()

    wait_until(said, f"the words '{text}'", START_TIMEOUT_S)
    time.sleep(0.3)  # until DDS has told the publisher


def contents(bag: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Per topic, the recording times and the serialised messages."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    with Reader(bag) as reader:
        for connection, stamp, content in reader.messages():
            found.setdefault(connection.topic, []).append((stamp, bytes(content)))
    return found


@pytest.mark.timeout(900)  # the node starts; on a loaded machine that takes minutes
def test_a_talk_with_the_node_is_recorded_whole(
    start_node: NodeStarter, options: list[str], model_folder: Path, peer: Peer, openseg: CommandStarter, tmp_path: Path
) -> None:
    node = start_node(*options)
    wait_until_active(peer, node)
    states = peer.record(QueryState, "/openseg/query_state", LATCHED)
    bag = tmp_path / "bag"
    recording = openseg("record", bag)
    camera = peer.publisher(Image, "/image", BEST_EFFORT)  # appears later than the recorder
    until_said(recording, "recording /image (sensor_msgs/msg/Image)")
    until_said(recording, "recording /openseg/regions")
    state = ask(peer, states, "red mug; bowl")
    sent = []
    regions = peer.record(RegionArray, "/openseg/regions")
    for seed in range(4):
        message = peer.image(picture(seed))
        sent.append(message)
        camera.publish(message)
        wait_until(lambda header=message.header: regions.with_stamp(header), "the answer")
    before = time.time_ns()
    time.sleep(0.5)
    assert recording.interrupt(signal.SIGINT) == 0, recording.output()

    found = contents(bag)
    assert set(found) == {
        "/image",
        "/openseg/regions",
        "/openseg/mask/compressed",
        "/openseg/query",
        "/openseg/query_state",
    }, recording.output()
    assert [deserialize_message(content, Image) for _, content in found["/image"]] == sent
    with Reader(bag) as reader:
        store = types_of(reader)
        kinds = {connection.topic: connection for connection in reader.connections}

        def messages(topic: str) -> list[Any]:
            return [store.deserialize_cdr(content, kinds[topic].msgtype) for _, content in found[topic]]

        stamps = [message.header.stamp.sec for message in sent]
        assert [message.header.stamp.sec for message in messages("/openseg/regions")] == stamps
        assert [message.header.stamp.sec for message in messages("/openseg/mask/compressed")] == stamps
        assert {message.vocabulary_version for message in messages("/openseg/regions")} == {state.version}
        assert [message.data for message in messages("/openseg/query")] == ["red mug; bowl"]
        versions = [message.version for message in messages("/openseg/query_state")]
        assert versions[0] < state.version == versions[-1]  # the latched first one came too
        (offered,) = kinds["/openseg/query_state"].ext.offered_qos_profiles
        assert (offered.durability, offered.reliability) == (QosDurability.TRANSIENT_LOCAL, QosReliability.RELIABLE)
        (offered,) = kinds["/image"].ext.offered_qos_profiles
        assert offered.reliability == QosReliability.BEST_EFFORT
    times = [stamp for stamp, _ in found["/openseg/regions"]]
    assert all(image < answer < before for (image, _), answer in zip(found["/image"], times, strict=True))
    check_what_the_commands_make_of_it(bag, model_folder, regions.messages)


def check_what_the_commands_make_of_it(bag: Path, model_folder: Path, answers: list[RegionArray]) -> None:
    searched = CliRunner().invoke(app, ["search", str(bag), "red mug", "--weights", str(model_folder), "--json"])
    assert searched.exit_code == 0, searched.output
    found = json.loads(searched.stdout)
    assert found["regions"] == sum(len(answer.regions) for answer in answers)
    scores = {
        (answer.header.stamp.sec, region.id): region.score
        for answer in answers
        for region in answer.regions
        if region.phrase == "red mug"
    }
    assert scores, "the random network takes no region for a red mug: choose other pictures"
    best = found["phrases"][0]["best"]
    # From the recorded vectors alone, the probability that the node gave: its best mug, or a better one among bowls.
    assert best["score"] >= max(scores.values()) - 1e-4
    here = (best["stamp_ns"] // SECOND, best["region"])
    assert here not in scores or best["score"] == pytest.approx(scores[here], abs=1e-4)

    evaluated = CliRunner().invoke(app, ["evaluate-bag", str(bag), "--max-query-switch", "60", "--json"])
    figures = json.loads(evaluated.stdout)["figures"]
    assert evaluated.exit_code == 0, evaluated.output
    assert (figures["answers"], figures["dropped"], figures["unanswered_queries"]) == (4, 0, 0)
    assert 0 < figures["latency_from_image_p50_s"] <= figures["latency_from_image_max_s"] < 15
    assert figures["latency_from_stamp_p50_s"] is None  # the pictures' stamps are of 1970


def test_chosen_topics_in_every_format(peer: Peer, openseg: CommandStarter, tmp_path: Path) -> None:
    kept = peer.node.create_publisher(String, "/kept", RELIABLE)
    other = peer.node.create_publisher(String, "/other", RELIABLE)
    recordings = {
        tmp_path / f"{storage}_{compression}": openseg(
            *("record", tmp_path / f"{storage}_{compression}", "kept"),
            *("--storage", storage, "--compression", compression),
        )
        for storage in ("mcap", "sqlite3")
        for compression in ("none", "file", "message")
    }
    for recording in recordings.values():
        until_said(recording, "recording /kept (std_msgs/msg/String)")
    wait_until(lambda: kept.get_subscription_count() == len(recordings), "the recorders")
    time.sleep(0.5)  # a recorder may know the publisher later than the publisher knows it
    for number in range(20):
        kept.publish(String(data=f"message {number}"))
        other.publish(String(data="not this"))
    assert kept.wait_for_all_acked(Duration(seconds=ANSWER_TIMEOUT_S))
    for recording in recordings.values():
        assert recording.interrupt(signal.SIGTERM) == 0
    peer.node.destroy_publisher(kept)
    peer.node.destroy_publisher(other)
    for bag in recordings:
        found = contents(bag)
        assert set(found) == {"/kept"}, bag.name
        words = [deserialize_message(content, String).data for _, content in found["/kept"]]
        assert words == [f"message {number}" for number in range(20)], bag.name


def test_a_bag_that_exists_is_not_touched(openseg: CommandStarter, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    recording = openseg("record", tmp_path / "bag", "/kept")
    assert recording.wait(START_TIMEOUT_S) == 1
    assert f"cannot write the bag '{tmp_path / 'bag'}'" in recording.output()
    assert "Traceback" not in recording.output()


def test_nothing_to_record_is_an_error(openseg: CommandStarter, tmp_path: Path) -> None:
    recording = openseg("record", tmp_path / "bag", "/nobody", "--duration", "0.5")
    assert recording.wait(START_TIMEOUT_S) == 1
    assert "nothing was recorded" in recording.output()


TIMES = [0.0, 0.5, 0.6, 1.5]  # seconds


@pytest.fixture
def words_bag(tmp_path: Path) -> Path:
    words = [("/words", START + round(at * SECOND), string(str(number))) for number, at in enumerate(TIMES)]
    return write_bag(tmp_path / "words", [*words, ("/more", START + SECOND, string("more"))])


class Listener:
    """Words with their times of arrival."""

    def __init__(self, peer: Peer, topic: str = "/words") -> None:
        self.arrived: list[tuple[str, float]] = []
        self._subscription = peer.node.create_subscription(String, topic, self._take, RELIABLE)
        self._peer = peer

    def _take(self, message: String) -> None:
        self.arrived.append((message.data, time.monotonic()))

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.arrived]

    def close(self) -> None:
        self._peer.node.destroy_subscription(self._subscription)


@pytest.fixture
def listener(peer: Peer) -> Iterator[Listener]:
    listener = Listener(peer)
    yield listener
    listener.close()


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_replay_keeps_the_recorded_pace(
    peer: Peer, openseg: CommandStarter, words_bag: Path, listener: Listener, rate: float
) -> None:
    playing = openseg("replay", words_bag, "--rate", rate, "/words", "--wait", "20")
    assert playing.wait(START_TIMEOUT_S) == 0, playing.output()
    wait_until(lambda: len(listener.words) == 4, "the last word")
    assert listener.words == ["0", "1", "2", "3"]
    assert "4 messages played" in playing.output()
    times = np.array([at for _, at in listener.arrived])
    late = times - times[0] - np.array(TIMES) / rate
    # A busy machine delays any word, and the player sends none early: these are early by what the first one was late.
    # At the recorded pace the last word would be early by 1.5 s or late by 1 s.
    assert late.min() > -0.25 and late.max() < 0.9, late


def test_a_looped_bag_begins_again_and_ends_with_ctrl_c(
    peer: Peer, openseg: CommandStarter, words_bag: Path, listener: Listener
) -> None:
    clock = Recorder()
    subscription = peer.node.create_subscription(Clock, "/clock", clock.messages.append, 1000)
    playing = openseg("replay", words_bag, "--loop", "--clock", "--rate", "3")
    wait_until(lambda: len(listener.words) >= 13, "the fourth round", START_TIMEOUT_S)
    assert playing.interrupt(signal.SIGINT) == 0, playing.output()
    peer.node.destroy_subscription(subscription)
    begun = listener.words.index("0")  # the first words may pass before player and listener know each other
    assert listener.words[begun : begun + 10] == list("0123012301")
    assert "nobody listens to /more" in playing.output()
    assert "Traceback" not in playing.output()
    seconds = np.array([message.clock.sec + message.clock.nanosec / SECOND for message in clock.messages])
    seconds -= START / SECOND
    assert seconds.min() > -0.05 and seconds.max() < 1.55
    assert np.count_nonzero(np.diff(seconds) < 0) >= 2  # back at the start of every round, rising in between
    assert np.median(np.diff(seconds)) == pytest.approx(0.03, abs=0.02)  # every 10 ms, three times as fast


def test_a_latched_topic_is_latched_again(peer: Peer, openseg: CommandStarter, tmp_path: Path) -> None:
    publisher = peer.node.create_publisher(String, "/latched", LATCHED)
    publisher.publish(String(data="still here"))
    recording = openseg("record", tmp_path / "bag", "/latched")
    until_said(recording, "recording /latched")
    wait_until(lambda: publisher.get_subscription_count() > 0, "the recorder")
    assert publisher.wait_for_all_acked(Duration(seconds=ANSWER_TIMEOUT_S))
    assert recording.interrupt() == 0, recording.output()
    peer.node.destroy_publisher(publisher)
    playing = openseg("replay", tmp_path / "bag", "--loop", "--wait", "0.5")
    heard = peer.record(String, "/latched", LATCHED)
    wait_until(lambda: heard.messages, "the latched word")
    assert heard.messages[0].data == "still here"
    assert playing.interrupt() == 0


def test_an_unknown_topic_is_named_with_those_that_there_are(openseg: CommandStarter, words_bag: Path) -> None:
    playing = openseg("replay", words_bag, "/wrods")
    assert playing.wait(START_TIMEOUT_S) == 1
    assert f"'{words_bag}' has no topic /wrods; it has /more, /words" in " ".join(playing.output().split())


def test_a_bad_rate_is_refused(openseg: CommandStarter, words_bag: Path) -> None:
    playing = openseg("replay", words_bag, "--rate", "0")
    assert playing.wait(START_TIMEOUT_S) == 2
    assert "not a positive number" in " ".join(playing.output().split())
