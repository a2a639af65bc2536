"""`openseg compile`: weights become an engine that has been compared with the reference."""

from __future__ import annotations

import enum
import json
import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openseg_ros.cli.messages import fail

if TYPE_CHECKING:
    from openseg_ros.runtime.compilation import CompilationReport, Progress
    from openseg_ros.runtime.frames import Frames
    from openseg_ros.runtime.weights import Weights

RECORDED_FRAMES = 96  # read from --frames: NNCF's figures stop changing at some dozens
HELD_OUT = 8  # every eighth is compared and not calibrated on


class CompiledBackend(enum.Enum):
    """Engines that are compiled."""

    OPENVINO = "openvino"
    TENSORRT = "tensorrt"


class Precision(enum.Enum):
    """Number format of the network's arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


def compile_weights(
    weights: Annotated[str, typer.Argument(help="Name of a shipped model, or a folder with one.", show_default=False)],
    backend: Annotated[CompiledBackend, typer.Option(help="openvino for CPUs, tensorrt for NVIDIA GPUs.")],
    precision: Annotated[
        Precision, typer.Option(help="auto: the fastest that needs no calibration; int8 needs --frames.")
    ] = Precision.AUTO,
    size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="The network's input in pixels, multiples of 32; as trained if not given."),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Recorded frames of your camera: a folder of images, or a bag. int8 is calibrated on them, and the "
            "engine is compared on some of them.",
        ),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Topic of the images in the bag, if there are several.")] = None,
    device: Annotated[str, typer.Option(help="GPU of tensorrt.")] = "cuda:0",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
) -> None:
    """Compile weights for this machine and compare the engine with the reference.

    The engine goes to the cache ($OPENSEG_CACHE, or openseg_ros in the user's cache folder), where the node finds it if
    its parameter engine_cache_dir is empty or says the same. It is refused, and the exit status is 1, if its masks,
    embeddings or labels differ too much from the reference's.
    """
    from rich.console import Console

    from openseg_ros.cli.recorded_frames import RecordingError
    from openseg_ros.runtime.engine import EngineError
    from openseg_ros.runtime.weights import WeightsError, load_weights

    input_size = _parsed(size)
    console = Console(stderr=True)
    try:
        model = load_weights(weights)
        recorded = _recorded(model, frames, topic, input_size)
        with console.status("starting") as status, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of exporters and NNCF; meant for their developers

            def progress(stage: str) -> None:
                if console.is_terminal:
                    status.update(stage)
                else:
                    console.print(stage)

            folder, report = _compile(model, backend, precision.value, device, input_size, recorded, progress)
    except (WeightsError, EngineError, RecordingError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"the engine cannot be kept: {error}")
    if as_json:
        typer.echo(json.dumps({"engine": str(folder), **asdict(report)}, indent=1))
    else:
        _print_table(report, folder)


def _compile(
    weights: Weights,
    backend: CompiledBackend,
    precision: str,
    device: str,
    input_size: tuple[int, int] | None,
    recorded: Frames | None,
    progress: Progress,
) -> tuple[Path, CompilationReport]:
    calibration, held_out = (None, None) if recorded is None else recorded.split(every=HELD_OUT)
    if backend is CompiledBackend.TENSORRT:
        from openseg_ros.runtime.tensorrt_engine import compile_tensorrt

        return compile_tensorrt(weights, precision, device, input_size, held_out, progress)
    from openseg_ros.runtime.openvino_engine import compile_openvino

    return compile_openvino(weights, precision, input_size, calibration, held_out, progress)


def _recorded(
    weights: Weights, source: Path | None, topic: str | None, input_size: tuple[int, int] | None
) -> Frames | None:
    if source is None:
        return None
    from openseg_ros.cli.recorded_frames import read_frames

    config = weights.description.model
    return read_frames(source, topic, RECORDED_FRAMES, input_size or config.input_size, config.head_stride)


def _parsed(size: str | None) -> tuple[int, int] | None:
    """(H, W) of "480x640"."""
    if size is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(sides) <= 0 or any(side % 32 for side in sides):
        raise typer.BadParameter(f"'{size}' is not HEIGHTxWIDTH in multiples of 32, as in 480x640", param_hint="--size")
    return sides


def _print_table(report: CompilationReport, folder: Path) -> None:
    """Every figure beside its bound."""
    from rich.console import Console
    from rich.table import Table

    from openseg_ros.runtime.parity import BOUNDS

    recipe = report.recipe
    bounds = vars(BOUNDS[recipe.precision])
    table = Table(title=f"{recipe.backend} {recipe.precision} on {recipe.device}, {recipe.profile}")
    table.add_column("Agreement with torch fp32")
    table.add_column("Figure", justify="right")
    table.add_column("At least", justify="right")
    for name, figure in vars(report.parity).items():
        if name != "regions":
            shown = "not compared" if figure is None else f"{figure:.4f}"
            table.add_row(name.replace("_", " "), shown, f"{bounds[name]:g}" if bounds.get(name, -1) > -1 else "")
    table.add_row("regions compared", str(report.parity.regions), "")
    Console().print(table)
    typer.echo(f"kept in {folder}")
