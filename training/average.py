"""Average the weights of two models of which one was trained on from the other.

    python -m training.average runs/tabletop_5 runs/tabletop_6 --out runs/tabletop

Between such models lies a valley of the loss, and its middle is often better than both ends: a stage that teaches one
thing forgets less of another (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). The probabilities
must be fitted again (`training.calibrate`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from openseg_ros.runtime.calibration import CalibrationNumbers
from openseg_ros.runtime.weights import WeightsError, load_weights, save_weights


def main(
    earlier: Annotated[str, typer.Argument(help="Model folder.")],
    later: Annotated[str, typer.Argument(help="Model folder; its model.yaml is that of the average.")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Weight of the later model.")] = 0.5,
) -> None:
    """Average two models."""
    try:
        first, second = load_weights(earlier), load_weights(later)
        one, other = (weights.build_network().state_dict() for weights in (first, second))  # refuses what does not fit
        save_weights(out, averaged(one, other, share), replace(second.description, calibration=CalibrationNumbers()))
    except (WeightsError, OSError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    typer.echo(f"{out}: {1 - share:g} of {first.embedding_space}, {share:g} of {second.embedding_space}")


def averaged(first: dict[str, Tensor], second: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of the second and the rest of the first; whole numbers (counts of batches) are the second's.

    Raises:
        WeightsError: a tensor is in one model only, or has two shapes.
    """
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in (first, second)]
    for name in shapes[0] | shapes[1]:
        one, other = (known.get(name, "missing") for known in shapes)
        if one != other:
            raise WeightsError(f"these models cannot be averaged: {name} is {one} in the first, {other} in the second")
    return {
        name: (1 - share) * first[name] + share * tensor if tensor.is_floating_point() else tensor
        for name, tensor in second.items()
    }


if __name__ == "__main__":
    typer.run(main)
