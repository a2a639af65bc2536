"""OpenSeg as an evaluated system: the network's proposals combined by eq. 6 (paper 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from openseg_ros.runtime.calibration import Calibration
from openseg_ros.runtime.engine import Engine
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.segmenter.proposals import mask_quality, sigmoid
from openseg_ros.text.text_encoder import TextEncoder
from training.evaluation.best_class import best_class
from training.evaluation.class_embeddings import ClassEmbeddings, SystemOfNames
from training.evaluation.upsampled_bands import upsampled_bands


class OpenSegSystem(SystemOfNames):
    """Proposals of the network, each with the embedding of what it shows."""

    def __init__(
        self, engine: Engine, encoder: TextEncoder, calibration: Calibration, temperature: float | None = None
    ) -> None:
        """Prepare the system.

        Args:
            engine: runs the network.
            encoder: encodes names.
            calibration: chooses the region for a phrase.
            temperature: None weighs masks by cosines, as eq. 6 does; the tau of eq. 2 weighs them by the attention that
                each word pays to the regions there. That is how training reads them, and it takes away what a word
                has in common with all regions of the image.
        """
        self.name = "openseg" if temperature is None else "openseg_attention"
        self._calibration = calibration
        self._engine = engine
        self._temperature = temperature
        super().__init__(encoder)

    def predict(self, image: np.ndarray, truth: np.ndarray | None = None) -> RegionPrediction:
        """Run the network on (H, W, 3) uint8 RGB; `truth` is not looked at.

        Raises:
            EngineError: the run failed.
            RuntimeError: `set_classes` was not called.
        """
        classes = self._classes  # before any work: raises
        letterbox = Letterbox((image.shape[0], image.shape[1]), self._engine.input_size, self._engine.stride)
        output = self._engine.infer(letterbox.apply(image)[None], letterbox.valid[None])
        return RegionPrediction(
            letterbox,
            output.mask_logits[0],
            output.embeddings[0],
            classes,
            self._encoder,
            self._calibration,
            self._temperature,
        )


class RegionPrediction:
    """Regions of one image: masks with an embedding each."""

    def __init__(
        self,
        letterbox: Letterbox,
        mask_logits: np.ndarray,
        embeddings: np.ndarray,
        classes: ClassEmbeddings,
        encoder: TextEncoder,
        calibration: Calibration,
        temperature: float | None = None,
    ) -> None:
        """`mask_logits` (N, h, w) over the whole grid, `embeddings` (N, D) of unit length; rest as `OpenSegSystem`."""
        self._letterbox = letterbox
        self._mask_logits = mask_logits
        self._embeddings = embeddings
        self._classes = classes
        self._encoder = encoder
        self._calibration = calibration
        self._temperature = temperature

    @cached_property
    def proposals(self) -> np.ndarray:
        """(N, H, W) bool: where the sigmoid is above 0.5."""
        proposals = np.empty((len(self._mask_logits), *self._letterbox.image_size), bool)
        for rows, logits in upsampled_bands(self._letterbox, self._mask_logits):
            proposals[:, rows] = logits > 0
        return proposals

    def segment(self, rows: np.ndarray) -> np.ndarray:
        """Eq. 6: argmax over the classes of <w, z> times s, summed over all N proposals. (H, W) int64."""
        scores = self._classes.scores(self._embeddings, rows)
        if self._temperature is not None:  # eq. 2: softmax over the regions
            scores = np.exp((scores - scores.max(1, keepdims=True)) / self._temperature)
            scores /= scores.sum(1, keepdims=True)
        best = np.empty(self._letterbox.image_size, np.int64)
        for band, logits in upsampled_bands(self._letterbox, self._mask_logits):
            masks = sigmoid(logits)
            best[band] = best_class(scores, masks.reshape(len(masks), -1)).reshape(masks.shape[1:])
        segmented: np.ndarray = rows[best]
        return segmented

    def find(self, phrases: Sequence[str]) -> np.ndarray:
        """(P, H, W) bool: the proposal that most probably is the phrase, as the node chooses it."""
        cosine = (self._encoder.encode(phrases) @ self._embeddings.T).astype(np.float64)  # else the best are all 1.0
        logits = self._letterbox.crop(self._mask_logits).reshape(len(self._mask_logits), -1)
        quality = mask_quality(sigmoid(logits), logits > 0)
        cohort = self._calibration.cohort_score(self._embeddings)
        found: np.ndarray = self.proposals[self._calibration.probability(cosine, quality, cohort).argmax(1)]
        return found
