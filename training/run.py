"""One training run in one process: its data, network, optimizer, and a step of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from openseg_ros.configuration import to_mapping
from openseg_ros.model.openseg import OpenSeg
from openseg_ros.runtime.weights import WeightsError
from openseg_ros.text.text_encoder import load_text_encoder
from training.checkpoint import CheckpointError, load_checkpoint
from training.config import TrainConfig
from training.data.broken_records import DatasetError
from training.data.prepared_words import prepare_words
from training.data.samples import Batch, CaptionedMasks, SampleConfig, StepSampler, collate
from training.data.sources import read_source, sources_below
from training.distributed import Gather, synchronise_batch_norm
from training.initialisation import initialise
from training.objective import Objective
from training.optimizer import bound_temperature, build_optimizer, set_learning_rate
from training.precision import keep_depthwise_in_fp32


class LoadedBatches:
    """An iterator over batches on the host that knows how long it was waited for."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        """Count the seconds that `batches` takes."""
        self._batches = batches
        self.waited = 0.0  # seconds in all; on a GPU, which works on meanwhile, an upper bound of its idle time
        self.last: Batch | None = None

    def __iter__(self) -> LoadedBatches:
        return self

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            DatasetError: too many records are broken.
        """
        asked = time.monotonic()
        try:
            self.last = next(self._batches)
        except DatasetError as error:  # of a loader process: torch puts its traceback before the message
            raise DatasetError(str(error).rpartition(f"{DatasetError.__name__}: ")[2].strip()) from error
        self.waited += time.monotonic() - asked
        return self.last


