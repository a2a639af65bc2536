"""A scene whose network output is known exactly: the reference that the segmenter's arithmetic is checked against.

It follows the `Engine` protocol, but there is no network: masks are drawn on the grid, and what a thing is called is a
unit vector. The encoder gives phrases the same vectors, so every cosine is known: 1 for the right phrase, 0 for others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from openseg_ros.runtime.calibration import Calibration
from openseg_ros.runtime.engine import EngineOutput
from openseg_ros.segmenter.segmenter import Segmenter, SegmenterSettings
from openseg_ros.text.vocabulary import Query, Vocabulary, build_vocabulary

NAMES = ("cup", "bowl", "fork", "table", "plant", "lamp", "book", "shoe")
CALIBRATION = Calibration(scale=8.0, bias=-4.0)  # cosine 1 -> 0.982, 0.5 -> 0.5, 0 -> 0.018


def probability(cosine: float) -> float:
    return 1 / (1 + math.exp(-(8.0 * cosine - 4.0)))


def vector(meaning: str | Mapping[str, float]) -> np.ndarray:
    """(9,) unit vector: cosine as given to each name; what is left goes to an axis that no name has."""
    cosines = {meaning: 1.0} if isinstance(meaning, str) else dict(meaning)
    axes = np.zeros(len(NAMES) + 1, np.float32)
    for name, cosine in cosines.items():
        axes[NAMES.index(name)] = cosine
    axes[-1] = math.sqrt(max(0.0, 1 - float(axes @ axes)))
    return axes


class NamesEncoder:
    """Encodes the names above; everything else means nothing here."""

    name, dim = "names", len(NAMES) + 1

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = [vector(text) if text in NAMES else vector({}) for text in texts]
        return np.array(rows, np.float32).reshape(-1, self.dim)


class DrawnEngine:
    """Answers every image with the same masks."""

    name = "drawn"

    def __init__(
        self,
        things: Sequence[tuple[np.ndarray, str | Mapping[str, float]]],
        input_size: tuple[int, int] = (480, 640),
        stride: int = 4,
    ) -> None:
        """Take (mask logits (h, w), meaning) pairs."""
        self.input_size, self.stride = input_size, stride
        shape = (len(things), input_size[0] // stride, input_size[1] // stride)
        self.mask_logits = np.array([logits for logits, _ in things], np.float32).reshape(1, *shape)
        self.embeddings = np.array([vector(meaning) for _, meaning in things], np.float32).reshape(
            1, len(things), len(NAMES) + 1
        )
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        self.seen.append((images, valid))
        return EngineOutput(self.mask_logits, self.embeddings)


def rectangle(
    top: int, left: int, bottom: int, right: int, logit: float = 6.0, grid: tuple[int, int] = (120, 160)
) -> np.ndarray:
    """(h, w) logits: `logit` in the cells, its negative elsewhere."""
    logits = np.full(grid, -logit, np.float32)
    logits[top:bottom, left:right] = logit
    return logits


def words(*queries: Query | str, version: int = 1) -> Vocabulary:
    asked = [Query(query) if isinstance(query, str) else query for query in queries]
    return build_vocabulary(asked, NamesEncoder(), version)


def segmenter(things: Sequence[tuple[np.ndarray, str | Mapping[str, float]]], **settings: float) -> Segmenter:
    return Segmenter(
        engine=DrawnEngine(things),
        calibration=CALIBRATION,
        settings=SegmenterSettings(**settings),  # type: ignore[arg-type]
    )


GREY = np.full((480, 640, 3), 90, np.uint8)
