"""The lifecycle over the standard services: every transition, every failure with its reason, every way to end."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import ReliabilityPolicy
from ros.ros_peer import (
    LATCHED,
    RELIABLE,
    START_TIMEOUT_S,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    parameter_file,
    picture,
    wait_until,
)
from safetensors.torch import load_file, save_file
from sensor_msgs.msg import Image

from openseg_ros.msg import QueryState, RegionArray

CYCLES = 3
LIVES = 50
WARM_UP = 10  # lives
GROWTH_PER_LIFE_MB = 0.5  # a third of the small network's weights; a text encoder takes 90


def stop(node: NodeProcess) -> None:
    assert node.interrupt() == 0, node.output()
    assert "Traceback" not in node.output()


@pytest.fixture(autouse=True)
def leave_nothing_behind(start_node: NodeStarter, peer: Peer) -> Iterator[None]:
    """A test that fails must not leave its node to the next one."""
    yield
    start_node.stop()
    peer.destroy_subscriptions()


def wait_for_node(peer: Peer) -> Recorder:
    """Wait for an unconfigured node; a recorder of its diagnostics."""
    wait_until(lambda: peer.state() == "unconfigured", "the node", START_TIMEOUT_S)
    return peer.record(DiagnosticArray, "/diagnostics")


def test_every_transition(start_node: NodeStarter, options: list[str], peer: Peer) -> None:
    node = start_node(*options, "--no-autostart", "--queries", "cup")
    wait_for_node(peer)
    assert not peer.change_state("activate"), "unconfigured nodes cannot be activated, and survive being asked"
    assert peer.state() == "unconfigured"
    versions: list[int] = []
    for _ in range(CYCLES):
        assert peer.change_state("configure") and peer.state() == "inactive"
        assert peer.node.count_subscribers("/image") == 0, "an inactive node does not listen"
        assert peer.change_state("activate") and peer.state() == "active"
        answer = ask_for_one_answer(peer)
        assert answer.query == "cup"
        versions.append(answer.vocabulary_version)
        assert peer.change_state("deactivate") and peer.state() == "inactive"
        wait_until(lambda: peer.node.count_subscribers("/image") == 0, "the image subscription is gone")
        assert peer.change_state("activate") and peer.change_state("deactivate"), "a second time"
        assert peer.change_state("cleanup") and peer.state() == "unconfigured"
        wait_until(lambda: peer.node.count_publishers("/openseg/mask") == 0, "the outputs are gone")
    assert versions == sorted(set(versions)), "a version is never used for two vocabularies"
    shut_down(peer, node)


@pytest.mark.timeout(600)  # the engine is compiled twice
def test_the_network_is_unloaded_while_inactive(
    start_node: NodeStarter, peer: Peer, model_folder: Path, tmp_path: Path
) -> None:
    engines = tmp_path / "engines"
    parameters = parameter_file(tmp_path, engine_cache_dir=str(engines), unload_on_deactivate=True)
    options = ("--weights", str(model_folder), "--backend", "openvino", "--queries", "cup", "--no-autostart")
    node = start_node(*options, "--params-file", parameters)
    diagnostics = wait_for_node(peer)
    assert peer.change_state("configure"), node.output()
    assert len(list(engines.iterdir())) == 2, "the network and the text encoder are kept where the parameter says"
    for _ in range(2):
        assert peer.change_state("activate") and peer.fresh_status(diagnostics)["is_loaded"] == "true"
        assert ask_for_one_answer(peer).query == "cup"
        assert peer.change_state("deactivate")
        diagnostics = peer.record(DiagnosticArray, "/diagnostics")
        assert peer.fresh_status(diagnostics)["is_loaded"] == "false"

    shutil.rmtree(engines)
    assert peer.change_state("activate"), "a kept network that has gone is made again"
    assert len(list(engines.iterdir())) == 1
    assert ask_for_one_answer(peer).query == "cup"
    shut_down(peer, node)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the engine is compiled first
def test_fifty_lives_with_flat_memory(start_node: NodeStarter, peer: Peer, model_folder: Path) -> None:
    """Configured, activated, one image answered, deactivated, cleaned up; with the engine that is CPUs' default."""
    node = start_node("--weights", str(model_folder), "--backend", "openvino", "--queries", "cup", "--no-autostart")
    wait_until(lambda: peer.state() == "unconfigured", "the node", START_TIMEOUT_S)
    camera = peer.node.create_publisher(Image, "/image", RELIABLE)
    answers = Recorder()
    peer.node.create_subscription(RegionArray, "/openseg/regions", answers.messages.append, RELIABLE)
    memory: list[float] = []
    threads_and_files: list[tuple[int, int]] = []
    for _ in range(LIVES):
        assert peer.change_state("configure") and peer.change_state("activate"), node.output()
        wait_until(lambda: camera.get_subscription_count() == 1, "the image subscription")
        message = peer.image(picture())

        def is_answered(message: Image = message) -> bool:
            camera.publish(message)  # again and again: publisher and subscriber may not know each other yet
            time.sleep(0.02)
            return bool(answers.with_stamp(message.header))

        wait_until(is_answered, "an answer")
        assert peer.change_state("deactivate") and peer.change_state("cleanup")
        wait_until(lambda: camera.get_subscription_count() == 0, "the image subscription is gone")
        answers.messages.clear()
        memory.append(node.resident_megabytes())
        threads_and_files.append((node.count("task"), node.count("fd")))
    peer.node.destroy_publisher(camera)
    # Allocators keep what they once had, so memory first rises a little; medians, because it is freed in steps.
    early, late = statistics.median(memory[WARM_UP : 2 * WARM_UP]), statistics.median(memory[-WARM_UP:])
    assert late - early < GROWTH_PER_LIFE_MB * (LIVES - 2 * WARM_UP), f"memory grows: {memory} MB"
    assert len(set(threads_and_files[WARM_UP:])) == 1, f"threads and files are left behind: {threads_and_files}"
    shut_down(peer, node)


