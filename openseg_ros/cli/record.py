"""`openseg record`: the node's inputs and answers, or any topics, into a bag that `ros2 bag` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openseg_ros.bags.bag_format import Compression, Storage
from openseg_ros.cli.run import use_large_shared_memory


def record(
    bag: Annotated[Path, typer.Argument(metavar="BAG", help="Bag folder to write; it must not exist.")],
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC]...", help="Record exactly these.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Record all topics that there are.")] = False,
    node: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Without topics: record what this node listens to (camera, depth, queries) and its regions, "
            "compressed mask and query state.",
        ),
    ] = "/openseg",
    storage: Annotated[Storage, typer.Option(help="File format.")] = Storage.MCAP,
    compression: Annotated[Compression, typer.Option(help="What zstd is applied to.")] = Compression.NONE,
    duration: Annotated[
        float | None, typer.Option(metavar="S", min=0.0, help="Seconds; without it until Ctrl-C.", show_default=False)
    ] = None,
) -> None:
    """Record the node's inputs and answers, or any topics, until Ctrl-C.

    To search the recording later for things that nobody asked for at the time, set the node's parameter
    publish_embeddings to "all" first.
    """
    if every and topics:
        raise typer.BadParameter("give either topics or --all", param_hint="--all")
    use_large_shared_memory()
    from openseg_ros.bags.bag_error import BagError

    try:
        from openseg_ros.nodes import bag_recorder
    except ImportError as error:
        typer.echo(f"openseg record needs ROS 2 (rclpy and our messages): {error}. See the README.", err=True)
        raise typer.Exit(1) from error
    choice: bag_recorder.Choice = bag_recorder.all_topics
    if topics:
        choice = bag_recorder.named_topics(topics)
    elif not every:
        choice = bag_recorder.topics_of_node("/" + node.strip("/"))
    try:
        counts = bag_recorder.record(bag, choice, storage=storage, compression=compression, duration=duration)
    except BagError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    for topic, count in sorted(counts.items()):
        typer.echo(f"{count:8d}  {topic}")
    if not sum(counts.values()):
        typer.echo(f"error: nothing was recorded; '{bag}' is empty", err=True)
        raise typer.Exit(1)
