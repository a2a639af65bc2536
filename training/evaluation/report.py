"""The report of an evaluation for people: figures, per-class table, worst images. One HTML file and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from openseg_ros.html_page import page, table
from openseg_ros.runtime.weights import write_atomically
from training.evaluation.protocol import ClassFigures, Figure
from training.evaluation.result import Result

FIGURES = {
    "images": "images",
    "miou": "mIoU, all classes as queries",
    "miou_of_union": "mIoU, absent classes that are predicted count as 0",
    "grounding_miou": "Grounding mIoU, queries are the classes in the image",
    "grounding_miou_of_union": "Grounding mIoU, absent classes that are predicted count as 0",
    "phrase_top1": "best region for a phrase is the right one",
    "R50": "proposal recall at IoU 0.5",
    "R70": "proposal recall at IoU 0.7",
    "R90": "proposal recall at IoU 0.9",
}


@dataclass(frozen=True)
class WorstPicture:
    """One picture of the report."""

    file: str  # relative to the report
    image: str  # name of the data set's image
    mean_iou: float


def write_report(path: Path, result: Result, pictures: Sequence[WorstPicture]) -> None:
    """Write the report.

    Raises:
        OSError: no space, no permission.
    """
    title = f"{result.system} on {result.data_set}"
    parts = [
        _warning(result),
        table(("figure", "value", "95 % interval"), _figure_rows(result)),
        "".join(f"<p>{escape(note)}</p>" for note in result.notes),
        "<h2>How it was measured</h2>",
        table(("what", "value"), _facts(result), numbers=False),
        "<h2>Worst images</h2>" if pictures else "",
        "<p>Image, truth, prediction. Dark pixels do not count.</p>" if pictures else "",
        "".join(
            f"<figure><img src='{escape(picture.file)}' alt='image, truth and prediction'><figcaption>"
            f"{escape(picture.image)}: mIoU of its classes {picture.mean_iou:.3f}</figcaption></figure>"
            for picture in pictures
        ),
        "<h2>Classes</h2>",
        table(("class", "IoU", "grounding IoU", "labelled pixels", "images"), _class_rows(result.per_class)),
    ]
    write_atomically(path, page(title, parts).encode())


def shown(value: Figure) -> str:
    """A figure as people read it."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def interval_shown(result: Result, name: str) -> str:
    """The interval of a figure as people read it, "" if it has none."""
    return " to ".join(map(shown, result.intervals.get(name, ())))


def _figure_rows(result: Result) -> list[tuple[str, ...]]:
    return [(FIGURES[name], shown(value), interval_shown(result, name)) for name, value in result.figures.items()]


def _warning(result: Result) -> str:
    if result.whole_split:
        return ""
    official = " or ".join(map(str, result.official_images))
    return f"<p><b>Not comparable: {result.figures['images']} images; the official split has {official}.</b></p>"


def _facts(result: Result) -> list[tuple[str, ...]]:
    facts = {
        "weights": result.weights,
        "sha256 of the weights": result.weights_sha256,
        "engine": result.engine,
        "data": result.data_folder,
        "sha256 of file list and annotations": result.data_sha256,
        "seed": str(result.seed),
        "options": ", ".join(f"{key} {value}" for key, value in result.config.items()),
        "software": ", ".join(f"{name} {version}" for name, version in result.software.items()),
    }
    return list(facts.items())


def _class_rows(classes: Sequence[ClassFigures]) -> list[tuple[str, ...]]:
    """Worst first, classes that do not occur last."""
    ordered = sorted(classes, key=lambda row: (row.pixels == 0, row.iou if row.iou is not None else 2, row.name))
    return [
        (row.name, shown(row.iou), shown(row.grounding_iou), shown(row.pixels), shown(row.images)) for row in ordered
    ]
