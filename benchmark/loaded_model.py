"""The model that a benchmark runs, loaded as the command line names it."""

from __future__ import annotations

import typer

from openseg_ros.runtime.engine import Engine, EngineError, create_engine
from openseg_ros.runtime.weights import Weights, WeightsError, load_weights
from openseg_ros.text.text_encoder import TextEncoder, TextEncoderError, load_text_encoder


def load_model(weights: str) -> tuple[Weights, TextEncoder, Engine]:
    """Weights, text encoder and engine of a shipped model or a model folder; exits with 2 and a line if one fails."""
    try:
        model = load_weights(weights)
        return model, load_text_encoder(model.description.text_encoder), create_engine(model)
    except (WeightsError, EngineError, TextEncoderError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
