"""What a command says beside its results: one line each, on the error output."""

from __future__ import annotations

from typing import NoReturn

import typer


def note(message: str) -> None:
    """Something that the person should know."""
    typer.echo(f"note: {_one_line(message)}", err=True)


def complain(message: str) -> None:
    """Something went wrong; the command goes on."""
    typer.echo(f"error: {_one_line(message)}", err=True)


def fail(message: str) -> NoReturn:
    """End the command with exit status 1.

    Raises:
        typer.Exit: always.
    """
    complain(message)
    raise typer.Exit(1)


def _one_line(message: str) -> str:
    return " ".join(message.split())
