"""Two real CPU processes (gloo) against one process with the doubled batch.

BatchNorm is in evaluation mode here: torch has no SyncBatchNorm for CPUs, and statistics of half a batch are others.
This file is also the program that the two processes run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from small_model import SMALL
from tiny_coco import write_tiny_coco

from openseg_ros.configuration import to_mapping
from openseg_ros.model.openseg import OpenSeg
from training.config import TrainConfig
from training.data.samples import Batch
from training.distributed import Gather, shared_mean, synchronise_batch_norm
from training.objective import Objective

HERE = Path(__file__).parent
WORDS = 11
MODEL = replace(SMALL, input_size=(32, 64), embedding_dim=24)
METHODS = {
    "synced": TrainConfig(model=MODEL, grounding_sync=True, segmentation_weight=3.0, activation_checkpointing=True),
    "local": TrainConfig(model=MODEL, grounding_sync=False, segmentation_weight=3.0),
    "lseg": TrainConfig(model=MODEL, method="lseg"),
}


def make_network() -> OpenSeg:
    torch.manual_seed(1)
    return OpenSeg(MODEL).eval()


def make_table() -> torch.Tensor:
    return torch.randn(WORDS, MODEL.embedding_dim, generator=torch.Generator().manual_seed(2))


def make_batch(rank: int) -> Batch:
    """Three images. The processes differ in most words and labels; one caption has no word, one image no label."""
    random = torch.Generator().manual_seed(10 + rank)
    most_words, most_labels = ((3, 2), (5, 4))[rank]
    word_exists = torch.rand(3, most_words, generator=random) < 0.7
    word_exists[:, 0] = True
    label_exists = torch.ones(3, most_labels, dtype=torch.bool)
    if rank == 1:
        word_exists[1] = False
        label_exists[:2] = False
    height, width = MODEL.grid
    classes = torch.randint(-1, WORDS, (3, height, width), generator=random)
    labels = torch.rand(3, most_labels, height, width, generator=random) < 0.3
    classes[rank] = -1  # cells of the processes count differently
    if rank == 1:
        classes[0] = -1
    return Batch(
        images=torch.randn(3, 3, *MODEL.input_size, generator=random),
        valid=torch.ones(3, height, width),
        labels=labels.float() * label_exists[..., None, None],
        label_exists=label_exists,
        words=torch.randint(WORDS, (3, most_words), generator=random) * word_exists,
        word_exists=word_exists,
        classes=classes,
    )


def doubled_batch() -> Batch:
    """Both processes' images in one batch, padded to the longer."""
    parts = [vars(make_batch(rank)) for rank in range(2)]

    def joined(name: str) -> torch.Tensor:
        tensors = [part[name] for part in parts]
        longest = max(tensor.shape[1] for tensor in tensors)
        padded = [
            torch.cat([tensor, tensor.new_zeros(tensor.shape[0], longest - tensor.shape[1], *tensor.shape[2:])], 1)
            for tensor in tensors
        ]
        return torch.cat(padded)

    return Batch(**{name: joined(name) for name in parts[0]})


def one_of_two_processes(out: Path) -> None:
    """Losses (averaged over the processes) and gradients (as DistributedDataParallel leaves them) of every method."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    gather = Gather(rank=accelerator.process_index, processes=accelerator.num_processes)
    assert accelerator.num_processes == 2
    assert not synchronise_batch_norm(make_network(), accelerator.device, 2)
    results = {}
    for method, config in METHODS.items():
        network = make_network()
        objective = accelerator.prepare(Objective(network, config, gather))
        objective.eval()
        losses = objective(make_batch(accelerator.process_index), make_table())
        accelerator.backward(losses["loss"])
        results |= {f"{method}/{key}": accelerator.reduce(value.detach(), "mean") for key, value in losses.items()}
        results |= {f"{method}/gradient/{k}": p.grad for k, p in network.named_parameters() if p.grad is not None}
    none = shared_mean(torch.tensor(0.0), torch.tensor(0), gather)
    total, count = ((6.0, 1), (2.0, 3))[gather.rank]
    unequal = shared_mean(torch.tensor(total), torch.tensor(count), gather)
    results |= {"none": none, "unequal": accelerator.reduce(unequal, "mean")}
    if accelerator.is_main_process:
        save_file({key: value.contiguous() for key, value in results.items()}, out)
    # Wrappers of DistributedDataParallel before the process group: the other way round they can wait for each other.
    del objective
    accelerator.free_memory()
    accelerator.end_training()


TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]


def launch(program: list[str], log: Path, launcher: Sequence[str] = TORCHRUN) -> subprocess.Popen[bytes]:
    """Start two processes."""
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, "-m", *launcher, *program]
    with log.open("wb") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)


def finish(process: subprocess.Popen[bytes], log: Path, seconds: float = 200) -> None:
    try:
        assert process.wait(seconds) == 0, log.read_text()[-3000:]
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 the launcher and its processes at once; torchrun starts each in a session of its own."""
    if process.poll() is None:
        for started in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            started.kill()
        process.wait()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("two")
    process = launch([__file__, str(folder / "results.safetensors")], folder / "log")
    finish(process, folder / "log")
    return load_file(folder / "results.safetensors")


