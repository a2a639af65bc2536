"""A node that starts with converted networks runs without the libraries that take seconds to import."""

from __future__ import annotations

import ast

from ros.ros_peer import LATCHED, NodeStarter, Peer, picture, wait_until, wait_until_active
from sensor_msgs.msg import Image

from openseg_ros.msg import QueryState, RegionArray

RUN_AND_TELL = """
import sys, typer
from openseg_ros.cli.run import run
try:
    typer.run(run)
finally:
    print("modules:", sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {"torch", "transformers", "nltk", "scipy", "sklearn", "pandas", "matplotlib"}


def test_a_second_start_answers_a_sentence_without_heavy_imports(
    start_node: NodeStarter, peer: Peer, model_folder: object
) -> None:
    options = ("--weights", str(model_folder), "--backend", "openvino")
    first = start_node(*options, program=RUN_AND_TELL)
    wait_until_active(peer, first)
    assert first.interrupt() == 0
    second = start_node(*options, "--queries", "hand me the red mugs next to the banana", program=RUN_AND_TELL)
    wait_until_active(peer, second)
    states = peer.record(QueryState, "/openseg/query_state", LATCHED)
    regions = peer.record(RegionArray, "/openseg/regions")
    state = wait_until(lambda: states.messages, "the state of the query", 60.0)[-1]
    assert list(state.parsed_phrases) == ["red mugs"] and list(state.active[0].aliases) == ["red mug"]
    message = peer.image(picture())
    peer.publisher(Image, "/image").publish(message)
    (answer,) = wait_until(lambda: regions.with_stamp(message.header), "regions", 60.0)
    assert answer.query == "red mugs"
    assert second.interrupt() == 0
    imported = [set(ast.literal_eval(line[9:])) for line in second.output().splitlines() if line.startswith("modules:")]
    assert len(imported) == 1 and "openvino" in imported[0]
    assert not HEAVY & imported[0]
