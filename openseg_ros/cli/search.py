"""`openseg search`: when and where in a recording a phrase was seen."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openseg_ros.cli.messages import fail, note

if TYPE_CHECKING:
    from openseg_ros.bags.region_index import RegionIndex
    from openseg_ros.bags.search import Found, Hit, Sighting


def search(
    bag: Annotated[Path, typer.Argument(metavar="BAG", help="Bag of `openseg record` or `ros2 bag record`.")],
    text: Annotated[
        str,
        typer.Argument(metavar="TEXT", help='What to look for: "scissors", "red mug; bowl" or "find the cup".'),
    ],
    weights: Annotated[
        str, typer.Option(help="The model that was recorded: name of a shipped one, or its folder.")
    ] = "tabletop",
    threshold: Annotated[
        float, typer.Option(metavar="P", min=0.0, max=1.0, help="Probability from which a region is found.")
    ] = 0.5,
    pause: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="Seconds without it after which a new sighting begins.")
    ] = 1.0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Most sightings shown, best first.")] = 12,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Write the sightings' pictures on one sheet, .png or .jpg."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sightings as JSON instead of a table.")] = False,
) -> None:
    """Search a recording by words, in the regions' recorded vectors alone: no image is segmented again.

    The first search of a bag reads it once and keeps an index in the cache folder (OPENSEG_CACHE). Record with the
    node's parameter publish_embeddings at "all" to find also what was not asked for at the time.
    """
    if math.isnan(threshold):  # which is not outside of any range
        raise typer.BadParameter("it is not a number", param_hint="--threshold")
    if sheet is not None and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise typer.BadParameter("the name must end with .png or .jpg", param_hint="--sheet")
    index, results, seconds = _search(bag, text, weights, threshold, pause)
    sightings = sorted((s for found in results for s in found.sightings), key=lambda s: -s.best.score)[:limit]
    if not index.all_regions:
        note('only regions that answered a query were recorded (publish_embeddings is not "all")')
    if index.left_out:
        note(f"{index.left_out} images are left out: their vectors are of another network")
    if as_json:
        typer.echo(json.dumps(_record(bag, index, results, sightings, seconds), ensure_ascii=False, allow_nan=False))
    else:
        _print_table(index, results, sightings)
        typer.echo(f"{len(index)} regions of {len(index.stamp)} images searched in {seconds:.2f} s", err=True)
    if sheet is not None:
        _write_sheet(bag, index, sightings, sheet)


def _search(
    bag: Path, text: str, weights: str, threshold: float, pause: float
) -> tuple[RegionIndex, list[Found], float]:
    """The index, what was found, and the seconds that the search took, without making the index."""
    from rich.console import Console
    from rich.progress import Progress

    from openseg_ros.bags.bag_error import BagError
    from openseg_ros.bags.region_index import load_index
    from openseg_ros.bags.search import search as search_index
    from openseg_ros.runtime.weights import WeightsError, load_weights
    from openseg_ros.text.command import parse_query_text
    from openseg_ros.text.text_encoder import TextEncoderError, load_text_encoder
    from openseg_ros.text.vocabulary import Query, QueryError, build_vocabulary

    try:
        model = load_weights(weights)
        parsed = parse_query_text(text)
        encoder = load_text_encoder(model.description.text_encoder)
        vocabulary = build_vocabulary(parsed.queries or [Query(text)], encoder, version=1)
        for said in [*([parsed.message] if parsed.message else []), *(f"left out: {r}" for r in vocabulary.rejected)]:
            note(said)
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("reading the bag", total=None, visible=False)
            index = load_index(bag, model, lambda n: progress.update(task, completed=n, visible=True))
        began = time.monotonic()
        found = search_index(index, vocabulary, model.calibration, threshold=threshold, pause=pause)
    except (BagError, WeightsError, TextEncoderError, QueryError) as error:
        fail(str(error))
    return index, found, time.monotonic() - began


def _print_table(index: RegionIndex, results: Sequence[Found], sightings: Sequence[Sighting]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if sightings:
        topics = len(index.topics) > 1
        table = Table()
        table.add_column("Phrase", overflow="fold")
        table.add_column("Seen", no_wrap=True)
        for title in ("Images", "Best at", "Score"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("Box (x y w h)", no_wrap=True)
        if topics:
            table.add_column("Topic", overflow="fold")
        for sighting in sightings:
            best = sighting.best
            table.add_row(
                Text(sighting.phrase),  # Text: a phrase with brackets is no markup
                f"{_clock(sighting.first - index.start)} - {_clock(sighting.last - index.start)}",
                str(sighting.images),
                _clock(best.time - index.start),
                f"{best.score:.2f}",
                " ".join(map(str, best.roi)),
                *([sighting.topic] if topics else []),
            )
        Console().print(table)
    for found in results:
        if not found.sightings:
            where = f"{found.best.score:.2f} at {_clock(found.best.time - index.start)}"
            typer.echo(f'"{found.phrase}" is not in the recording; the best region has {where}')


def _record(
    bag: Path, index: RegionIndex, results: Sequence[Found], sightings: Sequence[Sighting], seconds: float
) -> dict[str, Any]:
    def hit(best: Hit) -> dict[str, Any]:
        return {
            "time_s": round((best.time - index.start) / 1e9, 6),
            "stamp_ns": best.stamp,
            "region": best.region,
            "score": round(best.score, 6),
            "roi": dict(zip(("x", "y", "width", "height"), best.roi, strict=True)),
        }

    return {
        "bag": str(bag),
        "images": len(index.stamp),
        "regions": len(index),
        "search_s": round(seconds, 3),
        "phrases": [
            {"phrase": found.phrase, "sightings": len(found.sightings), "best": hit(found.best)} for found in results
        ],
        "sightings": [
            {
                "phrase": sighting.phrase,
                "topic": sighting.topic,
                "first_s": round((sighting.first - index.start) / 1e9, 6),
                "last_s": round((sighting.last - index.start) / 1e9, 6),
                "images": sighting.images,
                "best": hit(sighting.best),
            }
            for sighting in sightings
        ],
    }


def _write_sheet(bag: Path, index: RegionIndex, sightings: Sequence[Sighting], path: Path) -> None:
    import cv2

    from openseg_ros.bags.bag_error import BagError
    from openseg_ros.bags.contact_sheet import Tile, contact_sheet
    from openseg_ros.bags.message_types import types_of
    from openseg_ros.bags.reading import open_bag
    from openseg_ros.bags.recorded_images import camera_topics, read_image
    from openseg_ros.runtime.weights import write_atomically

    if not sightings:
        note(f"{path} is not written: there is nothing to show")
        return
    tiles = []
    try:
        with open_bag(bag) as reader:
            store = types_of(reader)
            cameras = {topic: camera_topics(reader, topic) for topic in {sighting.topic for sighting in sightings}}
            for sighting in sightings:
                best = sighting.best
                caption = f"{_clock(best.time - index.start)}  {sighting.phrase}  {best.score:.2f}"
                picture = read_image(reader, store, cameras[sighting.topic], best.stamp, best.time)
                if picture is not None:
                    tiles.append(Tile(picture, best.roi, caption))
        if not tiles:
            names = ", ".join(sorted({camera.topic for found in cameras.values() for camera in found}))
            raise BagError(
                f"none of its pictures was recorded ({names or 'there is no topic of pictures'}); record the camera too"
            )
        if len(tiles) < len(sightings):
            note(f"{len(sightings) - len(tiles)} of {len(sightings)} pictures are missing on {path}: not in the bag")
        content = cv2.imencode(path.suffix, contact_sheet(tiles)[:, :, ::-1])[1].tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except (BagError, OSError) as error:
        fail(f"cannot write the sheet {path}: {error}")


def _clock(nanoseconds: int) -> str:
    """Time since the bag's start as minutes:seconds."""
    minutes, seconds = divmod(round(nanoseconds / 1e8), 600)
    return f"{minutes}:{seconds / 10:04.1f}"
