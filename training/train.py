"""Train OpenSeg (paper eq. 5) or its baseline LSeg+ (paper 4.3).

One process, on the GPU if there is one, else on the CPU:
    python -m training.train --config training/configs/tabletop_2_all.yaml --init WEIGHTS --data DATA --out OUT

8 GPUs of one machine; the two lines do the same:
    accelerate launch --multi_gpu --num_processes 8 -m training.train --config ... --data ... --out ...
    torchrun --nproc-per-node 8 -m training.train --config ... --data ... --out ...

8 machines of 8 GPUs (the paper's 64 processes of 16 images), the same line on every machine, R = 0 .. 7; all of them
see one --data and one --out:
    torchrun --nnodes 8 --node-rank R --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
      -m training.train --config ... --data ... --out ...
    accelerate launch --multi_gpu --num_machines 8 --num_processes 64 --machine_rank R --main_process_ip HOST \
      --main_process_port 29500 -m training.train --config ... --data ... --out ...

8 TPU cores, with torch_xla installed:
    accelerate launch --tpu --num_processes 8 -m training.train --config ... --data ... --out ...

2 CPU processes, also on a machine with GPUs (accelerate launch --cpu would start one, unless MPI is installed):
    ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 -m training.train --config ... --data ... --out ...

What was run here: one CPU process, and two of one machine by both launchers, --multi_gpu with ACCELERATE_USE_CPU
(test/test_distributed_training.py). There was no GPU and no TPU: the lines for them are accelerate's and torch's
documented ones, and SyncBatchNorm and bf16 on GPUs have not run. Batches differ in their number of words and masks, so
a TPU would compile many programs.

A run that was stopped, at any step, goes on from its last checkpoint when the same command is given again, with the
same result, bit for bit, on CPUs with one or two processes. On GPUs some kernels add in changing order, and so do sums
over more than two processes: there a resumed run is as good as another, but not equal to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from accelerate import Accelerator, PartialState
from accelerate.utils import is_tensorboard_available, parse_flag_from_env
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from openseg_ros.configuration import ConfigurationError
from openseg_ros.runtime.weights import ModelDescription, WeightsError, save_weights
from openseg_ros.text.text_encoder import TextEncoderError
from training.checkpoint import CheckpointError, save_checkpoint
from training.config import TrainConfig, load_train_config, parse_overrides
from training.data.broken_records import DatasetError
from training.data.samples import Batch
from training.pictures import draw_classes, draw_masks_and_words, save_picture
from training.precision import mixed_precision
from training.run import Run, open_run
from training.run_log import DivergedError, RunLog

CHECKPOINT = "checkpoint.safetensors"


def train(config: TrainConfig, data: Path, out: Path, words_cache: Path | None = None) -> None:
    """Train to the end of `config.steps`, resuming from a checkpoint in `out`, and write a model folder there.

    Args:
        config: the numbers.
        data: folder that the sources' relative folders are below.
        out: folder for checkpoint, weights, log, TensorBoard and pictures.
        words_cache: folder for prepared words; None: `data`/words.

    Raises:
        ConfigurationError, DatasetError, TextEncoderError, WeightsError, CheckpointError: bad input.
        DivergedError: a loss is no longer a number.
        OSError: `out` is not writable or full.
    """
    if config.tensorboard and not is_tensorboard_available():
        raise ConfigurationError("the package tensorboard is not installed; install it, or set tensorboard: false")
    # The device decides the precision, which the accelerator must know from its first moment on. Its state reads this
    # variable, the state that is made here does not, and without it CPU processes do not find each other.
    device = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device
    accelerator = Accelerator(
        mixed_precision=mixed_precision(config.precision, device),
        log_with="tensorboard" if config.tensorboard else None,
        project_dir=out,
    )
    _run(open_run(config, data, words_cache or data / "words", accelerator, out / CHECKPOINT), out)
    accelerator.wait_for_everyone()
    # The wrapper of DistributedDataParallel before the process group: the other way round, gloo's thread and this one
    # can wait for each other for ever (seen in torch 2.13).
    accelerator.free_memory()
    accelerator.end_training()


def _run(run: Run, out: Path) -> None:
    """The steps that are left."""
    config, accelerator = run.config, run.accelerator
    accelerator.print(
        f"{len(run.data)} images, {len(run.names)} words, "
        f"{sum(p.numel() for p in run.network.parameters()) / 1e6:.1f} M parameters, "
        f"{accelerator.num_processes} processes of {config.batch} x {config.accumulation} images, "
        f"{'bf16' if accelerator.mixed_precision == 'bf16' else 'fp32'} on {accelerator.device.type}, "
        f"steps {run.first_step}..{config.steps}"
    )
    log = RunLog(out / "log.jsonl", accelerator, run.first_step)
    # TensorBoard forgets what an interrupted run wrote of the steps that are done again.
    accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": {"purge_step": run.first_step + 1}})
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        refresh_per_second=1,
        disable=not accelerator.is_main_process,
    )
    run.objective.train()
    batches = run.batches()
    with progress:
        bar = progress.add_task("training", total=config.steps, completed=run.first_step)
        for done in range(run.first_step + 1, config.steps + 1):
            figures = run.step(done - 1, batches)
            norm = figures.pop("gradient_norm")
            log.add(figures)
            last = done == config.steps
            save = last or done % config.checkpoint_every == 0
            if save or done % config.log_every == 0:
                extra = {
                    "learning_rate": run.optimizer.param_groups[0]["lr"],
                    "gradient_norm": float(norm),
                    "temperature": float(run.network.log_temperature.detach().exp()),
                }
                means = log.write(done, extra, batches.waited)
                progress.update(bar, description=" ".join(f"{k} {v:.3f}" for k, v in means.items()))
            progress.update(bar, completed=done)
            if accelerator.is_main_process and (last or done % config.picture_every == 0):
                _draw(run, out, done, batches.last)
            if accelerator.is_main_process and save:
                _save(run, out, done)


def _save(run: Run, out: Path, done: int) -> None:
    """The checkpoint last: what is done up to it is then done whole, and what comes after is done again.

    Raises:
        DivergedError: a weight is not finite, or too large for the float16 of a model folder.
    """
    state = run.network.state_dict()
    for key, value in state.items():
        if value.is_floating_point() and not (value.abs() <= torch.finfo(torch.float16).max).all():
            raise DivergedError(f"{key} reaches {float(value.abs().max())}", done)
    save_weights(out, state, ModelDescription(run.config.model, run.config.text_encoder))
    save_checkpoint(out / CHECKPOINT, run.network, run.optimizer.optimizer, done, run.facts)


def _draw(run: Run, out: Path, done: int, loaded: Batch | None) -> None:
    assert loaded is not None, "a step has been done"
    draw = draw_classes if run.config.method == "lseg" else draw_masks_and_words
    picture = draw(run.network, run.on_device(loaded), run.table, run.names)
    save_picture(out / "pictures" / f"{done:06d}.png", picture)
    for tracker in run.accelerator.trackers:
        tracker.log_images({"pictures": picture[None]}, step=done, dataformats="NHWC")


def main(
    config: Annotated[Path, typer.Option(help="YAML file over the defaults of training/config.py.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, weights, log and pictures.")],
    data: Annotated[Path, typer.Option(help="Folder that the sources' relative folders are below.")] = Path(),
    init: Annotated[str, typer.Option(help="Weights to start from, instead of the configuration's.")] = "",
    words: Annotated[Path | None, typer.Option(help="Folder of prepared words; default: DATA/words.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="key=value over the file; repeatable.")] = None,
) -> None:
    """Train OpenSeg from a configuration."""
    try:
        overrides = parse_overrides(override or [])
        if init:
            overrides["init"] = init
        train(load_train_config(config, overrides), data, out, words)
    except (
        *(ConfigurationError, DatasetError, TextEncoderError, WeightsError, CheckpointError, DivergedError),
        OSError,
    ) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
