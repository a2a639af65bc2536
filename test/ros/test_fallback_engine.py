"""Where the wanted engine is missing, `backend: auto` takes torch, and /diagnostics says so for as long as it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from ros.ros_peer import RELIABLE, NodeStarter, Peer, parameter_file, picture, wait_until, wait_until_active
from sensor_msgs.msg import Image

from openseg_ros.msg import RegionArray

WARN = "1"


def test_without_openvino(
    domain: int, peer: Peer, model_folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('No module named openvino')\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    starter = NodeStarter(domain, tmp_path_factory.mktemp("log"), {"PYTHONPATH": path})
    parameters = parameter_file(tmp_path)
    try:
        node = starter("--weights", str(model_folder), "--backend", "auto", "--params-file", parameters)
        wait_until_active(peer, node)
        diagnostics = peer.record(DiagnosticArray, "/diagnostics")
        regions = peer.record(RegionArray, "/openseg/regions")
        camera = peer.publisher(Image, "/image", RELIABLE)
        message = peer.image(picture())
        camera.publish(message)
        (answer,) = wait_until(lambda: regions.with_stamp(message.header), "an answer", 60.0)
        assert answer.status == RegionArray.NO_QUERY
        status = peer.fresh_status(diagnostics)
        assert status["level"] == WARN and "degraded" in status["message"] and "openvino" in status["message"]
        assert status["backend"].startswith("torch") and "openvino" in status["backend_fallback"]
        assert node.interrupt() == 0
    finally:
        starter.stop()
