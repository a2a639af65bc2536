"""The command `openseg`: its subcommands and what they have in common.

Imports here and in the modules of the subcommands stay light, so that `openseg --help` answers at once; torch, OpenVINO
and ROS are imported by the subcommand that runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from openseg_ros import __version__
from openseg_ros.cli.compile import compile_weights
from openseg_ros.cli.evaluate_bag import evaluate_bag
from openseg_ros.cli.record import record
from openseg_ros.cli.replay import replay
from openseg_ros.cli.run import run
from openseg_ros.cli.search import search
from openseg_ros.cli.segment import segment
from openseg_ros.cli.view import view

app = typer.Typer(
    name="openseg",
    help="Open-vocabulary segmentation for robots: say what to look for, get its mask.",
    epilog='Try: openseg segment photo.jpg -q "red mug" -q bowl --out results',
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openseg {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Open-vocabulary segmentation for robots: say what to look for, get its mask."""


app.command()(segment)
app.command()(run)
app.command()(view)
app.command()(record)
app.command()(replay)
app.command()(search)
app.command("evaluate-bag")(evaluate_bag)
app.command("compile")(compile_weights)
