"""The text encoder of the weights in torch and in OpenVINO: new phrases, one at a time and many, and how they agree.

python -m benchmark.text_encoders
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from benchmark.options import OutOption, RoundsOption
from benchmark.queries import phrases
from benchmark.timing import measure, report
from openseg_ros.text.text_encoder import TextEncoder, TextEncoderError, load_text_encoder

BACKENDS = ("torch", "openvino")
MANY = 64


def main(
    name: Annotated[str, typer.Option(help="Text encoder: minilm or a local folder with a BERT.")] = "minilm",
    rounds: RoundsOption = 50,
    out: OutOption = None,
) -> None:
    """Compare what encodes words."""
    try:
        encoders = {backend: load_text_encoder(name, backend) for backend in BACKENDS}
    except TextEncoderError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    numbers = itertools.count()

    def new_phrases(encoder: TextEncoder, count: int) -> Callable[[], object]:
        return lambda: encoder.encode([f"{text} number {next(numbers)}" for text in phrases()[:count]])

    rivals = {
        f"{backend}, {count} new phrase{'s' if count > 1 else ''}": new_phrases(encoder, count)
        for count in (1, MANY)
        for backend, encoder in encoders.items()
    }
    seconds = measure(rivals, rounds)
    known = phrases()
    vectors = [encoder.encode(known) for encoder in encoders.values()]
    worst = float((vectors[0] * vectors[1]).sum(1).min())
    report(f"text encoder {name}", seconds, out, {"rounds": rounds, "phrases": len(known), "worst_cosine": worst})
    Console().print(f"worst cosine of {len(known)} phrases: {worst:.6f}")


if __name__ == "__main__":
    typer.run(main)
