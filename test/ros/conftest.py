"""Process fixtures: the real node in a process of its own, spoken to over real DDS from the test's process.

The network is real, its weights are random (fixed seed), so that these tests need no training. Expected results are
computed with the same library in the test's process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="these tests need the ROS 2 wheels: make setup")
pytest.importorskip("openseg_ros.msg", reason="these tests need the compiled messages: make setup")

from openseg_ros.cli.run import use_large_shared_memory

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
use_large_shared_memory()  # the sender's segment counts, and the test sends the images

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from ros.ros_peer import (  # noqa: E402
    LATCHED,
    OPENSEG,
    CommandStarter,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    parameter_file,
    picture,
    wait_until,
    wait_until_active,
)

from openseg_ros.msg import QueryState, RegionArray  # noqa: E402
from openseg_ros.runtime.engine import create_engine  # noqa: E402
from openseg_ros.runtime.weights import load_weights  # noqa: E402
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings  # noqa: E402


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real network with random weights whose masks and scores depend on the image.

    Random networks give all regions nearly one embedding. Taking the mean away (by the bias of the embedding
    head, which is linear) and a steep calibration make some regions answer a phrase and others not.
    """
    import torch

    from openseg_ros.model.config import ModelConfig
    from openseg_ros.model.openseg import OpenSeg
    from openseg_ros.runtime.calibration import CalibrationNumbers
    from openseg_ros.runtime.weights import ModelDescription, save_weights

    torch.manual_seed(3)
    config = ModelConfig(
        backbone="resnet18",
        backbone_width=0.25,
        input_size=(128, 160),
        hidden_dim=32,
        embedding_dim=384,
        num_queries=24,
        attention_heads=4,
        attention_blocks=1,
        head_convs=1,
        position_embedding="factored",
        mask_logit_scale=6.0,
        mask_logit_bias=0.0,
    )
    network = OpenSeg(config).eval()
    with torch.no_grad():
        pixels = (torch.from_numpy(picture()).permute(2, 0, 1)[None].float() - 128) / 128
        pixels = torch.nn.functional.pad(pixels, (0, 0, 4, 4))
        projection, network.projection = network.projection, torch.nn.Identity()
        embeddings = network(pixels, torch.ones(1, *config.grid))["embeddings"]
        network.projection = projection
        last_bias = [parameter for name, parameter in network.embedding_head.named_parameters() if "bias" in name][-1]
        last_bias -= embeddings.mean((0, 1))
    folder = tmp_path_factory.mktemp("models") / "random"
    description = ModelDescription(config, calibration=CalibrationNumbers(scale=30.0, bias=0.0))
    save_weights(folder, network.state_dict(), description)
    return folder


@pytest.fixture(scope="session")
def library(model_folder: Path) -> Segmenter:
    """The library with the node's weights and settings, in the test's process."""
    weights = load_weights(model_folder)
    return Segmenter(
        engine=create_engine(weights, "torch"),
        calibration=weights.calibration,
        settings=SegmenterSettings(),
    )


@pytest.fixture(scope="module")
def start_node(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeStarter]:
    """Starts the real node in a process of its own."""
    starter = NodeStarter(domain, tmp_path_factory.mktemp("log"))
    yield starter
    starter.stop()


@pytest.fixture
def openseg(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandStarter]:
    """Starts the command in the tests' ROS domain."""
    starter = NodeStarter(domain, tmp_path_factory.mktemp("log"))

    def start(*arguments: object) -> NodeProcess:
        return starter(*map(str, arguments), program=OPENSEG)

    yield start
    starter.stop()


@pytest.fixture(scope="module")
def peer(domain: int) -> Iterator[Peer]:
    """The test's side of the conversation."""
    other = Peer(domain)
    yield other
    other.close()


@pytest.fixture(scope="module")
def options(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of `openseg run` for the random network on the quickly started engine."""
    parameters = parameter_file(tmp_path_factory.mktemp("parameters"))
    return ["--weights", str(model_folder), "--backend", "torch", "--params-file", parameters]


@pytest.fixture(scope="module")
def node(start_node: NodeStarter, options: list[str], peer: Peer) -> NodeProcess:
    """One active node for the tests of a module; a module with other needs overrides `options`."""
    process = start_node(*options)
    wait_until_active(peer, process)
    return process


@pytest.fixture(scope="module")
def states(node: NodeProcess, peer: Peer) -> Recorder:
    """States of the query, the latched first one included."""
    recorder = peer.record(QueryState, "/openseg/query_state", LATCHED)
    wait_until(lambda: recorder.messages, "the first state of the query")
    return recorder


@pytest.fixture(scope="module")
def regions(node: NodeProcess, peer: Peer) -> Recorder:
    """Answers."""
    return peer.record(RegionArray, "/openseg/regions")


@pytest.fixture(scope="module")
def diagnostics(node: NodeProcess, peer: Peer) -> Recorder:
    """Diagnostics."""
    return peer.record(DiagnosticArray, "/diagnostics")
