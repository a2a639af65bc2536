"""The example planner against the real node, and the layouts for RViz and Foxglove: every topic exists, as they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ros.depth_rig import SIZE, DepthRig, metres
from ros.ros_peer import NodeProcess, Peer, Recorder, picture, wait_until

from openseg_ros.msg import RegionArray

ROOT = Path(__file__).resolve().parents[2]
PLANNER = ROOT / "examples" / "grasp_point.py"
TYPES = {
    "Image": "sensor_msgs/msg/Image",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
}


@pytest.fixture(scope="module")
def topics(node: NodeProcess, peer: Peer) -> dict[str, list[str]]:
    """Types of the topics on the network."""
    wait_until(lambda: "/openseg/overlay" in dict(peer.node.get_topic_names_and_types()), "the node's topics")
    return dict(peer.node.get_topic_names_and_types())


def start_planner(domain: int, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(PLANNER), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_example_planner_prints_the_centroid_of_what_it_asked_for(
    peer: Peer, regions: Recorder, domain: int
) -> None:
    rig = DepthRig(peer, {"regions": regions})
    rig.calibrate()
    planner = start_planner(domain, "green book", "--timeout", "60")
    shown = []
    while planner.poll() is None:
        shown.append(rig.show(picture(), metres(np.full(SIZE, 1.25, np.float32)))[1]["regions"])
        time.sleep(0.1)
    out, error = planner.communicate()
    assert planner.returncode == 0, error
    answers: list[RegionArray] = [message for message in shown if message.query == "green book"]
    best = max((region for region in answers[-1].regions if region.phrase == "green book"), key=lambda r: r.score)
    at = best.centroid
    wanted = f"green book ({best.score:.2f}): {at.x:.3f} {at.y:.3f} {at.z:.3f} m in camera_color_optical_frame"
    assert out.strip() == wanted
    assert at.z == pytest.approx(1.25)


def test_the_example_planner_says_why_there_is_no_grasp_point(node: NodeProcess, domain: int) -> None:
    planner = start_planner(domain, "green book", "--timeout", "5")  # nobody shows an image
    out, error = planner.communicate(timeout=120)
    assert (planner.returncode, out) == (1, "")
    assert error.strip() == "not found in 5 s: no image arrived"


def test_rviz_shows_topics_of_the_node_with_its_quality_of_service(topics: dict[str, list[str]]) -> None:
    layout = yaml.safe_load((ROOT / "config" / "openseg.rviz").read_text())
    displays = [entry for entry in layout["Visualization Manager"]["Displays"] if "Topic" in entry]
    assert len(displays) == 3
    for display in displays:
        assert topics[display["Topic"]["Value"]] == [TYPES[display["Class"].split("/")[1]]]
        assert display["Topic"]["Reliability Policy"] == "Best Effort"  # as qos.py has it for pictures and clouds
    launch = (ROOT / "launch" / "openseg.launch.py").read_text()
    (remapped,) = re.findall(r"RVIZ_TOPICS = (\(.*?\))", launch)
    assert {display["Topic"]["Value"] for display in displays} == {
        f"/openseg/{name}" for name in yaml.safe_load(remapped.replace("(", "[").replace(")", "]"))
    }


def test_foxglove_shows_topics_of_the_node(topics: dict[str, list[str]]) -> None:
    layout = json.loads((ROOT / "config" / "openseg_foxglove.json").read_text())
    panels = layout["configById"]
    named = set(re.findall(r"/(?:openseg/[a-z_/]+|diagnostics)", json.dumps(panels)))
    assert len(named) == 7 and named <= set(topics)
    placed = re.findall(r'"(?:first|second)": "([^"]+)"', json.dumps(layout["layout"]))
    assert sorted(placed) == sorted(panels)
    query = panels["Publish!query"]
    assert topics[query["topicName"]] == [query["datatype"].replace("/", "/msg/")]
    assert list(json.loads(query["value"])) == ["data"]