def ask_for_one_answer(peer: Peer) -> RegionArray:
    """Send one image to an active node that looks for something."""
    camera = peer.publisher(Image, "/image")
    regions = peer.record(RegionArray, "/openseg/regions")
    states = peer.record(QueryState, "/openseg/query_state", LATCHED)
    wait_until(lambda: states.messages, "the latched state")
    assert states.messages[-1].status == QueryState.ACTIVE
    message = peer.image(picture())
    camera.publish(message)
    answer: RegionArray = wait_until(lambda: regions.with_stamp(message.header), "an answer")[0]
    assert answer.vocabulary_version == states.messages[-1].version
    peer.destroy_subscriptions()
    peer.node.destroy_publisher(camera)
    return answer


def shut_down(peer: Peer, node: NodeProcess) -> None:
    """Shut down from the present state; the process lives until it is told to end."""
    assert peer.change_state("shutdown")
    assert peer.state() == "finalized"
    assert node.is_alive()
    stop(node)


def test_wrong_weights_and_queries_are_explained_and_can_be_corrected(
    start_node: NodeStarter, options: list[str], peer: Peer, model_folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model_folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])

    node = start_node(*options, "--weights", str(tmp_path / "missing"), "--queries", "cup;" + "x" * 300)
    diagnostics = wait_for_node(peer)
    wait_until(lambda: "missing" in peer.status(diagnostics).get("message", ""), "the reason", START_TIMEOUT_S)
    status = peer.status(diagnostics)
    assert status["state"] == "unconfigured" and status["level"] == "2" and "missing" in status["last_error"]

    for value, reason in ((broken, "damaged"), (model_folder, "default_queries")):
        assert peer.set_parameter("weights", str(value)) == ""
        assert not peer.change_state("configure")
        assert reason in peer.fresh_status(diagnostics)["last_error"]
        assert peer.state() == "unconfigured"

    assert peer.set_parameter("default_queries", ["cup", "pick up the red mug"]) == ""
    assert peer.change_state("configure"), node.output()
    assert peer.fresh_status(diagnostics)["last_error"] == ""
    states = peer.record(QueryState, "/openseg/query_state", LATCHED)
    wait_until(lambda: states.messages, "the latched state")
    assert list(states.messages[-1].parsed_phrases) == ["cup", "red mug"]
    assert peer.change_state("cleanup")

    # Weights that load but give numbers that are none: an answer that says so, not silence.
    shutil.copytree(model_folder, tmp_path / "not_finite")
    state = load_file(model_folder / "model.safetensors")
    state["projection.weight"][:] = float("nan")
    save_file(state, tmp_path / "not_finite" / "model.safetensors")
    assert peer.set_parameter("weights", str(tmp_path / "not_finite")) == ""
    assert peer.change_state("configure") and peer.change_state("activate")
    answer = ask_for_one_answer(peer)
    assert answer.status == RegionArray.DEGRADED and not answer.regions
    assert peer.change_state("deactivate")
    shut_down(peer, node)


def test_absurd_start_values_are_refused_with_reasons(
    start_node: NodeStarter, peer: Peer, model_folder: Path, tmp_path: Path
) -> None:
    parameters = parameter_file(
        tmp_path,
        weights=str(model_folder),
        backend="torch",
        default_queries=["cup"],
        score_threshold=7.0,
        max_rate_hz=5,
        publish_embeddings="maybe",
        background_queries=[],
        qos_overrides={"/openseg/overlay": {"publisher": {"reliability": "reliable"}}},
    )
    node = start_node("--params-file", parameters, "--no-autostart")
    diagnostics = wait_for_node(peer)
    assert not peer.change_state("configure")
    reason = peer.fresh_status(diagnostics)["last_error"]
    for expected in ("score_threshold", "7", "max_rate_hz must be a double", "off, matched, all"):
        assert expected in reason
    for name, value in (("score_threshold", 0.6), ("max_rate_hz", 5.0), ("publish_embeddings", "off")):
        assert peer.set_parameter(name, value) == ""
    assert peer.change_state("configure"), "valid values clear the fault"
    assert peer.change_state("activate")
    (overlay,) = peer.node.get_publishers_info_by_topic("/openseg/overlay")
    assert overlay.qos_profile.reliability is ReliabilityPolicy.RELIABLE, "the user's quality of service wins"
    assert ask_for_one_answer(peer).embedding_dim == 0
    shut_down(peer, node)


def test_unreadable_parameter_file_ends_the_start(start_node: NodeStarter, tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("/openseg:\n  ros__parameters:\n    weights: [1, 'a'\n")
    node = start_node("--params-file", str(parameters))
    assert node.wait(START_TIMEOUT_S) == 2
    assert "parameter file" in node.output() and "Traceback" not in node.output()


@pytest.mark.parametrize("wait_for", ["nothing", "the node"])
def test_interrupt_while_starting(start_node: NodeStarter, options: list[str], peer: Peer, wait_for: str) -> None:
    node = start_node(*options)
    if wait_for == "nothing":
        wait_until(lambda: "loading" in node.output(), "the first line of the log", START_TIMEOUT_S)
    else:
        wait_until(lambda: "/openseg" in graph(peer), "the node's name in the graph", START_TIMEOUT_S)
    stop(node)


def graph(peer: Peer) -> list[str]:
    """Full names of the nodes that the peer sees."""
    return [f"{namespace.rstrip('/')}/{name}" for name, namespace in peer.node.get_node_names_and_namespaces()]
