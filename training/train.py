"""Train OpenSeg: the segmentation loss and the grounding loss, summed (paper eq. 5).

    python -m training.train --config training/configs/tabletop.yaml --out runs/tabletop        # one process
    accelerate launch --num_processes 8 -m training.train --config ... --out ...                # 8 GPUs of one node

A run that was stopped goes on from its last checkpoint when the same command is given again.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from openseg_ros.configuration import ConfigurationError, build_config, read_yaml
from openseg_ros.model.openseg import OpenSeg
from openseg_ros.runtime.weights import ModelDescription, WeightsError, load_weights, save_weights
from openseg_ros.text.text_encoder import load_text_encoder
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import OptimizerConfig, TrainConfig
from training.data.coco import DatasetError, read_coco
from training.data.samples import Batch, CaptionedMasks, SampleConfig, StepSampler, collate
from training.losses.grounding_loss import grounding_loss
from training.losses.segmentation_loss import segmentation_loss
from training.pictures import save_pictures

CHECKPOINT = "checkpoint.safetensors"


def compute_losses(network: nn.Module, batch: Batch, table: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Both losses and their weighted sum (eq. 5) for one batch; `table` (W, D) holds the words' embeddings."""
    output = network(batch.images, batch.valid)
    openseg = network.module if isinstance(network, DistributedDataParallel) else network
    assert isinstance(openseg, OpenSeg)
    temperature = openseg.log_temperature.exp()
    segmentation = segmentation_loss(output["mask_logits"], batch.labels, batch.label_exists, batch.valid)
    grounding = grounding_loss(output["embeddings"], table[batch.words], batch.word_exists, temperature)
    total = config.grounding_weight * grounding + config.segmentation_weight * segmentation
    return {"loss": total, "segmentation": segmentation, "grounding": grounding}


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """SGD or AdamW; weight decay on weights of convolutions and linear layers only, as in the authors' framework."""
    decayed = {id(m.weight) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    groups = [
        {
            "params": [p for p in network.parameters() if id(p) in decayed],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in network.parameters() if id(p) not in decayed], "weight_decay": 0.0},
    ]
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Linear warm-up, then half a cosine to zero (paper 4.1)."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def initialise(network: OpenSeg, source: str) -> int:
    """Take over every tensor of the model folder `source` that fits in name and shape; returns their number.

    Position embeddings of another grid are resized, so that a network can be trained first at a smaller size.
    """
    own = network.state_dict()
    taken = 0
    for key, value in load_weights(source).state.items():
        if key not in own:
            continue
        target = own[key].shape
        if key.startswith("position.") and value.shape != target:
            value = nn.functional.interpolate(value, size=target[-2:], mode="bilinear", align_corners=False)
        if value.shape == target:
            own[key] = value
            taken += 1
    network.load_state_dict(own)
    return taken


def train(config: TrainConfig, out: Path) -> None:
    """Train to the end of `config.steps`, resuming from a checkpoint in `out`, and write the weights there."""
    accelerator = Accelerator(mixed_precision=config.precision)
    torch.manual_seed(config.seed)
    data = CaptionedMasks(
        [read_coco(source) for source in config.sources],
        rule=config.words,
        augmentation=config.augmentation,
        config=SampleConfig(config.model.input_size, int(config.model.head_stride), config.keep_probability),
    )
    encoder = load_text_encoder(config.text_encoder)
    table = torch.from_numpy(encoder.encode(data.vocabulary.words)).to(accelerator.device)
    network = OpenSeg(config.model)
    if config.init:
        accelerator.print(f"{initialise(network, config.init)} tensors from {config.init}")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
    optimizer = build_optimizer(network, config.optimizer)
    checkpoint = out / CHECKPOINT
    first_step = load_checkpoint(checkpoint, network, optimizer) if checkpoint.exists() else 0
    sampler = StepSampler(
        source_sizes=data.source_sizes,
        batch=config.batch,
        seed=config.seed,
        first_step=first_step,
        steps=config.steps,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    loader = DataLoader(data, batch_sampler=sampler, collate_fn=collate, num_workers=config.workers)
    prepared, optimizer = accelerator.prepare(network, optimizer)
    accelerator.print(
        f"{len(data)} images, {len(data.vocabulary.words)} words, "
        f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M parameters, steps {first_step}..{config.steps}"
    )
    description = ModelDescription(config.model, config.text_encoder)
    log = Log(out / "log.jsonl", accelerator.is_main_process)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        refresh_per_second=1,
    )
    prepared.train()
    with progress:
        bar = progress.add_task("training", total=config.steps, completed=first_step)
        for step, loaded in enumerate(loader, start=first_step):
            batch = _to_device(loaded, accelerator.device)
            rate = learning_rate(step, config.steps, config.optimizer)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with accelerator.autocast():
                losses = compute_losses(prepared, batch, table, config)
            accelerator.backward(losses["loss"])
            norm = accelerator.clip_grad_norm_(prepared.parameters(), config.optimizer.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            done = step + 1
            log.add({key: float(value.detach()) for key, value in losses.items()})
            if done % config.log_every == 0:
                tau = float(network.log_temperature.detach().exp())
                means = log.write(done, {"learning_rate": rate, "gradient_norm": float(norm), "temperature": tau})
                progress.update(bar, description=" ".join(f"{k} {v:.3f}" for k, v in means.items()))
            progress.update(bar, completed=done)
            last = done == config.steps
            if accelerator.is_main_process and (done % config.checkpoint_every == 0 or last):
                save_checkpoint(checkpoint, network, optimizer.optimizer, done)
                save_weights(out, network.state_dict(), description)
            if accelerator.is_main_process and (done % config.picture_every == 0 or last):
                save_pictures(out / "pictures" / f"{done:06d}.png", network, batch, table, data.vocabulary.words)


class Log:
    """Mean losses since the last line, one JSON object per line."""

    def __init__(self, path: Path, enabled: bool) -> None:
        """Append to `path`; other processes than the main one only forget."""
        self._path = path
        self._enabled = enabled
        self._values: list[dict[str, float]] = []
        self._start = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, values: dict[str, float]) -> None:
        """Note the losses of one step."""
        self._values.append(values)

    def write(self, step: int, extra: dict[str, float]) -> dict[str, float]:
        """Write a line; returns the mean losses."""
        means = {key: sum(v[key] for v in self._values) / len(self._values) for key in self._values[0]}
        line = {"step": step, "seconds": round(time.monotonic() - self._start, 1), **means, **extra}
        if self._enabled:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        self._values.clear()
        return means


def _to_device(batch: Batch, device: torch.device) -> Batch:
    parts = {name: value.to(device, non_blocking=True) for name, value in vars(batch).items()}
    parts["images"] = parts["images"].contiguous(memory_format=torch.channels_last)
    return Batch(**parts)


def main(
    config: Annotated[Path, typer.Option(help="YAML file over the defaults of training/config.py.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, weights, log and pictures.")],
    data: Annotated[Path | None, typer.Option(help="Folder that the sources' relative folders are below.")] = None,
    init: Annotated[str, typer.Option(help="Model folder to start from, instead of the configuration's.")] = "",
) -> None:
    """Train OpenSeg from a configuration."""
    try:
        values = read_yaml(config)
        if init:
            values["init"] = init
        for source in values.get("sources", ()):
            source["folder"] = str((data or Path()) / source["folder"])
        train(build_config(TrainConfig, values), out)
    except (ConfigurationError, DatasetError, WeightsError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
