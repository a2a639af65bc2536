"""Fit the probabilities of a model on validation images and store them in its model.yaml.

    python -m training.calibrate --weights runs/tabletop --data runs/data/val

For each phrase that is true of an image, and as many that are not, the best region is looked up. Its score should be
the probability that this region is right, when half of what is asked is there. Two numbers are fitted by maximum
likelihood: probability = sigmoid(scale * cosine + bias).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import minimize

from openseg_ros.configuration import to_mapping
from openseg_ros.runtime.engine import EngineError, create_engine
from openseg_ros.runtime.weights import CONFIG_FILE, Calibration, WeightsError, load_weights, write_atomically
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.text_encoder import TextEncoder, TextEncoderError, load_text_encoder
from training.data.coco import CocoPanoptic, CocoSource, DatasetError, Record, read_coco, read_pixels
from training.evaluation.proposal_recall import mask_iou

MATCH_IOU = 0.5  # a region that overlaps the asked object by this is right


@dataclass(frozen=True)
class Answers:
    """What the best region of every asked phrase was worth."""

    cosine: np.ndarray  # (A,) of the best region
    right: np.ndarray  # (A,) bool: the phrase is true of the image and the region is the object
    present: np.ndarray  # (A,) bool: the phrase is true of the image


def collect_answers(
    data: CocoPanoptic, segmenter: Segmenter, encoder: TextEncoder, random: np.random.Generator
) -> Answers:
    """Ask every image for what it shows, and for as many other phrases of the data set."""
    pool = np.array(sorted({name for record in data.records for name in _names(data, record)}))
    cosines, right, present = [], [], []
    for record in track(data.records, "asking", console=Console(stderr=True)):
        image, ids = read_pixels(record)
        proposals = segmenter.propose(image)
        if not len(proposals):
            continue
        masks = proposals.letterbox.restore(proposals.mask_logits) > 0
        true_names = _names(data, record)
        absent = [name for name in random.permutation(pool) if name not in true_names][: len(true_names)]
        for name in [*true_names, *absent]:
            cosine = proposals.embeddings @ encoder.encode([name])[0]
            best = int(cosine.argmax())
            labels = ids[None] == np.array(true_names.get(name, [-1]))[:, None, None]
            iou = mask_iou(masks[best : best + 1], labels)
            cosines.append(cosine[best])
            right.append(iou.max() >= MATCH_IOU)
            present.append(name in true_names)
    return Answers(np.array(cosines, np.float64), np.array(right), np.array(present))


def fit(answers: Answers) -> Calibration:
    """The maximum-likelihood scale and bias of sigmoid(scale * cosine + bias) for `right`."""

    def negative_log_likelihood(parameters: np.ndarray) -> float:
        logit = parameters[0] * answers.cosine + parameters[1]
        return float(np.logaddexp(0, np.where(answers.right, -logit, logit)).mean())

    solution = minimize(negative_log_likelihood, np.array([10.0, -5.0]), method="BFGS")
    return Calibration(scale=round(float(solution.x[0]), 4), bias=round(float(solution.x[1]), 4))


def probabilities(answers: Answers, calibration: Calibration) -> np.ndarray:
    """Calibrated probability of each answer."""
    result: np.ndarray = 1 / (1 + np.exp(-(calibration.scale * answers.cosine + calibration.bias)))
    return result


def expected_calibration_error(probability: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Mean over equal-width bins of |share right - mean probability|, weighted by their counts."""
    index = np.minimum((probability * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    gap = np.abs(np.bincount(index, right, bins) - np.bincount(index, probability, bins))
    return float(gap.sum() / max(1, counts.sum()))


def not_found_figures(probability: np.ndarray, answers: Answers, threshold: float = 0.5) -> dict[str, float]:
    """How the answer "not found" (probability below `threshold`) and the answer "found" fare."""
    not_found = probability < threshold
    absent = ~answers.present
    return {
        "not_found_precision": float(absent[not_found].mean()) if not_found.any() else float("nan"),
        "not_found_recall": float(not_found[absent].mean()) if absent.any() else float("nan"),
        "present_recall": float((~not_found)[answers.present].mean()) if answers.present.any() else float("nan"),
        "found_precision": float(answers.right[~not_found].mean()) if (~not_found).any() else float("nan"),
    }


def _names(data: CocoPanoptic, record: Record) -> dict[str, list[int]]:
    """Every name that is true of something in the image, with the ids of those segments."""
    names: dict[str, list[int]] = {}
    for segment in record.segments:
        for name in {segment.phrase, data.categories[segment.category]}:
            names.setdefault(name, []).append(segment.id)
    return names


def main(
    weights: Annotated[str, typer.Option(help="Model folder; its model.yaml is rewritten.")],
    data: Annotated[Path, typer.Option(help="Validation images in the tabletop world's layout.")],
    backend: Annotated[str, typer.Option(help="Engine: auto, openvino, torch.")] = "auto",
    seed: Annotated[int, typer.Option(help="Draws the phrases that are not there.")] = 0,
) -> None:
    """Fit and store the calibration of a model."""
    try:
        model = load_weights(weights)
        encoder = load_text_encoder(model.description.text_encoder)
        segmenter = Segmenter(
            engine=create_engine(model, backend), calibration=Calibration(), settings=SegmenterSettings()
        )
        answers = collect_answers(read_coco(CocoSource(str(data))), segmenter, encoder, np.random.default_rng(seed))
    except (WeightsError, EngineError, TextEncoderError, DatasetError) as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    calibration = fit(answers)
    probability = probabilities(answers, calibration)
    description = replace(model.description, calibration=calibration)
    text = yaml.safe_dump(to_mapping(description), sort_keys=False)
    write_atomically(model.folder / CONFIG_FILE, text.encode())
    table = Table("figure", "value", title=f"{model.name}: {len(answers.right)} phrases on {data}")
    table.add_row("scale, bias", f"{calibration.scale}, {calibration.bias}")
    table.add_row("expected calibration error", f"{expected_calibration_error(probability, answers.right):.3f}")
    for key, value in not_found_figures(probability, answers).items():
        table.add_row(key.replace("_", " "), f"{value:.3f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
