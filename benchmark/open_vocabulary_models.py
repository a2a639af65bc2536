"""Time of OpenSeg against CLIPSeg, GroupViT and OWL-ViT of transformers, on one image with 1, 10 and 100 phrases.

python -m benchmark.open_vocabulary_models --weights tabletop

The rivals have their published size and random weights, which take the same time. All run in torch in fp32 on the CPU,
at the input size of each; ours once more as it is run on a robot. Phrases are encoded beforehand where the model allows
it (ours), and with every image where transformers' interface does so. Sizes differ much: read it as what a user gets,
not as a comparison of architectures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import cv2
import numpy as np
import skimage.data
import torch
import typer
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    GroupViTConfig,
    GroupViTModel,
    OwlViTConfig,
    OwlViTForObjectDetection,
)

from benchmark.loaded_model import load_model
from benchmark.options import OutOption, WeightsOption
from benchmark.queries import label, phrases
from benchmark.timing import measure, report
from openseg_ros.runtime.engine import Engine, create_engine
from openseg_ros.runtime.weights import Weights
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.text_encoder import TextEncoder
from openseg_ros.text.vocabulary import Query, Vocabulary, build_vocabulary

CLIPSEG_SIZE, GROUPVIT_SIZE, OWLVIT_SIZE = 352, 224, 768  # pixels, of their published weights
TOKENS = 6  # "a photo of a red cup" without padding, start and end
CLIPSEG_MOST = 10  # it decodes once for every phrase: 100 take minutes


def words(count: int) -> dict[str, torch.Tensor]:
    """(count, TOKENS + 2) token ids between start and end, and their attention mask."""
    ids = torch.randint(1000, 40_000, (count, TOKENS + 2), generator=torch.Generator().manual_seed(count))
    ids[:, 0], ids[:, -1] = 49_406, 49_407
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def rivals_of_transformers(counts: list[int]) -> dict[str, Callable[[], object]]:
    """Forward passes of the three models on one image for every number of phrases."""
    torch.manual_seed(0)
    clipseg = CLIPSegForImageSegmentation(CLIPSegConfig()).eval()
    groupvit = GroupViTModel(GroupViTConfig()).eval()
    owlvit = OwlViTForObjectDetection(OwlViTConfig()).eval()
    rivals: dict[str, Callable[[], object]] = {}
    for count in counts:
        if count <= CLIPSEG_MOST:
            pixels = torch.rand(1, 3, CLIPSEG_SIZE, CLIPSEG_SIZE).expand(count, -1, -1, -1)
            rivals[f"CLIPSeg, {count}"] = partial(clipseg, **words(count), pixel_values=pixels)
        pixels = torch.rand(1, 3, GROUPVIT_SIZE, GROUPVIT_SIZE)
        rivals[f"GroupViT, {count}"] = partial(groupvit, **words(count), pixel_values=pixels, output_segmentation=True)
        pixels = torch.rand(1, 3, OWLVIT_SIZE, OWLVIT_SIZE)
        rivals[f"OWL-ViT (boxes), {count}"] = partial(owlvit, **words(count), pixel_values=pixels)
    return rivals


def ours(model: Weights, encoder: TextEncoder, engine: Engine, counts: list[int]) -> dict[str, Callable[[], object]]:
    """Masks of the whole image, camera resolution and all, for every number of phrases."""
    image = np.ascontiguousarray(cv2.resize(skimage.data.coffee(), (640, 480), interpolation=cv2.INTER_AREA))
    segmenter = Segmenter(engine=engine, calibration=model.calibration, settings=SegmenterSettings())
    vocabularies = {
        count: build_vocabulary([Query(text) for text in phrases()[:count]], encoder, 0) for count in counts
    }

    def answer(vocabulary: Vocabulary) -> object:
        return label(segmenter, segmenter.propose(image), vocabulary)

    return {f"OpenSeg {engine.name}, {count}": partial(answer, words) for count, words in vocabularies.items()}


def main(
    weights: WeightsOption = "tabletop",
    rounds: Annotated[int, typer.Option(min=1, help="Runs of every model.")] = 10,
    counts: Annotated[list[int], typer.Option("--phrases", help="Numbers of phrases.")] = [1, 10, 100],  # noqa: B006
    out: OutOption = None,
) -> None:
    """Compare the time of one image."""
    model, encoder, engine = load_model(weights)
    reference = create_engine(model, "torch", precision="fp32")
    rivals = ours(model, encoder, engine, counts) | ours(model, encoder, reference, counts)
    with torch.inference_mode():
        seconds = measure(rivals | rivals_of_transformers(counts), rounds)
    facts = {"weights": model.embedding_space, "rounds": rounds}
    report("one image, masks for a number of phrases", seconds, out, facts)


if __name__ == "__main__":
    typer.run(main)
