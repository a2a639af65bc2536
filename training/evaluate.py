"""Measure a model on an annotated data set in the COCO panoptic layout.

    python -m training.evaluate --weights tabletop --data runs/data/test --report report.json

Prints mIoU, Grounding mIoU (queries = the classes present in the image, paper 4.3), proposal recall at IoU 0.5, 0.7
and 0.9 (paper 4.2), and how often the best region for a phrase such as "red mug" is the right one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openseg_ros.runtime.engine import EngineError, create_engine
from openseg_ros.runtime.weights import WeightsError, load_weights
from openseg_ros.text.text_encoder import TextEncoderError, load_text_encoder
from training.data.coco import CocoSource, DatasetError, read_coco
from training.evaluation.protocol import Evaluation


def main(
    data: Annotated[Path, typer.Option(help="Folder in the tabletop world's layout.")],
    weights: Annotated[str, typer.Option(help="Shipped model or model folder.")] = "tabletop",
    backend: Annotated[str, typer.Option(help="Engine: auto, openvino, torch.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16.")] = "auto",
    limit: Annotated[int | None, typer.Option(help="Use only the first images.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Evaluate a model."""
    try:
        model = load_weights(weights)
        engine = create_engine(model, backend, precision=precision)
        encoder = load_text_encoder(model.description.text_encoder)
        annotated = read_coco(CocoSource(str(data)))
        evaluation = Evaluation(annotated, encoder)
        for record in track(annotated.records[:limit], "evaluating", console=Console(stderr=True)):
            evaluation.add(record, engine)
    except (WeightsError, EngineError, TextEncoderError, DatasetError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    result = evaluation.result()
    facts = {
        "weights": model.embedding_space,
        "sha256": model.sha256,
        "engine": engine.name,
        "data": str(data),
    }
    if report:
        report.write_text(json.dumps({**facts, **result}, indent=1), encoding="utf-8")
    table = Table("figure", "value", title=f"{model.embedding_space} ({engine.name}) on {data}")
    for key, value in result.items():
        if not isinstance(value, dict):
            table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
