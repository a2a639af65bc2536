"""`openseg evaluate-bag`: how right and how fast a recorded run was, or one that is made now from a recorded camera."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from openseg_ros.cli.run import use_large_shared_memory

if TYPE_CHECKING:
    from openseg_ros.bags.evaluation import Evaluation
    from openseg_ros.bags.ground_truth import TrueImage

Fraction = Annotated[float | None, typer.Option(metavar="X", min=0.0, max=1.0, show_default=False)]
Seconds = Annotated[float | None, typer.Option(metavar="S", min=0.0, show_default=False)]


def evaluate_bag(
    bag: Annotated[
        Path,
        typer.Argument(
            metavar="BAG", help="Recorded run: `openseg record` writes what is needed. With --live a recorded camera."
        ),
    ],
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="BAG",
            help="Bag with ground truth, if it is not in BAG itself: id images on /ground_truth/instances/compressed "
            'with the camera\'s stamps, and on /ground_truth/names JSON such as {"3": ["cup", "mug"]}.',
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="BAG", help="Take the masks of this run as the truth.", show_default=False),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Play BAG to the node that runs now, and evaluate what it answers to that."),
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            help="With --live: start a node with this shipped model or model folder.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        str, typer.Option(help='With --weights: what the node looks for from the start: "red mug; bowl".')
    ] = "",
    keep: Annotated[
        Path | None,
        typer.Option(metavar="BAG", help="With --live: keep the recording of the run there.", show_default=False),
    ] = None,
    node: Annotated[
        str,
        typer.Option(metavar="NAME", help="The node whose answers are evaluated; NODE/CAMERA for one of its cameras."),
    ] = "/openseg",
    camera: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic of the processed images, if several were recorded.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write evaluation.json and report.html there.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what evaluation.json says instead of a table.")
    ] = False,
    min_miou: Fraction = None,
    min_grounding_miou: Fraction = None,
    max_drop_rate: Fraction = None,
    max_latency_p95: Seconds = None,
    max_query_switch: Seconds = None,
) -> None:
    """Measure masks against the truth, latency, dropped images, and the time until a new query counts.

    Latency is from the image's stamp to the recording of its regions; where the stamps are of another clock (a replayed
    camera), --max-latency-p95 bounds the time from the image's recording instead. The exit status is 1 if a figure is
    worse than its bound or cannot be measured.
    """
    if truth is not None and reference is not None:
        raise typer.BadParameter("give either --truth or --reference", param_hint="--reference")
    if not live and (weights is not None or keep is not None):
        raise typer.BadParameter("needs --live", param_hint="--weights" if weights is not None else "--keep")
    if queries and weights is None:
        raise typer.BadParameter("needs --weights; a node that runs has its queries", param_hint="--queries")
    from openseg_ros.bags.bag_error import BagError
    from openseg_ros.bags.evaluation import Bound
    from openseg_ros.bags.evaluation_report import WorstImages, html_report, worst_images
    from openseg_ros.runtime.weights import write_atomically

    node = "/" + node.strip("/")
    try:
        with _recorded_run(bag, node, camera, is_live=live, weights=weights, queries=queries, keep=keep) as recording:
            evaluation, true_images = _evaluate(recording, truth, bag, reference, node, camera)
            pictures = worst_images(evaluation, true_images) if out is not None else WorstImages()
        if keep is None:
            evaluation = replace(evaluation, run=replace(evaluation.run, bag=bag))  # a recording that is gone now
        latency = "latency_from_stamp_p95_s" if evaluation.timing.from_stamp is not None else "latency_from_image_p95_s"
        bounds = {
            name: Bound(limit, smallest)
            for name, limit, smallest in (
                ("miou", min_miou, True),
                ("grounding_miou", min_grounding_miou, True),
                ("drop_rate", max_drop_rate, False),
                (latency, max_latency_p95, False),
                ("query_switch_max_s", max_query_switch, False),
            )
            if limit is not None
        }
        record = json.dumps(evaluation.record(bounds), indent=2, ensure_ascii=False, allow_nan=False)
        if out is not None:
            page = html_report(evaluation, bounds, pictures)
            out.mkdir(parents=True, exist_ok=True)
            write_atomically(out / "evaluation.json", (record + "\n").encode())
            write_atomically(out / "report.html", page.encode())
    except (BagError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(record)
    else:
        _print_table(evaluation)
    failures = evaluation.failures(bounds)
    for failure in failures:
        typer.echo(f"FAILED: {failure}", err=True)
    if failures:
        raise typer.Exit(1)


@contextmanager
def _recorded_run(
    bag: Path,
    node: str,
    camera: str | None,
    *,
    is_live: bool,
    weights: str | None,
    queries: str,
    keep: Path | None,
) -> Iterator[Path]:
    """The bag to evaluate: `bag`, or the recording of what a node answers to it now."""
    if not is_live:
        yield bag
        return
    use_large_shared_memory()
    try:
        from openseg_ros.nodes.live_run import LiveRunError, OwnNode, run_live
    except ImportError as error:
        typer.echo(f"--live needs ROS 2 (rclpy and our messages): {error}. See the README.", err=True)
        raise typer.Exit(1) from error
    with TemporaryDirectory() as folder:
        recording = keep if keep is not None else Path(folder) / bag.resolve().name
        try:
            run_live(bag, recording, node, OwnNode(weights, queries) if weights is not None else None, camera)
        except LiveRunError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
        yield recording


def _evaluate(
    recording: Path, truth: Path | None, bag: Path, reference: Path | None, node: str, camera: str | None
) -> tuple[Evaluation, dict[int, TrueImage]]:
    """Of a run, against `truth`, the `reference` run, or what truth there is in `bag`."""
    from openseg_ros.bags.evaluation import Evaluation
    from openseg_ros.bags.ground_truth import has_truth, truth_of_run, truth_of_topics
    from openseg_ros.bags.mask_agreement import agreement
    from openseg_ros.bags.recorded_run import read_run
    from openseg_ros.bags.run_timing import timing

    run = read_run(recording, node, camera)
    true_images: dict[int, TrueImage] = {}
    source = "none"
    if reference is not None:
        true_images, source = truth_of_run(read_run(reference, node, None)), f"the run {reference}"
    elif truth is not None or has_truth(bag):
        true_images, source = truth_of_topics(truth or bag), f"ground truth of {truth or bag}"
    compared = agreement(run, true_images) if source != "none" else None
    return Evaluation(run, timing(run), compared, source), true_images


def _print_table(evaluation: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value")
    for name, value in evaluation.figures().items():
        table.add_row(name, "–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)
