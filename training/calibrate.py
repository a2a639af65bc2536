"""Fit the probabilities of a model on validation images and store them in its model.yaml.

    python -m training.calibrate --weights runs/tabletop --data runs/data/val --words-of runs/data/train

Every image is asked for each phrase that is true of it, and for as many that are not. The score of the best region
should be the probability that this region is right. Four numbers are fitted by maximum likelihood:
probability = sigmoid(scale * cosine + quality * mask quality + cohort * cohort score + bias). The cohort score of a
region is high where common words describe it; which words are common, the captions of `--words-of` tell.

The numbers are stored as fitted on all images. The figures that are printed, and reliability.png beside model.yaml,
come from answers to images that had no part in them: each half of the scenes is answered with what the other half gave.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openseg_ros.configuration import to_mapping
from openseg_ros.runtime.calibration import COHORT_FILE, Calibration, cohort_file
from openseg_ros.runtime.engine import EngineError, create_engine
from openseg_ros.runtime.weights import CONFIG_FILE, WeightsError, load_weights, write_atomically
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.text_encoder import TextEncoder, TextEncoderError, load_text_encoder
from training.data.broken_records import DatasetError
from training.data.pixels import read_pixels
from training.data.records import AnnotatedImages, Record
from training.data.sources import DataSource, read_source
from training.data.words import WordRule, extract_words
from training.evaluation.calibration import (
    Answers,
    Candidates,
    answer_figures,
    cross_fitted_answers,
    expected_calibration_error,
    fit,
    not_found_threshold,
)
from training.evaluation.phrase_hits import MATCH_IOU, fits
from training.evaluation.proposal_recall import mask_iou
from training.evaluation.reliability_plot import reliability_plot

PLOT_FILE = "reliability.png"
COHORT_WORDS = 200  # of every data set; nine times as many are hardly better (training/EXPERIMENTS.md)
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7)  # at which the answers are shown
NOT_FOUND_PRECISION = 0.9  # the threshold with so many true NOT_FOUND answers is shown too


def collect_candidates(
    data: AnnotatedImages,
    segmenter: Segmenter,
    encoder: TextEncoder,
    cohort: Calibration,
    random: np.random.Generator,
) -> Candidates:
    """Ask every image for what it shows, and for as many other phrases of the data set; only `cohort`'s words count.

    Raises:
        DatasetError: fewer than two images can be asked: each half is answered with what the other gave.
    """
    pool = np.array(sorted({name for record in data.records for name in _names(data, record)}))
    cosines, qualities, cohorts, right, present, images = [], [], [], [], [], []
    for number, record in enumerate(track(data.records, "asking", console=Console(stderr=True))):
        image, ids = read_pixels(record)
        proposals = segmenter.propose(image)
        if not len(proposals):
            continue
        masks = proposals.letterbox.restore(proposals.mask_logits) > 0
        cohort_score = cohort.cohort_score(proposals.embeddings)
        true_names = _names(data, record)
        drawn = (name for name in random.permutation(pool) if not any(fits(name, true) for true in true_names))
        absent = list(islice(drawn, len(true_names)))
        segments = np.array([segment.id for segment in record.segments])
        meets = mask_iou(masks, ids[None] == segments[:, None, None]) >= MATCH_IOU  # (regions, segments)
        for name in [*true_names, *absent]:
            cosines.append(proposals.embeddings @ encoder.encode([name])[0])
            qualities.append(proposals.mask_quality)
            cohorts.append(cohort_score)
            right.append(meets[:, np.isin(segments, true_names.get(name, []))].any(1))
            present.append(name in true_names)
            images.append(number)
    if len(set(images)) < 2:
        raise DatasetError(
            f"the network proposes regions in {len(set(images))} of {len(data.records)} annotated images of "
            f"{data.folder}; two are needed, because each half is answered with what the other half gave"
        )
    return Candidates(
        cosine=np.concatenate(cosines).astype(np.float64),
        quality=np.concatenate(qualities).astype(np.float64),
        cohort=np.concatenate(cohorts).astype(np.float64),
        right=np.concatenate(right),
        asked=np.repeat(np.arange(len(cosines)), [len(part) for part in cosines]),
        present=np.array(present),
        image=np.array(images),
    )


def common_words(sets: Sequence[AnnotatedImages]) -> tuple[str, ...]:
    """The words that most captions of each data set have, sorted."""
    words: set[str] = set()
    for data in sets:
        counts = Counter(word for record in data.records for text in record.captions for word in _words(text))
        words.update(word for word, _ in counts.most_common(COHORT_WORDS))
    return tuple(sorted(words))


@cache
def _words(caption: str) -> list[str]:
    return extract_words(caption, WordRule())


def _names(data: AnnotatedImages, record: Record) -> dict[str, list[int]]:
    """Every name of something in the image, with the ids of all segments that it fits."""
    called = {segment.id: {segment.phrase, data.categories[segment.category]} for segment in record.segments}
    names = sorted({name for own in called.values() for name in own})
    return {
        name: [number for number, own in called.items() if any(fits(name, other) for other in own)] for name in names
    }


def main(
    weights: Annotated[str, typer.Option(help="Model folder; its model.yaml is rewritten.")],
    data: Annotated[Path, typer.Option(help="Validation images in the tabletop world's layout.")],
    words_of: Annotated[
        list[Path] | None, typer.Option(help="Images whose captions tell which words are common; else the data's.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Engine: auto, openvino, torch.")] = "auto",
    seed: Annotated[int, typer.Option(help="Draws the phrases that are not there.")] = 0,
) -> None:
    """Fit and store the calibration of a model."""
    try:
        model = load_weights(weights)
        if not os.access(model.folder, os.W_OK):
            raise WeightsError(f"the calibration cannot be stored: {model.folder} is not writable; give a copy of it")
        encoder = load_text_encoder(model.description.text_encoder)
        segmenter = Segmenter(
            engine=create_engine(model, backend), calibration=Calibration(), settings=SegmenterSettings()
        )
        annotated = read_source(DataSource(str(data)))
        words = common_words([read_source(DataSource(str(folder))) for folder in words_of or [data]])
        cohort = Calibration(words=encoder.encode(words))
        candidates = collect_candidates(annotated, segmenter, encoder, cohort, np.random.default_rng(seed))
    except (WeightsError, EngineError, TextEncoderError, DatasetError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    if not candidates.right.any():
        typer.secho(f"error: no region of {model.name} meets a segment of {data}: nothing to fit", err=True, fg="red")
        raise typer.Exit(2)
    calibration = fit(candidates)
    given = cross_fitted_answers(candidates)
    description = replace(model.description, calibration=calibration)
    text = yaml.safe_dump(to_mapping(description), sort_keys=False)
    title = f"{model.name}: {len(given.right)} phrases on {data.name}"
    try:
        # The words first: numbers that weigh words which are not there are refused.
        write_atomically(model.folder / COHORT_FILE, cohort_file(words, cohort.words))
        write_atomically(model.folder / CONFIG_FILE, text.encode())
        write_atomically(model.folder / PLOT_FILE, reliability_plot(given, title))
    except OSError as error:
        typer.secho(f"error: cannot write in {model.folder}: {error.strerror}", err=True, fg="red")
        raise typer.Exit(2) from error
    table = Table("figure", "value", title=f"{title}, each image with what the other half gave")
    for name, value in asdict(calibration).items():
        table.add_row(name, f"{value}")
    table.add_row("expected calibration error", f"{expected_calibration_error(given.probability, given.right):.3f}")
    Console().print(table)
    Console().print(_by_threshold(given))


def _by_threshold(given: Answers) -> Table:
    """What a robot gets that takes regions from some probability on."""
    highest = not_found_threshold(given, NOT_FOUND_PRECISION)
    shown = sorted({*THRESHOLDS, *([] if np.isnan(highest) else [highest])})
    rows = {threshold: answer_figures(given, threshold) for threshold in shown}
    table = Table("threshold", *(name.replace("_", " ") for name in next(iter(rows.values()))))
    for threshold, figures in rows.items():
        table.add_row(f"{threshold:.3f}", *(f"{value:.3f}" for value in figures.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
