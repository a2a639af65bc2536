"""Put the results of several evaluations of one data set into one table.

    python -m training.compare runs/full/evaluation runs/lseg/evaluation \
      --trained-with training/configs/ablations/base.yaml

With `--trained-with`, the classes that its sources leave out (`without`) get a column of their own: those are the words
that the systems never saw in training, neither as pictures nor in captions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openseg_ros.configuration import ConfigurationError
from openseg_ros.runtime.weights import write_atomically
from training.config import load_train_config
from training.data.broken_records import DatasetError
from training.evaluation.protocol import Figure
from training.evaluation.report import shown

COLUMNS = ("mIoU", "grounding mIoU", "… trained words", "… unseen words", "phrase top-1", "R50", "R70", "R90")


def main(
    results: Annotated[list[Path], typer.Argument(help="Folders that `training.evaluate --out` wrote.")],
    trained_with: Annotated[
        Path | None, typer.Option(help="Configuration of the training: what its sources leave out is unseen.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here too.")] = None,
) -> None:
    """Compare systems on one data set."""
    try:
        unseen = _left_out(trained_with) if trained_with else frozenset()
        rows = comparison([_read(folder) for folder in results], unseen)
    except (DatasetError, ConfigurationError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    names = [folder.parent.name if folder.name == "evaluation" else folder.name for folder in results]
    lines = [[name, *map(shown, row)] for name, row in zip(names, rows, strict=True)]
    table = Table("result", *COLUMNS, title=f"{len(lines)} systems, grounding mIoU also by class")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    if markdown:
        header = ["result", *COLUMNS]
        text = "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *lines))
        try:
            write_atomically(markdown, f"{text}\n".encode())
        except OSError as error:
            typer.secho(f"error: cannot write {markdown}: {error.strerror}", err=True, fg="red")
            raise typer.Exit(2) from error


def comparison(results: Sequence[dict[str, Any]], unseen: Collection[str]) -> list[list[Figure]]:
    """The figures of `COLUMNS` for each of `results`, contents of result.json.

    Raises:
        DatasetError: they are of different images, annotations, names or scales, or `unseen` names a class that is not
            there.
    """
    first = results[0]
    for other in results[1:]:
        if other["data_sha256"] != first["data_sha256"]:
            raise DatasetError(
                f"{first['data_folder']} ({first['figures']['images']} images) and {other['data_folder']} "
                f"({other['figures']['images']} images) are not the same data: evaluate all systems on one set"
            )
        for option in ("names", "scale"):
            if other["config"][option] != first["config"][option]:
                raise DatasetError(
                    f"one result is of --{option} {first['config'][option]}, another of --{option} "
                    f"{other['config'][option]}: evaluate all systems with one"
                )
    unknown = sorted(set(unseen) - {row["name"] for row in first["per_class"]})
    if unknown:
        raise DatasetError(f"{first['data_folder']} has no class {', '.join(map(repr, unknown))}")
    rows = []
    for result in results:
        figures = result["figures"]
        means = [_mean(result, {row["name"] for row in result["per_class"]} - set(unseen)), _mean(result, unseen)]
        shared = [figures[name] for name in ("phrase_top1", "R50", "R70", "R90")]
        rows.append([figures["miou"], figures["grounding_miou"], *means, *shared])
    return rows


def _mean(result: dict[str, Any], classes: Collection[str]) -> Figure:
    """Mean grounding IoU over those of `classes` that occur."""
    values = [row["grounding_iou"] for row in result["per_class"] if row["name"] in classes]
    measured = [value for value in values if value is not None]
    return sum(measured) / len(measured) if measured else None


def _left_out(config: Path) -> frozenset[str]:
    return frozenset(name for source in load_train_config(config).sources for name in source.without)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "result.json"
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        if not {"config", "data_sha256", "figures", "per_class"} <= result.keys():
            raise ValueError("it is not the record of an evaluation")
    except (OSError, ValueError, AttributeError) as error:
        raise DatasetError(f"cannot read {path}: {error}; `python -m training.evaluate --out` writes it") from error
    return result


if __name__ == "__main__":
    typer.run(main)
