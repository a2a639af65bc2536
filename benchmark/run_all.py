"""Run the programs that need no data set, keep their figures and draw them: `make benchmark`.

python -m benchmark.run_all               # about ten minutes on two cores
python -m benchmark.run_all node engines
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.bar_chart import bar_chart

PROGRAMS = {
    "engines": ("--rounds", "50"),
    "queries": ("--rounds", "50"),
    "text_encoders": ("--rounds", "50"),
    "vocabulary": ("--rounds", "100"),
    "node": ("--seconds", "30"),
    "node_tiny": ("--seconds", "15", "--weights", "tabletop_tiny"),
    "start": ("--rounds", "5"),
    "positions": ("--rounds", "50"),
    "messages": ("--rounds", "50"),
    "dds_profile": ("--images", "150"),
    "open_vocabulary_models": ("--rounds", "5"),
    "network_work": ("--size", "256x256"),
}  # with their options; after "_tiny" it is the same program with the small model
RESULTS = Path(__file__).parent / "results"


def main(
    programs: Annotated[list[str] | None, typer.Argument(help="Only these; default: all.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures (JSON) and their pictures (SVG).")] = RESULTS,
) -> None:
    """Run every program, one after the other."""
    out.mkdir(parents=True, exist_ok=True)
    for program in programs or PROGRAMS:
        if program not in PROGRAMS:
            typer.secho(f"error: there is no '{program}'; there are {', '.join(PROGRAMS)}", err=True, fg="red")
            raise typer.Exit(2)
        figures = out / f"{program}.json"
        module = f"benchmark.{program.removesuffix('_tiny')}"
        command = [sys.executable, "-m", module, *PROGRAMS[program], "--out", str(figures)]
        typer.secho(f"python {' '.join(command[1:])}", bold=True)
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}  # as the node sets it (openseg_node.py)
        code = subprocess.run(command, check=False, env=environment).returncode
        if code != 0:
            typer.secho(f"error: {module} ended with {code}", err=True, fg="red")
            raise typer.Exit(code)
        content = json.loads(figures.read_text(encoding="utf-8"))
        bars = {name: (figure["p50_ms"], figure["p99_ms"]) for name, figure in content["figures"].items()}
        picture = bar_chart(f"{content['title']} (ms: median, line to p99)", bars)
        figures.with_suffix(".svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
