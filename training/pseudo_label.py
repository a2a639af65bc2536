"""Draw masks on images that have only captions, by a teacher that was trained with the segmentation loss alone (3.3).

One process, on the GPU if there is one, else on the CPU:
    python -m training.pseudo_label --weights TEACHER --images localized_narratives/images \
      --out localized_narratives/masks.json

8 GPUs of one machine; several machines as in training/train.py, all seeing one folder of images and one of --out:
    torchrun --nproc-per-node 8 -m training.pseudo_label --weights ... --images ... --out ...

2 CPU processes:
    ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 -m training.pseudo_label --weights ... --images ... --out ...

A command that was stopped, at any time, goes on when it is given again, also with another number of processes.
Finished images are kept in OUT.parts, which may be deleted when OUT is there; kept, later images can be added.
The student reads OUT as `masks_json` of its source (training/data/sources.py).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from rich.console import Console
from rich.progress import track

from openseg_ros.runtime.engine import PRECISIONS, Engine, EngineError
from openseg_ros.runtime.torch_engine import TorchEngine
from openseg_ros.runtime.weights import WeightsError, load_weights
from openseg_ros.segmenter.letterbox import Letterbox
from training.data.broken_records import DatasetError
from training.data.pixels import read_image
from training.label_parts import PartWriter, finished_images, merge_parts, open_parts
from training.pseudo_masks import MaskRule, select_masks

ENDINGS = (".jpg", ".jpeg", ".png")
PATIENCE = timedelta(days=7)  # processes wait for the slowest one; the usual ten minutes would end a long run

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelSettings:
    """How images are labelled."""

    rule: MaskRule = field(default_factory=MaskRule)
    precision: str = "fp32"  # of the network: fp32 or bf16
    batch: int = 8  # images in one run of the network
    threads: int = 4  # read images and encode masks beside the network, for each process


def find_images(folder: Path) -> list[str]:
    """Names of all image files below `folder`, relative to it with "/", sorted; links to folders are followed.

    Raises:
        DatasetError: there is none.
    """
    names = sorted(_walk(folder, "", frozenset()))
    if not names:
        raise DatasetError(f"there is no image ({', '.join(ENDINGS)}) below {folder}")
    return names


def _walk(folder: Path, below: str, above: frozenset[str]) -> list[str]:
    real = os.path.realpath(folder)
    if real in above or not folder.is_dir():  # a link to a folder that it lies in
        return []
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                names += _walk(folder / entry.name, f"{below}{entry.name}/", above | {real})
            elif entry.name.lower().endswith(ENDINGS):
                names.append(below + entry.name)
    return names


def label_images(
    engine: Engine, folder: Path, names: Sequence[str], writer: PartWriter, settings: LabelSettings, *, bar: bool
) -> None:
    """Label the images `names` of `folder` one batch after the other; each batch is on the disk before the next.

    An image that cannot be read is reported and recorded as failed.

    Raises:
        DatasetError: the disk is full.
    """
    batches = [names[start : start + settings.batch] for start in range(0, len(names), settings.batch)]
    with ThreadPoolExecutor(settings.threads) as pool:
        reading = [pool.submit(_read, folder / name) for name in (batches[0] if batches else ())]
        shown = track(range(len(batches)), "labelling", console=Console(stderr=True), disable=not bar)
        for number in shown:
            read = [future.result() for future in reading]
            following = batches[number + 1] if number + 1 < len(batches) else ()
            reading = [pool.submit(_read, folder / name) for name in following]
            images = [image for image in read if isinstance(image, np.ndarray)]
            masks = iter(_label_batch(engine, images, settings, pool))
            labels: list[dict[str, Any]] = []
            for name, image in zip(batches[number], read, strict=True):
                if isinstance(image, np.ndarray):
                    size = {"height": image.shape[0], "width": image.shape[1]}
                    labels.append({"image": name, **size, "masks": next(masks)})
                else:
                    _log.warning("image not labelled: %s", image)
                    labels.append({"image": name, "failed": str(image)})
            writer.append(labels)


def _label_batch(
    engine: Engine, images: Sequence[np.ndarray], settings: LabelSettings, pool: ThreadPoolExecutor
) -> list[list[dict[str, Any]]]:
    """The masks of each image."""
    if not images:
        return []
    boxes = [Letterbox((image.shape[0], image.shape[1]), engine.input_size, engine.stride) for image in images]
    # Always as many images: kernels, and with them the last bits, depend on the batch, and labels must not depend on
    # where a run was interrupted.
    filled = [*range(len(images)), *[0] * (settings.batch - len(images))]
    pixels = [box.apply(image) for box, image in zip(boxes, images, strict=True)]
    output = engine.infer(np.stack([pixels[row] for row in filled]), np.stack([boxes[row].valid for row in filled]))
    return list(pool.map(select_masks, output.mask_logits, boxes, [settings.rule] * len(boxes)))


def _read(path: Path) -> np.ndarray | DatasetError:
    try:
        return read_image(path)
    except DatasetError as error:
        return error


def label_folder(
    weights: str, images: Path, out: Path, settings: LabelSettings, accelerator: Accelerator
) -> dict[str, int] | None:
    """Label what is not labelled yet of the folder `images`, with all processes, and write `out`.

    Returns:
        What `merge_parts` counts, in the main process; None in the others.

    Raises:
        WeightsError, EngineError, DatasetError: what their names say.
    """
    parts = out.with_name(f"{out.name}.parts")
    names = find_images(images)
    teacher = load_weights(weights)
    facts = {"teacher": teacher.sha256, "precision": settings.precision, **asdict(settings.rule)}
    if accelerator.is_main_process:
        if out.exists() and not parts.exists():
            raise DatasetError(f"{out} is there already, and {parts} is not: delete it, or choose another --out")
        open_parts(parts, {**facts, "images": str(images.resolve())})  # their names are relative to it
    accelerator.wait_for_everyone()
    finished = finished_images(parts)
    accelerator.wait_for_everyone()  # nobody writes before all have seen the same images finished
    remaining = [name for name in names if name not in finished]
    own = remaining[accelerator.process_index :: accelerator.num_processes]
    accelerator.print(f"{len(names)} images, {len(names) - len(remaining)} of them finished before")
    if own:
        engine = TorchEngine(teacher, settings.precision, str(accelerator.device))
        writer = PartWriter(parts, accelerator.process_index)
        try:
            label_images(engine, images, own, writer, settings, bar=accelerator.is_main_process)
        finally:
            writer.close()
    accelerator.wait_for_everyone()
    return merge_parts(parts, out, names, facts) if accelerator.is_main_process else None


def main(
    weights: Annotated[str, typer.Option(help="Model folder of the teacher.")],
    images: Annotated[Path, typer.Option(help="Folder of jpg and png files, at any depth.")],
    out: Annotated[Path, typer.Option(help="JSON file in COCO's instances format.")],
    batch: Annotated[int, typer.Option(min=1, help="Images in one run of the network.")] = LabelSettings.batch,
    threads: Annotated[int, typer.Option(min=1, help="Threads that read and encode.")] = LabelSettings.threads,
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = LabelSettings.precision,
) -> None:
    """Label an image folder with a teacher's masks."""
    cv2.setNumThreads(1)  # images are spread over our own threads
    accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
    try:
        if precision not in PRECISIONS[1:]:
            raise EngineError(f"unknown precision '{precision}'; choose one of {', '.join(PRECISIONS[1:])}")
        settings = LabelSettings(MaskRule(), precision, batch, threads)
        counts = label_folder(weights, images.expanduser(), out.expanduser(), settings, accelerator)
    except torch.OutOfMemoryError as error:
        typer.secho(f"error: the GPU's memory is full with --batch {batch}; take a smaller one", err=True, fg="red")
        raise typer.Exit(2) from error
    except (WeightsError, EngineError, DatasetError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    if counts is not None:
        print(f"{out}: {counts['masks']} masks of {counts['images']} images; {counts['failed']} images failed")
    accelerator.end_training()


if __name__ == "__main__":
    typer.run(main)
