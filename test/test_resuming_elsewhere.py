"""A run that is resumed on another machine: what decides its numbers is compared with what decided them before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from small_model import SMALL
from tiny_coco import write_tiny_coco

from training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.data.sources import DataSource
from training.run import Run, open_run


def test_a_run_goes_on_in_its_own_precision_and_on_its_own_kind_of_device(tmp_path: Path) -> None:
    write_tiny_coco(tmp_path / "tiny", 2)
    model = replace(SMALL, input_size=(64, 96))
    config = TrainConfig(
        model=model, text_encoder="minilm", sources=(DataSource("tiny"),), batch=2, workers=0, tensorboard=False
    )
    checkpoint = tmp_path / "checkpoint.safetensors"

    def opened(precision: str) -> Run:
        """As `precision: auto` is on a machine of that one."""
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = Accelerator(cpu=True, mixed_precision=precision)
        return open_run(config, tmp_path, tmp_path / "words", accelerator, checkpoint)

    run = opened("no")
    save_checkpoint(checkpoint, run.network, run.optimizer.optimizer, 1, run.facts)
    assert opened("no").first_step == 1
    with pytest.raises(CheckpointError, match=r"config\.precision = fp32, this one has bf16"):
        opened("bf16")
    with pytest.raises(CheckpointError, match="device = cpu, this one has cuda"):
        load_checkpoint(checkpoint, run.network, run.optimizer.optimizer, {**run.facts, "device": "cuda"})
