"""`openseg evaluate-bag --live` over real DDS: a recorded camera is played to a node, whose answers are measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ros.ros_peer import (
    OPENSEG,
    START_TIMEOUT_S,
    CommandStarter,
    NodeProcess,
    NodeStarter,
    Peer,
    Recorder,
    ask,
    picture,
    wait_until,
)
from typer.testing import CliRunner
from written_bag import SECOND, START, Message, image, png, string, write_bag

from openseg_ros.cli.main import app
from openseg_ros.segmenter.segmenter import Segmenter
from openseg_ros.text.text_encoder import load_text_encoder
from openseg_ros.text.vocabulary import Query, build_vocabulary

pytestmark = pytest.mark.timeout(900)  # nodes start; on a loaded machine that takes minutes
PHRASES = ("red mug", "bowl")
BACKGROUND = ("table", "wall", "floor")  # the node's default
IMAGES = 8
PERIOD_NS = SECOND // 4
END_TIMEOUT_S = 600.0


def recorded_camera(folder: Path, library: Segmenter, topic: str) -> Path:
    """A bag with images, and as the truth what the library answers to them."""
    queries = [*map(Query, PHRASES), *(Query(phrase, background=True) for phrase in BACKGROUND)]
    vocabulary = build_vocabulary(queries, load_text_encoder("minilm"), 1)
    names = {str(number): phrase for number, phrase in enumerate(PHRASES, start=1)}
    messages: list[Message] = [("/ground_truth/names", START, string(json.dumps(names)))]
    shown = set()
    for number in range(IMAGES):
        stamp, rgb = START + number * PERIOD_NS, picture(number)
        labels = library.segment(library.propose(rgb), vocabulary).mask.astype(np.uint16)
        labels[labels > len(PHRASES)] = 0
        shown |= set(np.unique(labels).tolist())
        messages.append((topic, stamp, image(stamp, rgb)))
        messages.append(("/ground_truth/instances/compressed", stamp, png(stamp, labels, "16UC1")))
    assert shown == {0, 1, 2}, "the truth must show every phrase"
    return write_bag(folder / "camera", messages)


@pytest.fixture(scope="module")
def unheard_bag(library: Segmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded camera to whose topic no node listens."""
    return recorded_camera(tmp_path_factory.mktemp("bag"), library, "/nobody_listens")


@pytest.fixture(scope="module", autouse=True)
def alone(start_node: NodeStarter, unheard_bag: Path) -> NodeProcess:
    """A command that waits in vain for a node, beside all other tests: that takes it half a minute."""
    arguments = ("evaluate-bag", str(unheard_bag), "--live", "--node", "/nowhere")
    return start_node(*arguments, program=OPENSEG)


def test_a_node_that_runs(
    node: NodeProcess, peer: Peer, states: Recorder, openseg: CommandStarter, library: Segmenter, tmp_path: Path
) -> None:
    """Its masks are those of the library, so they agree with the truth to the last pixel."""
    ask(peer, states, ";".join(PHRASES))
    bag = recorded_camera(tmp_path, library, "/image")
    kept, out = tmp_path / "kept", tmp_path / "out"
    command = openseg("evaluate-bag", bag, "--live", "--keep", kept, "--out", out, "--min-miou", "0.999")
    assert command.wait(END_TIMEOUT_S) == 0, command.output()
    record = json.loads((out / "evaluation.json").read_text())
    assert (record["bag"], record["camera"]) == (str(kept), "/image")
    assert record["truth"] == f"ground truth of {bag}"
    figures = record["figures"]
    assert IMAGES // 2 < figures["answers"] == figures["compared_images"] <= IMAGES
    assert figures["miou"] == figures["grounding_miou"] == 1.0
    assert 0.0 < figures["latency_from_image_p50_s"] < 15.0
    page = (out / "report.html").read_text()
    assert "Evaluation of kept" in page and "All bounds are kept." in page and page.count("<figcaption>") == 4

    # What was kept is a run like any other: the same figures without a node.
    offline = CliRunner().invoke(app, ["evaluate-bag", str(kept), "--truth", str(bag), "--json"])
    assert json.loads(offline.stdout)["figures"] == figures
    assert node.is_alive()


@pytest.mark.slow
def test_a_node_of_its_own(
    peer: Peer, openseg: CommandStarter, library: Segmenter, model_folder: Path, tmp_path: Path
) -> None:
    """It listens to the bag's camera, is asked by an option, and is gone afterwards; nothing is kept."""
    bag = recorded_camera(tmp_path, library, "/arm/camera/image_raw")
    options = ["--node", "/arm/eyes", "--weights", model_folder, "--queries", ";".join(PHRASES), "--json"]
    command = openseg("evaluate-bag", bag, "--live", *options)
    assert command.wait(END_TIMEOUT_S) == 0, command.output()
    record = json.loads(command.output())
    assert (record["bag"], record["camera"]) == (str(bag), "/arm/camera/image_raw")
    figures = record["figures"]
    assert figures["answers"] == figures["compared_images"] > 0
    assert figures["miou"] > 0.9  # another engine than the truth's
    wait_until(lambda: "eyes" not in peer.node.get_node_names(), "the node's end")


def test_one_of_several_cameras(
    start_node: NodeStarter, options: list[str], peer: Peer, openseg: CommandStarter, library: Segmenter, tmp_path: Path
) -> None:
    cameras = ["--name", "rig", "--cameras", "wrist, front", "--image", "/rig/{camera}/image"]
    node = start_node(*options, *cameras, "--queries", ";".join(PHRASES))
    wait_until(lambda: peer.node.count_subscribers("/rig/front/image"), "the node", START_TIMEOUT_S)
    bag = recorded_camera(tmp_path, library, "/rig/front/image")
    command = openseg("evaluate-bag", bag, "--live", "--node", "/rig/front", "--json")
    assert command.wait(END_TIMEOUT_S) == 0, command.output()
    figures = json.loads(command.output())["figures"]
    assert figures["compared_images"] > IMAGES // 2 and figures["miou"] == 1.0
    assert node.is_alive()


def test_what_cannot_be_run_is_explained(
    alone: NodeProcess, openseg: CommandStarter, unheard_bag: Path, tmp_path: Path
) -> None:
    bag = unheard_bag
    wrong = openseg("evaluate-bag", bag, "--live", "--node", "/other", "--weights", tmp_path / "missing")
    other = openseg("evaluate-bag", bag, "--live", "--node", "/third", "--weights", "x", "--camera", "/none")
    for command, words in (
        (alone, f"error: no active node /nowhere listens to images of '{bag}', which has /ground_truth/instances"),
        (wrong, f"error: the node cannot be configured: no model '{tmp_path / 'missing'}'"),
        (other, f"error: '{bag}' has no colour images on /none; it has them on /nobody_listens"),
    ):
        assert command.wait(END_TIMEOUT_S) == 1, command.output()
        assert words in command.output() and "Traceback" not in command.output()


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--weights", "tabletop"], "needs --live"), (["--live", "--queries", "cup"], "needs --weights")],
)
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, options: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["evaluate-bag", str(tmp_path), *options])
    assert result.exit_code == 2 and words in result.stderr
