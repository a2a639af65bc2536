"""Find and embed the words of a configuration's captions before training, on a machine without GPUs.

    python -m training.prepare_words --config training/configs/... --data DATA

The trainer reads what this has written; without it, it does the same itself while its GPUs wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openseg_ros.configuration import ConfigurationError
from openseg_ros.text.text_encoder import TextEncoderError
from training.config import load_train_config, parse_overrides
from training.data.broken_records import DatasetError
from training.data.prepared_words import prepare_words
from training.data.sources import read_source, sources_below


def main(
    config: Annotated[Path, typer.Option(help="YAML file of the training run.")],
    data: Annotated[Path, typer.Option(help="Folder that the sources' relative folders are below.")] = Path(),
    words: Annotated[Path | None, typer.Option(help="Folder of the result; default: DATA/words.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="key=value, as the trainer gets it.")] = None,
) -> None:
    """Prepare the words of a training run."""
    try:
        run = load_train_config(config, parse_overrides(override or []))
        sources = [read_source(source) for source in sources_below(run.sources, data)]
        captions = [record.captions for source in sources for record in source.records]
        prepared = prepare_words(captions, run.words, run.text_encoder, words or data / "words")
    except (ConfigurationError, DatasetError, TextEncoderError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    for source in sources:
        print(f"{source.folder}: {len(source.records)} images, {len(source.problems)} broken records skipped")
    found = sum(len(rows) for record in prepared.rows for rows in record)
    print(f"{sum(map(len, captions))} captions, {found} words, {len(prepared.words)} of them different")


if __name__ == "__main__":
    typer.run(main)
