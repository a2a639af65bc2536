"""Searching an hour of recorded vectors, against running the network on one image: ten images per second, ten regions.

python -m benchmark.bag_search --weights tabletop
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import skimage.data
import torch
import typer

from benchmark.loaded_model import load_model
from benchmark.options import OutOption, WeightsOption
from benchmark.timing import measure, report
from openseg_ros.bags.region_index import RegionIndex
from openseg_ros.bags.search import search
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.vocabulary import Query, build_vocabulary

RATE_HZ, REGIONS_PER_IMAGE = 10, 10


def recording(seconds: int, dim: int) -> RegionIndex:
    """An index of random unit vectors."""
    images = seconds * RATE_HZ
    count = images * REGIONS_PER_IMAGE
    random = np.random.default_rng(0)
    vectors = random.standard_normal((count, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    time = np.arange(images) * (10**9 // RATE_HZ)
    return RegionIndex(
        embeddings=torch.from_numpy(vectors),
        mask_quality=random.random(count, dtype=np.float32),
        cohort_score=random.random(count, dtype=np.float32),
        region=np.tile(np.arange(REGIONS_PER_IMAGE, dtype=np.int32), images),
        roi=np.zeros((count, 4), np.int32),
        image=np.repeat(np.arange(images), REGIONS_PER_IMAGE),
        stamp=time,
        time=time,
        topic=np.zeros(images, np.int64),
        topics=("/openseg/regions",),
        start=0,
        left_out=0,
        all_regions=True,
    )


def main(
    weights: WeightsOption = "tabletop",
    minutes: Annotated[int, typer.Option(min=1, help="Length of the recording.")] = 60,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 10,
    out: OutOption = None,
) -> None:
    """Compare a search with what one image costs the network."""
    model, encoder, engine = load_model(weights)
    calibration = model.calibration
    segmenter = Segmenter(engine=engine, calibration=calibration, settings=SegmenterSettings())
    index = recording(minutes * 60, encoder.dim)
    look = partial(search, index, calibration=calibration, threshold=0.5, pause=1.0)
    rivals: dict[str, Callable[[], object]] = {
        "network on one image": partial(segmenter.propose, np.ascontiguousarray(skimage.data.coffee())),
        "search for 1 phrase": partial(look, build_vocabulary([Query("scissors")], encoder, 1)),
        "search for 3 phrases": partial(
            look, build_vocabulary([Query(x) for x in ("cup", "red mug", "bowl")], encoder, 1)
        ),
    }
    report(
        f"{minutes} minutes: {len(index.stamp)} images, {len(index)} regions ({engine.name})",
        measure(rivals, rounds),
        out,
        {"rounds": rounds},
    )


if __name__ == "__main__":
    typer.run(main)