@dataclass(frozen=True)
class Run:
    """Everything that a step needs, on this process's device."""

    config: TrainConfig
    accelerator: Accelerator
    data: CaptionedMasks
    names: tuple[str, ...]  # what the rows of `table` are: words of captions, or class names for LSeg+
    table: Tensor  # (W, D)
    network: OpenSeg  # the bare network, whose weights are saved
    objective: nn.Module  # the network with its loss, wrapped for all processes
    optimizer: AcceleratedOptimizer
    facts: dict[str, Any]  # what a checkpoint must agree with
    first_step: int

    def batches(self) -> LoadedBatches:
        """This process's batches from `first_step` to the last step, `accumulation` of them for each, on the host."""
        sampler = StepSampler(
            source_sizes=self.data.source_sizes,
            batch=self.config.batch,
            seed=self.config.seed,
            first_step=self.first_step * self.config.accumulation,
            steps=self.config.steps * self.config.accumulation,
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        loader = DataLoader(
            self.data,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.config.workers,
            pin_memory=self.accelerator.device.type == "cuda",
        )
        return LoadedBatches(iter(loader))

    def on_device(self, batch: Batch) -> Batch:
        """`batch` where this process computes."""
        parts = {name: value.to(self.accelerator.device, non_blocking=True) for name, value in vars(batch).items()}
        parts["images"] = parts["images"].contiguous(memory_format=torch.channels_last)
        return Batch(**parts)

    def step(self, number: int, batches: Iterator[Batch]) -> dict[str, Tensor]:
        """Update the weights from the next `accumulation` batches.

        Returns:
            The mean losses and the `gradient_norm`, scalars on this process's device.

        With `accumulation` a step is the mean over its batches, each the mean over what it has: a batch with few masks
        or captions weighs as much as one with many, which one large batch would not do.

        All randomness of the step comes from the run's seed, `number` (from 0) and the process: nothing of it has to
        be stored in a checkpoint.
        """
        config, accelerator = self.config, self.accelerator
        set_learning_rate(self.optimizer, number, config.steps, config.optimizer)
        sums: dict[str, Tensor] = {}
        turns = config.accumulation
        for turn in range(turns):
            torch.manual_seed(_seed(config.seed, number, turn, accelerator.process_index))
            batch = self.on_device(next(batches))
            last = turn == turns - 1  # gradients travel once a step
            with nullcontext() if last else accelerator.no_sync(self.objective):
                losses = self.objective(batch, self.table)
                accelerator.backward(losses["loss"] / turns)
            for key, value in losses.items():
                sums[key] = sums.get(key, torch.zeros_like(value)) + value.detach() / turns
        norm = accelerator.clip_grad_norm_(self.objective.parameters(), config.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        bound_temperature(self.network, config.temperature_bounds)
        return {**sums, "gradient_norm": norm}


def open_run(config: TrainConfig, data: Path, words_cache: Path, accelerator: Accelerator, checkpoint: Path) -> Run:
    """Read the data and build the network, from `checkpoint` if there is one, else from `config.init` or at random.

    Args:
        config: the numbers.
        data: folder that the sources' relative folders are below.
        words_cache: folder for the words of the captions and their embeddings, which are computed once.
        accelerator: this process among all.
        checkpoint: file; need not exist.

    Raises:
        DatasetError, TextEncoderError, WeightsError, CheckpointError: what their names say.
    """
    sources = [read_source(source) for source in sources_below(config.sources, data)]
    with accelerator.main_process_first():  # the others find its result in the cache
        words = prepare_words(
            [record.captions for source in sources for record in source.records],
            config.words,
            config.text_encoder,
            words_cache,
        )
    images = CaptionedMasks(
        sources,
        words,
        augmentation=config.augmentation,
        config=SampleConfig(config.model.input_size, int(config.model.head_stride), config.keep_probability),
    )
    names, table = words.words, words.embeddings
    if config.method == "lseg":
        names = images.class_names
        if not names:
            raise DatasetError("method 'lseg' learns class names, and no source has categories")
        table = load_text_encoder(config.text_encoder).encode(names)
    if table.shape[1] != config.model.embedding_dim:
        raise DatasetError(
            f"text_encoder '{config.text_encoder}' gives {table.shape[1]} numbers a word, "
            f"and model.embedding_dim is {config.model.embedding_dim}; make them equal"
        )

    torch.manual_seed(config.seed)
    network = OpenSeg(config.model)
    optimizer = build_optimizer(network, config.optimizer)
    facts = {
        "config": {**to_mapping(config), "precision": "bf16" if accelerator.mixed_precision == "bf16" else "fp32"},
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        "source_sizes": images.source_sizes,
        "words": len(names),
    }
    first_step = 0
    if checkpoint.exists():
        first_step = load_checkpoint(checkpoint, network, optimizer, facts)
    elif config.init:
        accelerator.print(initialise(network, config.init))
    elif config.optimizer.backbone_factor == 0:
        raise WeightsError(
            "a backbone of random weights would stay as it is: 'optimizer.backbone_factor' is 0 and --init is not given"
        )
    _refuse_separate_folders(first_step, accelerator, checkpoint)

    if accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16":
        keep_depthwise_in_fp32(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
    gather = None
    if accelerator.num_processes > 1:
        gather = Gather(rank=accelerator.process_index, processes=accelerator.num_processes)
        wanted = config.sync_batch_norm
        if wanted and not synchronise_batch_norm(network, accelerator.device, accelerator.num_processes):
            accelerator.print(f"no SyncBatchNorm on {accelerator.device.type}: statistics are those of one process")
    objective, prepared = accelerator.prepare(Objective(network, config, gather), optimizer)
    return Run(
        config=config,
        accelerator=accelerator,
        data=images,
        names=names,
        table=torch.from_numpy(np.asarray(table)).to(accelerator.device),
        network=network,
        objective=objective,
        optimizer=prepared,
        facts=facts,
        first_step=first_step,
    )


def _refuse_separate_folders(first_step: int, accelerator: Accelerator, checkpoint: Path) -> None:
    """All processes must go on from the same step; they do not where machines have an output folder each."""
    steps = accelerator.gather(torch.tensor([first_step], device=accelerator.device)).tolist()
    if len(set(steps)) > 1:
        raise CheckpointError(f"processes see different {checkpoint} (steps {steps}); the folder must be a shared one")


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
