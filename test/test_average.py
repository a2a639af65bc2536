"""The average of two models: every tensor, the later one's configuration, and what cannot be averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from small_model import SMALL, random_weights
from typer.testing import CliRunner

from openseg_ros.runtime.weights import load_weights
from training.average import main

app = typer.Typer()
app.command()(main)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    return random_weights(tmp_path / "earlier", seed=1).folder


def test_tensors_are_averaged_and_the_later_configuration_counts(earlier: Path, tmp_path: Path) -> None:
    later = random_weights(tmp_path / "later", replace(SMALL, center_regions=True), seed=2)
    out = tmp_path / "average"
    result = CliRunner().invoke(app, [str(earlier), str(later.folder), "--share", "0.25", "--out", str(out)])
    assert result.exit_code == 0, result.output
    average, first = load_weights(out), load_weights(earlier).state
    assert average.description.model.center_regions
    assert average.calibration.scale == 1.0  # of no use for other weights
    for name, tensor in average.state.items():
        if tensor.is_floating_point():
            expected = (0.75 * first[name] + 0.25 * later.state[name]).half().float()
            assert torch.equal(tensor, expected), name
        else:
            assert torch.equal(tensor, later.state[name]), name


def test_other_shapes_are_refused_and_nothing_is_written(earlier: Path, tmp_path: Path) -> None:
    later = random_weights(tmp_path / "later", replace(SMALL, num_queries=6))
    result = CliRunner().invoke(app, [str(earlier), str(later.folder), "--out", str(tmp_path / "average")])
    assert result.exit_code == 2
    message = " ".join(result.output.split())
    assert "cannot be averaged: queries is (12, 32) in the first, (6, 32) in the second" in message
    assert not (tmp_path / "average").exists()
