"""The network in OpenVINO against torch, on one image, and how far their answers agree.

python -m benchmark.engines --weights tabletop
"""

from __future__ import annotations

import platform
from functools import partial
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmark.options import OutOption, WeightsOption
from benchmark.timing import measure, report
from openseg_ros.runtime.engine import EngineError, create_engine
from openseg_ros.runtime.parity import compare
from openseg_ros.runtime.weights import WeightsError, load_weights

RIVALS = (("torch", "fp32"), ("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"))


def main(
    weights: WeightsOption = "tabletop",
    rounds: Annotated[int, typer.Option(min=1, help="Runs of every engine.")] = 50,
    out: OutOption = None,
) -> None:
    """Compare the CPU engines."""
    try:
        model = load_weights(weights)
    except WeightsError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    config = model.description.model
    image = np.random.default_rng(0).integers(0, 256, (1, *config.input_size, 3), dtype=np.uint8)
    valid = np.ones((1, *config.grid), np.float32)
    engines = {}
    for backend, precision in RIVALS:
        try:
            engines[f"{backend} {precision}"] = create_engine(model, backend, precision=precision)
        except EngineError as error:  # a processor without bf16, or no int8 network compiled
            Console(stderr=True).print(f"left out: {error}")
    seconds = measure({name: partial(engine.infer, image, valid) for name, engine in engines.items()}, rounds)
    reference = engines["torch fp32"].infer(image, valid)
    parity = {name: vars(compare(reference, engine.infer(image, valid), valid)) for name, engine in engines.items()}
    title = f"{model.embedding_space}, one image of {config.input_size[0]}x{config.input_size[1]}, {platform.machine()}"
    report(title, seconds, out, {"seed": 0, "rounds": rounds, "parity": parity})
    for name, agreement in parity.items():
        Console().print(
            f"{name}: worst cosine {agreement['worst_cosine']:.4f}, mask IoU {agreement['mean_mask_iou']:.4f}"
        )


if __name__ == "__main__":
    typer.run(main)
