"""`openseg replay`: a bag into ROS, at the pace at which it was recorded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from openseg_ros.cli.run import use_large_shared_memory


def replay(
    bag: Annotated[Path, typer.Argument(metavar="BAG", help="Bag folder, or a single .mcap or .db3 file.")],
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC]...", help="Play only these.", show_default=False),
    ] = None,
    rate: Annotated[float, typer.Option(metavar="R", help="2.0 plays twice as fast as recorded.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, until Ctrl-C.")] = False,
    clock: Annotated[
        bool, typer.Option("--clock", help="Publish the recorded time on /clock, for nodes with use_sim_time.")
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="Most seconds to wait until somebody listens to every topic.")
    ] = 2.0,
) -> None:
    """Play a bag into ROS. Messages are sent as they were recorded, stamps included."""
    if not (math.isfinite(rate) and rate > 0):
        raise typer.BadParameter(f"{rate} is not a positive number", param_hint="--rate")
    use_large_shared_memory()
    from openseg_ros.bags.bag_error import BagError

    try:
        from openseg_ros.nodes.bag_player import replay as play
    except ImportError as error:
        typer.echo(f"openseg replay needs ROS 2 (rclpy and our messages): {error}. See the README.", err=True)
        raise typer.Exit(1) from error
    try:
        count = play(
            bag,
            topics or (),
            rate=rate,
            loop=loop,
            clock=clock,
            wait=wait,
            say=lambda text: typer.echo(f"note: {text}", err=True),
        )
    except BagError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{count} messages played")
