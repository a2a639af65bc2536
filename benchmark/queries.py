"""What an image costs, and what words cost: the network once per image, then 1, 10, 100 or 1000 phrases.

python -m benchmark.queries --weights tabletop
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import skimage.data
import typer

from benchmark.loaded_model import load_model
from benchmark.options import OutOption, RoundsOption, WeightsOption
from benchmark.timing import measure, report
from openseg_ros.segmenter.proposals import Proposals
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.vocabulary import Query, Vocabulary, build_vocabulary

COLOURS = ("red", "green", "blue", "yellow", "black", "white", "brown", "orange", "purple", "gray")
NOUNS = ("cup", "bowl", "plate", "spoon", "fork", "knife", "bottle", "can", "box", "book")
PLACES = ("", "small ", "large ", "striped ", "wooden ", "metal ", "plastic ", "old ", "new ", "dirty ")


def phrases() -> list[str]:
    """1000 different phrases."""
    return [f"{place}{colour} {noun}" for place in PLACES for colour in COLOURS for noun in NOUNS]


def label(segmenter: Segmenter, proposals: Proposals, vocabulary: Vocabulary) -> tuple[object, object]:
    """Score `proposals` with `vocabulary` and make the reported regions and the label image."""
    segmentation = segmenter.segment(proposals, vocabulary)
    return segmentation.regions, segmentation.mask


def main(
    weights: WeightsOption = "tabletop",
    rounds: RoundsOption = 50,
    out: OutOption = None,
) -> None:
    """Compare the network's run with scoring words on its result."""
    model, encoder, engine = load_model(weights)
    texts = phrases()
    image = np.ascontiguousarray(skimage.data.coffee())
    segmenter = Segmenter(
        engine=engine, calibration=model.calibration, settings=SegmenterSettings(score_threshold=0.05)
    )
    proposals = segmenter.propose(image)
    rivals: dict[str, Callable[[], object]] = {"network on one image": partial(segmenter.propose, image)}
    for count in (1, 10, 100, 1000):
        vocabulary = build_vocabulary([Query(phrase) for phrase in texts[:count]], encoder, count)
        rivals[f"masks for {count} phrases"] = partial(label, segmenter, proposals, vocabulary)
    known = [Query(phrase) for phrase in texts[:100]]
    rivals["look up 100 known phrases"] = partial(build_vocabulary, known, encoder, 0)
    report(
        f"{model.embedding_space} ({engine.name}), coffee photo {image.shape[1]}x{image.shape[0]}",
        measure(rivals, rounds),
        out,
        {"rounds": rounds},
    )


if __name__ == "__main__":
    typer.run(main)
