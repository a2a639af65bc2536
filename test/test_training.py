"""The trainer as a person runs it: it learns, it resumes bit for bit after a kill, it explains mistakes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from small_model import SMALL
from tiny_coco import write_tiny_coco

from openseg_ros.configuration import to_mapping
from openseg_ros.runtime.weights import load_weights
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import OptimizerConfig
from training.train import build_optimizer, learning_rate

STEPS = 12


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_tiny_coco(folder / "tiny", 8)
    config = {
        "model": {**to_mapping(SMALL), "input_size": [64, 96]},
        "text_encoder": "minilm",
        "sources": [{"folder": "tiny"}],
        "optimizer": {"kind": "adamw", "learning_rate": 0.003, "warmup_steps": 2},
        "batch": 4,
        "steps": STEPS,
        "log_every": 1,
        "checkpoint_every": 1,
        "picture_every": STEPS,
        "workers": 0,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def command(configuration: Path, out: Path) -> list[str]:
    options = ["--config", str(configuration), "--out", str(out), "--data", str(configuration.parent)]
    return [sys.executable, "-m", "training.train", *options]


def test_killed_run_resumes_to_equal_weights_and_learns(configuration: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(configuration, whole), check=True, capture_output=True, timeout=200)
    process = subprocess.Popen(command(configuration, killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (killed / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with safe_open(killed / "checkpoint.safetensors", framework="pt") as file:
        step = int(file.metadata()["step"])
    assert 1 <= step < STEPS, "the run was not interrupted"
    subprocess.run(command(configuration, killed), check=True, capture_output=True, timeout=200)

    first, second = load_weights(whole).state, load_weights(killed).state
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)

    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert lines[-1]["segmentation"] < lines[0]["segmentation"]
    assert (whole / "pictures" / f"{STEPS:06d}.png").stat().st_size > 1000


def test_mistakes_end_with_one_line(configuration: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("stepps: 3\n")
    result = subprocess.run(command(wrong, tmp_path / "out"), capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert "unknown configuration key 'stepps'; did you mean 'steps'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_checkpoint_restores_network_and_optimizer(tmp_path: Path) -> None:
    def make(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
        return network, build_optimizer(network, OptimizerConfig(kind="adamw"))

    network, optimizer = make(0)
    network(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path / "c.safetensors", network, optimizer, 17)
    restored, restored_optimizer = make(1)
    assert load_checkpoint(tmp_path / "c.safetensors", restored, restored_optimizer) == 17
    for key, value in network.state_dict().items():
        assert torch.equal(value, restored.state_dict()[key])
    ours, theirs = optimizer.state_dict()["state"], restored_optimizer.state_dict()["state"]
    assert all(torch.equal(ours[i][key], theirs[i][key]) for i in ours for key in ours[i])


def test_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=10)
    assert learning_rate(0, 110, config) == pytest.approx(0.01)
    assert learning_rate(9, 110, config) == pytest.approx(0.1)
    assert learning_rate(60, 110, config) == pytest.approx(0.05)
    assert learning_rate(110, 110, config) == pytest.approx(0, abs=1e-9)


def test_weight_decay_only_on_weights_of_convolutions_and_linear_layers() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    groups = build_optimizer(network, OptimizerConfig()).param_groups
    assert [sum(p.numel() for p in group["params"]) for group in groups] == [12 + 8, 4 + 4 + 4 + 2]
    assert [group["weight_decay"] for group in groups] == [1e-5, 0.0]
