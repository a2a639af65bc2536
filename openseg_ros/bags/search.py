"""Where in a bag a phrase was seen: recorded vectors against the phrase's, no image and no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from openseg_ros.bags.region_index import RegionIndex
from openseg_ros.runtime.calibration import Calibration
from openseg_ros.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Hit:
    """The best region of one image."""

    score: float  # calibrated probability, as the node computes it
    region: int  # id within the image's RegionArray
    roi: tuple[int, int, int, int]  # x y width height, pixels
    stamp: int  # ns, of the image
    time: int  # ns, when its regions were recorded


@dataclass(frozen=True)
class Sighting:
    """A stretch of a topic during which the phrase was seen without a longer pause."""

    phrase: str
    topic: str
    first: int  # ns, recording time of the first image
    last: int
    images: int
    best: Hit


@dataclass(frozen=True)
class Found:
    """What became of one phrase."""

    phrase: str
    sightings: tuple[Sighting, ...]  # best first
    best: Hit  # of all images, also when it is below the threshold


def search(
    index: RegionIndex, vocabulary: Vocabulary, calibration: Calibration, *, threshold: float, pause: float
) -> list[Found]:
    """Look for every query of `vocabulary`.

    Args:
        index: at least one region.
        vocabulary: phrases, encoded by the text encoder of the model that was recorded. The best of a query's names
            counts (paper 4.3). Background queries are not looked for.
        calibration: of that model.
        threshold: probability from which a region is found; a query's own threshold wins.
        pause: seconds without the phrase after which a new sighting begins.
    """
    words = torch.from_numpy(np.array(vocabulary.embeddings))  # a copy: torch takes no read-only arrays
    cosine = (index.embeddings @ words.T).numpy()
    starts = np.searchsorted(vocabulary.owner, np.arange(len(vocabulary.queries)))
    probability = calibration.probability(
        np.maximum.reduceat(cosine, starts, axis=1), index.mask_quality[:, None], index.cohort_score[:, None]
    ).astype(np.float32, copy=False)
    return [
        _find(index, probability[:, row], query.text, query.threshold if query.threshold >= 0 else threshold, pause)
        for row, query in enumerate(vocabulary.queries)
        if not query.background
    ]


def _find(index: RegionIndex, probability: np.ndarray, phrase: str, threshold: float, pause: float) -> Found:
    regions = np.flatnonzero(probability >= threshold)
    # The best region of each image: sorted by image, then by falling probability, the first of every image.
    regions = regions[np.lexsort((-probability[regions], index.image[regions]))]
    regions = regions[np.unique(index.image[regions], return_index=True)[1]]
    # Stretches: sorted by topic, then by time.
    images = index.image[regions]
    order = np.lexsort((index.time[images], index.topic[images]))
    regions, images = regions[order], images[order]
    new_topic = np.diff(index.topic[images]) != 0
    bounds = np.flatnonzero(new_topic | (np.diff(index.time[images]) > pause * 1e9)) + 1
    sightings = [
        Sighting(
            phrase=phrase,
            topic=index.topics[index.topic[index.image[stretch[0]]]],
            first=int(index.time[index.image[stretch[0]]]),
            last=int(index.time[index.image[stretch[-1]]]),
            images=len(stretch),
            best=_hit(index, probability, int(stretch[probability[stretch].argmax()])),
        )
        for stretch in np.split(regions, bounds)
        if len(stretch)
    ]
    sightings.sort(key=lambda sighting: -sighting.best.score)
    return Found(phrase, tuple(sightings), _hit(index, probability, int(np.nan_to_num(probability).argmax())))


def _hit(index: RegionIndex, probability: np.ndarray, region: int) -> Hit:
    image = index.image[region]
    x, y, width, height = index.roi[region].tolist()
    return Hit(
        score=float(probability[region]),
        region=int(index.region[region]),
        roi=(x, y, width, height),
        stamp=int(index.stamp[image]),
        time=int(index.time[image]),
    )
