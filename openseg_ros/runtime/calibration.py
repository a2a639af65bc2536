"""From cosines to probabilities: numbers and words that `training.calibrate` stores beside the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

COHORT_FILE = "cohort.safetensors"
COHORT_TEMPERATURE = 0.02  # near the tau of eq. 2 that trained models have: the few nearest words count


@dataclass(frozen=True)
class CalibrationNumbers:
    """What `model.yaml` says of it: the weights of cosine, mask quality and cohort score."""

    scale: float = 1.0
    quality: float = 0.0  # a part of an object often has the cosine of the whole, but not the certainty of its mask
    bias: float = 0.0
    cohort: float = 0.0  # below zero: what common words describe as well is probably not the phrase

    def probability(self, cosine: np.ndarray, quality: np.ndarray, cohort: np.ndarray | float = 0.0) -> np.ndarray:
        """sigmoid(scale * cosine + quality * mask quality + cohort * cohort score + bias), of the broadcast shape."""
        logit = self.scale * cosine + (self.quality * quality + self.cohort * cohort + self.bias)
        with np.errstate(over="ignore"):  # exp of a large number is inf, and the probability rightly 0
            result: np.ndarray = 1 / (1 + np.exp(-logit))
        return result


@dataclass(frozen=True, eq=False)
class Calibration(CalibrationNumbers):
    """The numbers with the words of the cohort.

    That is a few hundred common words: a cosine of 0.3 with "cup" means more where no other word has 0.2. Speaker
    verification normalises scores so (test normalisation, Auckenthaler et al. 2000).
    """

    words: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # (V, D) float32 unit rows

    def cohort_score(self, embeddings: np.ndarray) -> np.ndarray:
        """How well the common words describe regions: a soft maximum of their cosines.

        Args:
            embeddings: (M, D) float32 of unit length.

        Returns:
            (M,) float32; 0 without a cohort.
        """
        if not len(self.words):
            return np.zeros(len(embeddings), np.float32)
        logits = embeddings @ self.words.T / np.float32(COHORT_TEMPERATURE)
        highest = logits.max(1)
        score: np.ndarray = COHORT_TEMPERATURE * (highest + np.log(np.exp(logits - highest[:, None]).sum(1)))
        return score.astype(np.float32, copy=False)


def cohort_file(words: tuple[str, ...], vectors: np.ndarray) -> bytes:
    """Content of `COHORT_FILE`: the words for people, their vectors (V, D) in float16."""
    return save({"vectors": vectors.astype(np.float16)}, {"words": json.dumps(words)})


def read_cohort(folder: Path) -> np.ndarray:
    """(V, D) float32 vectors of the cohort in a model folder; V = 0 without such a file.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / COHORT_FILE
    if not path.exists():
        return np.zeros((0, 0), np.float32)
    try:
        with safe_open(path, "np") as stored:
            vectors: np.ndarray = stored.get_tensor("vectors").astype(np.float32)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} is damaged or not a safetensors file ({error}); fetch or fit it again") from error
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(f"{path} does not hold rows of finite numbers")
    return vectors
