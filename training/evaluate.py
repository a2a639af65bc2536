"""Measure a system on an annotated data set.

    python -m training.evaluate --weights tabletop --data runs/data/test --report report.json
    python -m training.evaluate --weights W --dataset ade20k_150 --data ADEChallengeData2016 --out runs/ade20k_150
    python -m training.evaluate --weights W --dataset voc_21 --data VOCdevkit --names engineered
    python -m training.evaluate --weights W --dataset coco_panoptic --data coco --system openseg_no_proposals
    python -m training.evaluate --weights nvidia/groupvit-gcc-yfcc --data runs/data/test --system groupvit
    python -m training.evaluate --weights W --align FOLDER --data runs/data/test --system align_proposals

Prints mIoU, Grounding mIoU (queries = the classes present in the image, paper 4.3), proposal recall at IoU 0.5, 0.7
and 0.9 (paper 4.2), and, for the tabletop world, how often the best region for a phrase such as "red mug" is the right
one. Every data set is read as its official download unpacks; training/evaluation/data_sets says what lies where.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openseg_ros.runtime.engine import EngineError
from openseg_ros.runtime.weights import WeightsError, write_atomically
from openseg_ros.text.text_encoder import TextEncoderError
from training.data.broken_records import DatasetError
from training.evaluation.available_systems import LoadedSystem, SystemChoiceError, SystemOptions, load_system
from training.evaluation.data_set import AnnotatedImage, EvaluationSet
from training.evaluation.data_sets.catalogue import open_data_set
from training.evaluation.letterboxed import at_letterbox_scale
from training.evaluation.pictures import triptych
from training.evaluation.protocol import Evaluation
from training.evaluation.report import WorstPicture, interval_shown, shown, write_report
from training.evaluation.result import Result, hash_data, software_versions, write_result
from training.evaluation.worst_images import KeptImage, WorstImages

DataSet = Literal[
    "tabletop",
    "coco_panoptic",
    "ade20k_150",
    "ade20k_847",
    "pascal_context_59",
    "pascal_context_459",
    "voc_20",
    "voc_21",
]


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data set, as its official download unpacks.")],
    weights: Annotated[
        str | None,
        typer.Option(
            help="Shipped model or model folder; for align_cam, groupvit and clipseg a folder of transformers or a "
            "name on the Hugging Face hub. Default: tabletop, or the system's own on the hub."
        ),
    ] = None,
    dataset: Annotated[DataSet, typer.Option(help="Which data set lies there.")] = "tabletop",
    system: Annotated[str, typer.Option(help="What is measured.")] = "openseg",
    names: Annotated[
        Literal["plain", "engineered"], typer.Option(help="Class names: the data set's, or ours.")
    ] = "plain",
    scale: Annotated[
        Literal["original", "letterbox"],
        typer.Option(help="Count at the annotation's size, or with 640 as longer side."),
    ] = "original",
    backend: Annotated[str, typer.Option(help="Engine: auto, openvino, torch.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, or a torch device such as cuda:0.")] = "cpu",
    align: Annotated[
        str | None, typer.Option(help="ALIGN of align_proposals: folder or hub name; kakaobrain/align-base.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Longer side that align_*, groupvit and clipseg see, pixels.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first images.")] = None,
    seed: Annotated[int, typer.Option(help="For systems that draw random numbers.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for result.json, report.html and pictures.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst images the report shows.")] = 8,
) -> None:
    """Evaluate a system."""
    torch.manual_seed(seed)
    cv2.setRNGSeed(seed)
    config: dict[str, str | int | None] = {
        "dataset": dataset,
        "system": system,
        "names": names,
        "scale": scale,
        "backend": backend,
        "precision": precision,
        "device": device,
        "align": align,
        "image_size": image_size,
        "limit": limit,
    }
    try:
        # Before hours of work, not after them.
        for folder in filter(None, (out, report and report.parent)):
            folder.mkdir(parents=True, exist_ok=True)
        opened = open_data_set(dataset, data, names)
        loaded = load_system(system, SystemOptions(weights, backend, precision, device, align, image_size))
        count = min(len(opened.items), limit or len(opened.items))
        evaluation, kept = Evaluation(opened), WorstImages(worst if out else 0)
        loaded.system.set_classes(opened.queries)
        for index in track(range(count), "evaluating", console=Console(stderr=True)):
            annotated = _read(opened, index, scale)
            measured = evaluation.add(annotated, loaded.system.predict(annotated.image, annotated.masks))
            if measured.prediction is not None:
                kept.add(index, measured.mean_iou, measured.prediction)
        result = _result(opened, loaded, evaluation, config, seed, count)
        if report:
            write_atomically(report, json.dumps(_short_report(result, data), indent=1).encode())
        if out:
            _write_folder(out, result, opened, kept.worst_first(), scale)
    except (WeightsError, EngineError, TextEncoderError, DatasetError, SystemChoiceError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    except OSError as error:
        typer.secho(f"error: cannot write {error.filename or report or out}: {error.strerror}", err=True, fg="red")
        raise typer.Exit(2) from error
    _print(result, data)


def _read(data: EvaluationSet, index: int, scale: str) -> AnnotatedImage:
    annotated = data.read(index)
    return at_letterbox_scale(annotated) if scale == "letterbox" else annotated


def _result(
    data: EvaluationSet,
    loaded: LoadedSystem,
    evaluation: Evaluation,
    config: dict[str, str | int | None],
    seed: int,
    count: int,
) -> Result:
    return Result(
        system=loaded.system.name,
        weights=loaded.weights,
        weights_sha256=loaded.sha256,
        engine=loaded.engine,
        data_set=data.name,
        data_folder=str(data.folder),
        data_sha256=hash_data(data, data.items[:count]),
        official_images=data.official_images,
        notes=data.notes,
        config=config,
        seed=seed,
        software=software_versions(),
        figures=evaluation.result(),
        intervals=evaluation.intervals(seed),
        per_class=evaluation.per_class(),
    )


def _write_folder(folder: Path, result: Result, data: EvaluationSet, worst: list[KeptImage], scale: str) -> None:
    pictures = []
    for number, image in enumerate(worst, 1):
        annotated = _read(data, image.index, scale)
        picture = triptych(annotated.image, annotated.label, image.prediction, data.labels)
        name = f"worst_{number:02}.jpg"
        encoded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]))[1]
        write_atomically(folder / name, encoded.tobytes())
        shown_name = data.items[image.index].image.relative_to(data.folder).as_posix()
        pictures.append(WorstPicture(name, shown_name, image.mean_iou))
    write_result(folder / "result.json", result)
    write_report(folder / "report.html", result, pictures)


def _short_report(result: Result, data: Path) -> dict[str, object]:
    """The figures of `--report`: flat, with the classes that appear."""
    return {
        "weights": result.weights,
        "sha256": result.weights_sha256,
        "engine": result.engine,
        "data": str(data),
        **result.figures,
        "intervals": {name: [round(value, 4) for value in pair] for name, pair in result.intervals.items()},
        "grounding_iou_per_class": {
            row.name: round(row.grounding_iou, 3) for row in result.per_class if row.grounding_iou is not None
        },
    }


def _print(result: Result, data: Path) -> None:
    table = Table("figure", "value", "95 %", title=f"{result.system} {result.weights} ({result.engine}) on {data}")
    for name, value in result.figures.items():
        table.add_row(name, shown(value), interval_shown(result, name))
    console = Console()
    console.print(table)
    if not result.whole_split:
        official = " or ".join(map(str, result.official_images))
        console.print(f"not comparable: {result.figures['images']} images, the official split has {official}")


if __name__ == "__main__":
    typer.run(main)
