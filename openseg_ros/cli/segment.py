"""`openseg segment`: look for phrases in image files, without ROS."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openseg_ros.cli.messages import complain, fail, note

if TYPE_CHECKING:
    from openseg_ros.cli.file_segmenter import FileSegmenter, Record


def segment(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Image files: JPEG, PNG, TIFF, WebP, ...", show_default=False),
    ],
    query: Annotated[
        list[str],
        typer.Option(
            "--query",
            "-q",
            metavar="TEXT",
            help='What to look for: "red mug", or a command such as "pick the cup". May be given several times.',
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for mask.png (label ids), instances.png (region ids, 16 bit), overlay.png and regions.json; "
            "with several images a subfolder for each. Without it nothing is written.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what regions.json says instead of a table, one line per image.")
    ] = False,
    weights: Annotated[str, typer.Option(help="Name of a shipped model, or a folder with one.")] = "tabletop",
    backend: Annotated[str, typer.Option(help="Engine: auto, openvino, tensorrt or torch.")] = "auto",
    threshold: Annotated[
        float, typer.Option(metavar="P", min=0.0, max=1.0, help="Probability from which a region is reported.")
    ] = 0.5,
) -> None:
    """Look for phrases in images; write masks, a picture, and a record of the regions.

    An image that cannot be read is reported and left out, and the exit status is then 1.
    """
    if math.isnan(threshold):  # which is not outside of any range
        raise typer.BadParameter("it is not a number", param_hint="--threshold")
    if out is not None:
        _prepare_folder(out)
    folders = _result_folders(images, out)
    stdout = sys.stdout
    # What libraries print must not end up between the lines of JSON.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        model = _load(weights, backend, query, threshold)
        records = []
        for path, folder in _with_progress(list(zip(images, folders, strict=True))):
            record = _segment_file(model, path, folder)
            if record is not None:
                records.append(record)
                if as_json:
                    typer.echo(json.dumps(record, ensure_ascii=False, allow_nan=False), file=stdout)
    if records and not as_json:
        _print_table(records)
    if len(records) < len(images):
        raise typer.Exit(1)


def _load(weights: str, backend: str, texts: Sequence[str], threshold: float) -> FileSegmenter:
    from openseg_ros.cli.file_segmenter import load_file_segmenter
    from openseg_ros.runtime.engine import EngineError
    from openseg_ros.runtime.weights import WeightsError
    from openseg_ros.text.text_encoder import TextEncoderError
    from openseg_ros.text.vocabulary import QueryError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # from torch's export; meant for its developers
            model = load_file_segmenter(weights, backend, texts, threshold)
    except (QueryError, WeightsError, TextEncoderError, EngineError) as error:
        fail(str(error))
    for text in model.notes:
        note(text)
    return model


def _segment_file(model: FileSegmenter, path: Path, folder: Path | None) -> Record | None:
    """The record of one image, or None after saying why there is none."""
    from openseg_ros.cli.file_segmenter import write_results
    from openseg_ros.cli.image_file import ImageFileError
    from openseg_ros.runtime.engine import EngineError

    try:
        record, segmentation, image = model.segment(path)
    except (ImageFileError, EngineError, MemoryError) as error:
        complain(f"{path}: {str(error) or 'not enough memory'}")
        return None
    if folder is not None:
        try:
            write_results(folder, record, segmentation, image)
        except OSError as error:  # the next image would fare no better
            fail(f"cannot write the results of {path} to {folder}: {error.strerror or error}")
    return record


def _prepare_folder(folder: Path) -> None:
    """Make the folder for results before seconds are spent on a model."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot make the folder {folder}: {error.strerror}")
    if not os.access(folder, os.W_OK | os.X_OK):
        fail(f"cannot write to the folder {folder}: Permission denied")


def _result_folders(images: Sequence[Path], out: Path | None) -> list[Path | None]:
    """Per image its folder: `out` itself for one image, else subfolders named by the stems, made unique."""
    if out is None:
        return [None] * len(images)
    if len(images) == 1:
        return [out]
    taken: set[str] = set()
    folders: list[Path | None] = []
    for image in images:
        name, count = image.stem or "image", 1
        while name.casefold() in taken:  # some file systems do not tell A from a
            count += 1
            name = f"{image.stem or 'image'}_{count}"
        taken.add(name.casefold())
        folders.append(out / name)
    return folders


def _with_progress(jobs: list[tuple[Path, Path | None]]) -> Iterable[tuple[Path, Path | None]]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(jobs, "Segmenting", console=console, disable=len(jobs) < 2 or not console.is_terminal)


def _print_table(records: Sequence[Record]) -> None:
    """One row per image and query."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("Image", "Query", "Status", "Score", "Region", "Box (x y w h)", "Area (px)"):
        table.add_column(
            title, justify="right" if title in ("Score", "Region", "Area (px)") else "left", overflow="fold"
        )
    for record in records:
        regions = {region["id"]: region for region in record["regions"]}
        for query in record["queries"]:
            region = regions.get(query["region"])
            table.add_row(
                Text(Path(record["image"]["path"]).name),  # Text: a phrase with brackets is no markup
                Text(query["text"]),
                query["status"].replace("_", " ").lower(),
                f"{query['score']:.2f}",
                str(query["region"] or ""),
                " ".join(map(str, region["roi"].values())) if region is not None else "",
                str(region["area"]) if region is not None else "",
            )
    Console().print(table)
