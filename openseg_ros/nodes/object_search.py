"""Watching for one target over several images."""

from __future__ import annotations

import enum

from std_msgs.msg import Header

from openseg_ros.segmenter.segmentation import Segmentation, Status
from openseg_ros.segmenter.segmenter import NetworkAnswer, Segmenter
from openseg_ros.text.vocabulary import Vocabulary


class Outcome(enum.IntEnum):
    """Numbers of FindObject's status."""

    FOUND = 0
    NOT_FOUND = 1
    AMBIGUOUS = 2
    NO_IMAGE = 3
    REJECTED = 4
    CANCELLED = 5


class ObjectSearch:
    """Counts the images in a row that show the target of a vocabulary, clearly and alone."""

    def __init__(self, segmenter: Segmenter, vocabulary: Vocabulary, stable_frames: int) -> None:
        """Look with `segmenter`, whose settings may differ from the node's, until `stable_frames` in a row show it."""
        self._segmenter = segmenter
        self._vocabulary = vocabulary
        self._stable_frames = stable_frames
        self.frames_seen = 0
        self.frames_in_a_row = 0
        self.best_score = 0.0
        self.last: tuple[Header, Segmentation] | None = None  # the last image that was looked at

    def look_at(self, header: Header, answer: NetworkAnswer) -> bool:
        """Take the next image into account; whether the target is found now. The network does not run."""
        segmentation = self._segmenter.segment(self._segmenter.choose(answer), self._vocabulary)
        target = segmentation.target_result
        assert target is not None  # a vocabulary without a target is refused before
        is_shown = target.status is Status.OK and segmentation.status is not Status.DEGRADED
        self.frames_seen += 1
        self.frames_in_a_row = self.frames_in_a_row + 1 if is_shown else 0
        self.best_score = max(self.best_score, target.score)
        self.last = (header, segmentation)
        return self.frames_in_a_row >= self._stable_frames

    def outcome(self) -> Outcome:
        """How the search ends if it ends now."""
        if self.last is None:
            return Outcome.NO_IMAGE
        if self.frames_in_a_row >= self._stable_frames:
            return Outcome.FOUND
        target = self.last[1].target_result
        is_ambiguous = target is not None and target.status is Status.AMBIGUOUS
        return Outcome.AMBIGUOUS if is_ambiguous else Outcome.NOT_FOUND
