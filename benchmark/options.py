"""Options that the programs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WeightsOption = Annotated[str, typer.Option(help="Shipped model or model folder.")]
OutOption = Annotated[Path | None, typer.Option(help="Write the figures as JSON.")]
RoundsOption = Annotated[int, typer.Option(min=1, help="Runs of every step.")]
