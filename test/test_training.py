"""The trainer as a person runs it: it learns, it resumes bit for bit after a kill, it explains mistakes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
import typer
import yaml
from accelerate import Accelerator
from safetensors import safe_open
from small_model import SMALL, random_weights
from tiny_coco import write_tiny_coco
from typer.testing import CliRunner, Result

from openseg_ros.configuration import to_mapping
from openseg_ros.model.openseg import OpenSeg
from openseg_ros.runtime.weights import WeightsError, load_weights
from training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.config import OptimizerConfig, TrainConfig, load_train_config
from training.data.samples import Batch
from training.optimizer import bound_temperature, build_optimizer, learning_rate, set_learning_rate
from training.precision import mixed_precision
from training.run import LoadedBatches, Run, open_run
from training.run_log import RunLog
from training.train import main, train

STEPS = 20
CHECKPOINT_EVERY = 10


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
        "checkpoint_every": CHECKPOINT_EVERY,
        "picture_every": STEPS,
        "workers": 0,
        "tensorboard": False,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def small(configuration: Path, **changes: object) -> TrainConfig:
    return replace(load_train_config(configuration), **changes)  # type: ignore[arg-type]


def opened(config: TrainConfig, configuration: Path, cache: Path) -> Run:
    # In the precision that `train` finds by itself: accelerate has one for the life of a process.
    accelerator = Accelerator(mixed_precision=mixed_precision("auto", torch.device("cpu")))
    return open_run(config, configuration.parent, cache / "words", accelerator, cache / "no.safetensors")


def command(configuration: Path, out: Path, *more: str) -> list[str]:
    options = ["--config", str(configuration), "--out", str(out), "--data", str(configuration.parent)]
    return [sys.executable, "-m", "training.train", *options, *more]


def run_command(configuration: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(configuration, out, *more), capture_output=True, text=True, timeout=200)


def in_process(configuration: Path, out: Path, *more: str) -> Result:
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, ["--config", str(configuration), "--out", str(out), *more])


def logged(out: Path) -> list[dict[str, float]]:
    path = out / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_run_killed_between_checkpoints_resumes_to_equal_bytes_and_learns(configuration: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_command(configuration, whole).returncode == 0
    process = subprocess.Popen(command(configuration, killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while len(logged(killed)) < CHECKPOINT_EVERY + 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert CHECKPOINT_EVERY < len(logged(killed)) < 2 * CHECKPOINT_EVERY, "the run was not interrupted where it should"
    with safe_open(killed / "checkpoint.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["run"])["step"] == CHECKPOINT_EVERY
    with (killed / "log.jsonl").open("a") as stream:
        stream.write('{"step": 13, "lo')  # a line that the kill cut
    assert run_command(configuration, killed).returncode == 0

    for name in ("model.safetensors", "checkpoint.safetensors", "model.yaml"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    times = {"seconds", "waiting"}
    lines = logged(whole)
    figures, resumed = (
        [{key: value for key, value in line.items() if key not in times} for line in logged(folder)]
        for folder in (whole, killed)
    )
    assert figures == resumed
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert lines[-1]["segmentation"] < lines[0]["segmentation"]
    seconds = [line["seconds"] for line in logged(killed)]
    assert seconds == sorted(seconds)
    picture = cv2.imread(str(whole / "pictures" / f"{STEPS:06d}.png"))
    assert picture.shape == (4 * 64, 5 * 96, 3)


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("stepps: 3\n", (), "unknown configuration key 'stepps'; did you mean 'steps'?"),
        ("batch: 0\n", (), "'batch' is 0; it must be at least 1"),
        ("{}\n", ("--set", "steps"), "'steps' is not of the form key=value"),
        ("sources: [{folder: absent}]\ntensorboard: false\n", (), "absent"),
        ("sources: []\ntensorboard: false\n", (), "'sources' is empty"),
        ("sources: [{folder: tiny}]\ntext_encoder: minilm\ntensorboard: false\n", (), "gives 384 numbers a word"),
        ("sources: [{folder: tiny}]\ntext_encoder: absent\ntensorboard: false\n", (), "unknown text encoder 'absent'"),
    ],
)
def test_mistakes_are_explained(
    content: str, more: tuple[str, ...], message: str, configuration: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(content)
    result = in_process(wrong, tmp_path / "out", "--data", str(configuration.parent), *more)
    assert result.exit_code == 2
    assert message in result.stderr and "Traceback" not in result.stderr


def test_diverging_run_ends_and_saves_nothing_of_it(configuration: Path, tmp_path: Path) -> None:
    options = ["--data", str(configuration.parent), "--set", "optimizer.learning_rate=1.0e+30"]
    result = in_process(configuration, tmp_path, *options, "--set", "checkpoint_every=1")
    assert result.exit_code == 2
    assert "Lower optimizer.learning_rate" in result.stderr
    assert not (tmp_path / "model.safetensors").exists() and not (tmp_path / "checkpoint.safetensors").exists()


def test_output_folder_that_cannot_be_written_is_named(configuration: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = in_process(configuration, tmp_path / "file" / "out", "--data", str(configuration.parent))
    assert result.exit_code == 2
    assert str(tmp_path / "file") in result.stderr


def test_another_run_is_not_resumed(configuration: Path, tmp_path: Path) -> None:
    train(small(configuration, steps=2), configuration.parent, tmp_path)
    other = small(configuration, steps=2, optimizer=OptimizerConfig(kind="adamw", learning_rate=0.1, warmup_steps=2))
    with pytest.raises(CheckpointError, match=r"config.optimizer.learning_rate = 0.003, this one has 0.1"):
        train(other, configuration.parent, tmp_path)
    longer = small(configuration, steps=3, log_every=2, checkpoint_every=7, picture_every=9, workers=1)
    train(longer, configuration.parent, tmp_path)
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3]
    with (tmp_path / "checkpoint.safetensors").open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(CheckpointError, match="damaged"):
        train(longer, configuration.parent, tmp_path)


def test_changed_data_is_not_resumed(configuration: Path, tmp_path: Path) -> None:
    write_tiny_coco(tmp_path / "data" / "tiny", 4)
    train(small(configuration, steps=1), configuration.parent, tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"source_sizes = \[8\], this one has \[4\]"):
        train(small(configuration, steps=2), tmp_path / "data", tmp_path / "out")


def test_lseg_learns_class_names_and_saves_an_ordinary_model(configuration: Path, tmp_path: Path) -> None:
    config = small(configuration, method="lseg", steps=12, picture_every=12)
    fresh = opened(config, configuration, tmp_path)
    assert fresh.names == ("ball", "box", "table")
    train(config, configuration.parent, tmp_path)
    losses = [line["loss"] for line in logged(tmp_path)]
    assert losses[-1] < 0.7 * losses[0]
    weights = load_weights(tmp_path)
    trained, untouched = weights.build_network().state_dict(), fresh.network.state_dict()
    assert torch.allclose(trained["mask_head.0.weight"], untouched["mask_head.0.weight"], atol=1e-3)
    assert not torch.allclose(trained["embedding_head.0.weight"], untouched["embedding_head.0.weight"], atol=1e-3)
    assert cv2.imread(str(tmp_path / "pictures" / "000012.png")).shape == (4 * 64, 4 * 96, 3)


def test_accumulated_batches_give_the_mean_gradient(configuration: Path, tmp_path: Path) -> None:
    plain = OptimizerConfig(warmup_steps=0, clip_norm=1e9, weight_decay=0.0)
    run = opened(small(configuration, accumulation=2, optimizer=plain), configuration, tmp_path)
    run.objective.eval()  # statistics of a batch would make gradients depend on the order
    batches = [batch for batch, _ in zip(run.batches(), range(2), strict=False)]
    expected = {name: torch.zeros_like(parameter) for name, parameter in run.network.named_parameters()}
    for batch in batches:
        run.objective(run.on_device(batch), run.table)["loss"].backward()
        for name, parameter in run.network.named_parameters():
            assert parameter.grad is not None
            expected[name] += parameter.grad / 2
            parameter.grad = None
    before = {name: parameter.detach().clone() for name, parameter in run.network.named_parameters()}
    run.step(0, iter(batches))
    for name, parameter in run.network.named_parameters():
        after = before[name] - plain.learning_rate * expected[name]
        torch.testing.assert_close(parameter.detach(), after, rtol=1e-5, atol=1e-7, msg=name)


def test_tensorboard_has_the_figures_and_pictures(configuration: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    train(small(configuration, steps=3, picture_every=2, tensorboard=True), configuration.parent, tmp_path)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    written = [event.value for event in events.Scalars("grounding")]
    assert written == pytest.approx([line["grounding"] for line in logged(tmp_path)], rel=1e-5)
    assert [event.step for event in events.Images("pictures")] == [2, 3]


def test_waiting_for_batches_is_counted() -> None:
    def slow() -> Iterator[Batch]:
        for number in range(2):
            time.sleep(0.05)
            yield number  # type: ignore[misc]  # nothing looks at it

    batches = LoadedBatches(slow())
    assert [*batches] == [0, 1]
    assert 0.1 <= batches.waited < 5
    assert batches.last == 1


def test_log_line_has_the_mean_over_its_steps(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl", Accelerator(mixed_precision="bf16"), 0)
    for value in (1.0, 2.0, 6.0):
        log.add({"loss": torch.tensor(value)})
    assert log.write(3, {"temperature": 0.5}, waited=0.0) == {"loss": 3.0}
    log.add({"loss": torch.tensor(5.0)})
    log.write(4, {}, waited=0.0)
    figures = [(line["step"], line["loss"], line["waiting"]) for line in logged(tmp_path)]
    assert figures == [(3, 3.0, 0.0), (4, 5.0, 0.0)]


def test_checkpoint_restores_network_and_optimizer(tmp_path: Path) -> None:
    def make(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
        return network, build_optimizer(network, OptimizerConfig(kind="adamw"))

    network, optimizer = make(0)
    network(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    facts = {"config": {"sizes": (1, 2)}}
    save_checkpoint(tmp_path / "c.safetensors", network, optimizer, 17, facts)
    restored, restored_optimizer = make(1)
    assert load_checkpoint(tmp_path / "c.safetensors", restored, restored_optimizer, facts) == 17
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


def test_the_backbone_has_a_rate_of_its_own() -> None:
    config = OptimizerConfig(learning_rate=0.1, warmup_steps=10, backbone_factor=0.25)
    network = OpenSeg(SMALL)
    optimizer = build_optimizer(network, config)
    set_learning_rate(optimizer, 9, 110, config)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in network.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.025 if name.startswith("backbone.") else 0.1), name


def test_a_frozen_backbone_keeps_its_weights_and_its_run_resumes(configuration: Path, tmp_path: Path) -> None:
    config = small(configuration)
    config = replace(config, optimizer=replace(config.optimizer, backbone_factor=0.0))
    with pytest.raises(WeightsError, match="random weights would stay as it is"):
        opened(config, configuration, tmp_path)
    random_weights(tmp_path / "start")
    config = replace(config, init=str(tmp_path / "start"))
    run = opened(config, configuration, tmp_path)
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    run.step(0, run.batches())
    for name, value in run.network.named_parameters():
        assert torch.equal(value, before[name]) == name.startswith("backbone."), name
    save_checkpoint(tmp_path / "c.safetensors", run.network, run.optimizer, 1, run.facts)
    again = opened(config, configuration, tmp_path)
    assert load_checkpoint(tmp_path / "c.safetensors", again.network, again.optimizer, run.facts) == 1
    for one in (run, again):
        one.step(1, one.batches())
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_temperature_stays_in_its_bounds(configuration: Path, tmp_path: Path) -> None:
    run = opened(small(configuration), configuration, tmp_path)
    for wild, bounded in ((1e-6, 0.01), (50.0, 1.0), (0.2, 0.2)):
        with torch.no_grad():
            run.network.log_temperature.fill_(torch.tensor(wild).log())
        bound_temperature(run.network, (0.01, 1.0))
        assert run.network.log_temperature.exp().item() == pytest.approx(bounded, rel=1e-5)
    with pytest.raises(ValueError, match=r"'model\.temperature' is 0\.07; .* 0\.1 \.\. 1\.0"):
        TrainConfig(temperature_bounds=(0.1, 1.0))
