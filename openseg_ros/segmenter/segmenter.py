"""The segmenter: the network once per image, then as many vocabularies as asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.runtime.calibration import Calibration
from openseg_ros.runtime.engine import Engine, EngineOutput
from openseg_ros.segmenter.letterbox import ImageError, Letterbox
from openseg_ros.segmenter.proposals import Proposals, select_proposals
from openseg_ros.segmenter.scoring import score_regions
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.settings import SegmenterSettings
from openseg_ros.text.vocabulary import Vocabulary

__all__ = ["ImageError", "NetworkAnswer", "Segmenter", "SegmenterSettings"]


@dataclass(frozen=True)
class NetworkAnswer:
    """All that the network says of one image; settings and words come after it."""

    letterbox: Letterbox
    output: EngineOutput  # a batch of 1
    chosen: dict[tuple[float, ...], Proposals] = field(default_factory=dict, repr=False)  # by the limits, once made


class Segmenter:
    """Segments images with one engine. Cheap to make: other settings, another segmenter on the same engine."""

    def __init__(self, *, engine: Engine, calibration: Calibration, settings: SegmenterSettings) -> None:
        """Keep the parts; nothing is loaded or run."""
        self._engine = engine
        self._calibration = calibration
        self._settings = settings

    def propose(self, image: np.ndarray) -> Proposals:
        """Run the network on an image and choose its useful regions; see `run` and `choose`."""
        return self.choose(self.run(image))

    def run(self, image: np.ndarray) -> NetworkAnswer:
        """Run the network on an image; nearly everything that costs time per image happens here.

        Args:
            image: (H, W, 3) uint8 RGB, any size.

        Raises:
            ImageError: not such an array.
            EngineError: the network's run failed.
        """
        if image.ndim != 3:
            raise ImageError(f"expected (H, W, 3) uint8, not an array of shape {image.shape}")
        letterbox = Letterbox((image.shape[0], image.shape[1]), self._engine.input_size, self._engine.stride)
        return NetworkAnswer(letterbox, self._engine.infer(letterbox.apply(image)[None], letterbox.valid[None]))

    def choose(self, answer: NetworkAnswer) -> Proposals:
        """The useful regions of an answer, which may come from another segmenter of the same weights."""
        limits = self._settings.proposal_limits
        if limits not in answer.chosen:
            answer.chosen[limits] = select_proposals(answer.output, answer.letterbox, self._settings)
        return answer.chosen[limits]

    def segment(self, proposals: Proposals, vocabulary: Vocabulary, points: ImagePoints | None = None) -> Segmentation:
        """Score regions against a vocabulary; the network does not run, masks are made when somebody reads them.

        Args:
            proposals: of the image.
            vocabulary: what to look for.
            points: of the image, for relations such as "behind"; None without depth.
        """
        scores = score_regions(proposals, vocabulary, self._calibration, self._settings)
        return Segmentation(proposals, vocabulary, scores, self._settings, points)