@pytest.mark.parametrize("method", ["synced", "lseg"])
def test_loss_and_gradients_equal_those_of_one_process_with_the_doubled_batch(
    method: str, two_processes: dict[str, torch.Tensor]
) -> None:
    network = make_network()
    losses = Objective(network, METHODS[method], None)(doubled_batch(), make_table())
    losses["loss"].backward()
    for key, value in losses.items():
        assert two_processes[f"{method}/{key}"].item() == pytest.approx(value.item(), rel=1e-5), key
    gradients = {key: p.grad for key, p in network.named_parameters() if p.grad is not None}
    assert gradients["log_temperature"].abs() > 1e-4
    assert {f"{method}/gradient/{key}" for key in gradients} == {
        key for key in two_processes if key.startswith(f"{method}/gradient/")
    }
    for key, gradient in gradients.items():
        torch.testing.assert_close(two_processes[f"{method}/gradient/{key}"], gradient, rtol=1e-3, atol=2e-6, msg=key)


def test_local_grounding_loss_is_the_mean_over_the_processes_and_masks_count_alike(
    two_processes: dict[str, torch.Tensor],
) -> None:
    objective = Objective(make_network(), METHODS["local"], None)
    alone = [objective(make_batch(rank), make_table())["grounding"].item() for rank in range(2)]
    whole = objective(doubled_batch(), make_table())
    assert two_processes["local/grounding"].item() == pytest.approx(sum(alone) / 2, rel=1e-5)
    assert two_processes["local/segmentation"].item() == pytest.approx(whole["segmentation"].item(), rel=1e-5)
    # The test could not tell local from synced if they were near each other here.
    assert abs(two_processes["local/grounding"] - two_processes["synced/grounding"]) > 0.1


def test_mean_over_processes_with_unequal_counts(two_processes: dict[str, torch.Tensor]) -> None:
    assert two_processes["unequal"].item() == pytest.approx((6 + 2) / (1 + 3))
    assert two_processes["none"].item() == 0


@pytest.mark.slow
@pytest.mark.timeout(600)  # three launches of two processes; a minute on a free machine
def test_two_processes_killed_between_checkpoints_resume_to_equal_bytes(tmp_path: Path) -> None:
    write_tiny_coco(tmp_path / "tiny", 8)
    config = {
        "model": {**to_mapping(MODEL), "input_size": [32, 64], "embedding_dim": 384},
        **{"text_encoder": "minilm", "sources": [{"folder": "tiny"}], "grounding_sync": True, "batch": 2},
        **{"steps": 40, "checkpoint_every": 20, "log_every": 1, "picture_every": 40, "tensorboard": False},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    log = tmp_path / "log"

    def options(name: str) -> list[str]:
        folders = ["--data", str(tmp_path), "--out", str(tmp_path / name)]
        return ["-m", "training.train", "--config", str(tmp_path / "config.yaml"), *folders]

    finish(launch(options("whole"), log, ACCELERATE), log)
    process = launch(options("killed"), log)
    lines = tmp_path / "killed" / "log.jsonl"
    try:
        deadline = time.monotonic() + 200
        while not lines.exists() or len(lines.read_text().splitlines()) <= 20:
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.005)
    finally:
        kill(process)
    assert 20 < len(lines.read_text().splitlines()) < 40, "the run was not interrupted where it should"
    finish(launch(options("killed"), log), log)
    said = log.read_text()
    assert "2 processes of 2 x 1 images" in said and "steps 20..40" in said, said
    for name in ("model.safetensors", "checkpoint.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    alone = [sys.executable, *options("whole"), "--set", "steps=42"]
    refused = subprocess.run(alone, capture_output=True, text=True, timeout=200)
    assert refused.returncode == 2 and "processes = 2, this one has 1" in refused.stderr


if __name__ == "__main__":
    torch.set_num_threads(1)
    one_of_two_processes(Path(sys.argv[1]))
