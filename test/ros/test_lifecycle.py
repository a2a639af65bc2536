"""The lifecycle over the standard services: every transition, every failure with its reason, every way to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros.ros_peer import (
    LATCHED,
    START_TIMEOUT_S,
    NodeProcess,
    Peer,
    Recorder,
    picture,
    wait_until,
    wait_until_active,
)
from sensor_msgs.msg import Image

from openseg_ros.msg import QueryState, RegionArray

CYCLES = 4
StartNode = Callable[..., NodeProcess]


def resident_megabytes(node: NodeProcess) -> float:
    """Resident memory of the process."""
    for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def stop(node: NodeProcess) -> None:
    assert node.interrupt() == 0, node.output()
    assert "Traceback" not in node.output()


def set_parameter(peer: Peer, name: str, value: object) -> str:
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    result = peer.call(SetParameters, "/openseg/set_parameters", request).results[0]
    return "" if result.successful else result.reason


@pytest.fixture
def idle_node(start_node: StartNode, options: list[str], peer: Peer) -> NodeProcess:
    """An unconfigured node."""
    node = start_node(*options, "--no-autostart", "--queries", "cup")
    wait_until(lambda: peer.state() == "unconfigured", "the node", START_TIMEOUT_S)
    return node


def test_every_transition(peer: Peer, idle_node: NodeProcess) -> None:
    assert not peer.change_state("activate"), "unconfigured nodes cannot be activated, and survive being asked"
    assert peer.state() == "unconfigured"
    memory: list[float] = []
    versions: list[int] = []
    for _ in range(CYCLES):
        assert peer.change_state("configure") and peer.state() == "inactive"
        assert peer.node.count_subscribers("/image") == 0, "an inactive node does not listen"
        assert peer.change_state("activate") and peer.state() == "active"
        camera = peer.publisher(Image, "/image")
        regions = peer.record(RegionArray, "/openseg/regions")
        states = peer.record(QueryState, "/openseg/query_state", LATCHED)
        message = peer.image(picture())
        wait_until(lambda: states.messages, "the latched state")  # noqa: B023
        camera.publish(message)
        answer = wait_until(lambda: regions.with_stamp(message.header), "an answer")[0]  # noqa: B023
        versions.append(answer.vocabulary_version)
        assert answer.query == "cup"
        assert peer.change_state("deactivate") and peer.state() == "inactive"
        wait_until(lambda: camera.get_subscription_count() == 0, "the image subscription is gone")  # noqa: B023
        assert peer.change_state("activate") and peer.change_state("deactivate"), "a second time"
        assert peer.change_state("cleanup") and peer.state() == "unconfigured"
        wait_until(lambda: peer.node.count_publishers("/openseg/mask") == 0, "the outputs are gone")
        memory.append(resident_megabytes(idle_node))
        peer.destroy_subscriptions()
        peer.node.destroy_publisher(camera)
    assert versions == sorted(set(versions)), "a version is never used for two vocabularies"
    assert memory[-1] < memory[0] + 60, f"memory grows with every cycle: {memory} MB"
    assert peer.change_state("shutdown") or peer.change_state("unconfigured_shutdown")
    assert peer.state() == "finalized"
    stop(idle_node)


@pytest.mark.parametrize("last", ["configure", "activate"])
def test_shutdown_from(peer: Peer, idle_node: NodeProcess, last: str) -> None:
    assert peer.change_state("configure")
    if last == "activate":
        assert peer.change_state("activate")
    assert peer.change_state("shutdown")
    assert peer.state() == "finalized"
    assert idle_node.is_alive()
    stop(idle_node)


def test_wrong_weights_are_explained_and_can_be_corrected(
    start_node: StartNode, peer: Peer, model_folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model_folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])
    node = start_node("--weights", str(tmp_path / "missing"), "--backend", "torch")
    diagnostics = peer.record(DiagnosticArray, "/diagnostics")
    wait_until(lambda: "missing" in peer.status(diagnostics).get("message", ""), "the reason", START_TIMEOUT_S)
    status = peer.status(diagnostics)
    assert status["state"] == "unconfigured" and status["level"] == "2" and "missing" in status["last_error"]
    assert "Traceback" not in node.output()

    assert set_parameter(peer, "weights", str(broken)) == ""
    assert not peer.change_state("configure")
    assert "damaged" in peer.fresh_status(diagnostics)["last_error"]
    assert peer.state() == "unconfigured"

    assert set_parameter(peer, "weights", str(model_folder)) == ""
    assert peer.change_state("configure")
    assert peer.fresh_status(diagnostics)["last_error"] == ""
    stop(node)
    peer.destroy_subscriptions()


def test_absurd_start_values_are_refused_with_reasons(
    start_node: StartNode, peer: Peer, model_folder: Path, tmp_path: Path
) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        f"/openseg:\n  ros__parameters:\n    weights: {model_folder}\n    backend: torch\n"
        "    score_threshold: 7.0\n    max_rate_hz: 5\n    publish_embeddings: maybe\n"
    )
    node = start_node("--params-file", str(parameters), "--no-autostart")
    wait_until(lambda: peer.state() == "unconfigured", "the node", START_TIMEOUT_S)
    diagnostics = peer.record(DiagnosticArray, "/diagnostics")
    assert not peer.change_state("configure")
    reason = peer.fresh_status(diagnostics)["last_error"]
    for expected in ("score_threshold", "7", "max_rate_hz must be a double", "off, matched, all"):
        assert expected in reason
    for name, value in (("score_threshold", 0.6), ("max_rate_hz", 5.0), ("publish_embeddings", "off")):
        assert set_parameter(peer, name, value) == ""
    assert peer.change_state("configure"), "valid values clear the fault"
    stop(node)
    peer.destroy_subscriptions()


def test_bad_default_queries_are_a_configuration_error(start_node: StartNode, options: list[str], peer: Peer) -> None:
    node = start_node(*options, "--queries", "cup;" + "x" * 300)
    diagnostics = peer.record(DiagnosticArray, "/diagnostics")
    wait_until(lambda: "default_queries" in peer.status(diagnostics).get("last_error", ""), "the reason", 60.0)
    assert peer.state() == "unconfigured"
    stop(node)
    peer.destroy_subscriptions()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_an_active_node_cleanly(start_node: StartNode, options: list[str], peer: Peer, number: int) -> None:
    node = start_node(*options, "--queries", "cup")
    wait_until_active(peer, node)
    camera = peer.publisher(Image, "/image")
    regions = peer.record(RegionArray, "/openseg/regions")
    for _ in range(3):
        camera.publish(peer.image(picture()))
    wait_until(lambda: regions.messages, "an answer")
    camera.publish(peer.image(picture()))  # one is in work when the signal comes
    assert node.interrupt(number) == 0, node.output()
    assert "Traceback" not in node.output() and "[ERROR]" not in node.output()
    peer.destroy_subscriptions()
    peer.node.destroy_publisher(camera)


def test_interrupt_while_configuring(start_node: StartNode, options: list[str], peer: Peer) -> None:
    node = start_node(*options)
    wait_until(lambda: "/openseg" in graph(peer), "the node's name in the graph", START_TIMEOUT_S)
    assert node.interrupt() == 0, node.output()
    assert "Traceback" not in node.output()


def graph(peer: Peer) -> list[str]:
    """Full names of the nodes that the peer sees."""
    return [f"{namespace.rstrip('/')}/{name}" for name, namespace in peer.node.get_node_names_and_namespaces()]


def test_namespace_name_and_remapping(start_node: StartNode, options: list[str], domain: int, peer: Peer) -> None:
    node = start_node(
        *options, "--namespace", "arm", "--name", "eye", "--image", "/camera/color/image_raw", "--no-overlay"
    )
    other = Peer(domain, "second_peer", "/arm/eye")
    try:
        wait_until_active(other, node)
        camera = other.publisher(Image, "/camera/color/image_raw")
        regions: Recorder = other.record(RegionArray, "/arm/eye/regions")
        overlay = other.record(Image, "/arm/eye/overlay")
        message = other.image(picture())
        camera.publish(message)
        wait_until(lambda: regions.with_stamp(message.header), "an answer")
        assert not overlay.messages
    finally:
        other.close()
    stop(node)
