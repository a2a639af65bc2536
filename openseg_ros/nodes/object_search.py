"""Watching for one target over several images."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.nodes.camera import Camera
from openseg_ros.nodes.frame_worker import Frame
from openseg_ros.segmenter.segmentation import Segmentation, Status
from openseg_ros.segmenter.segmenter import NetworkAnswer, Segmenter
from openseg_ros.text.vocabulary import Vocabulary


class Outcome(enum.IntEnum):
    """Numbers of FindObject's status; 0 is none of them, so that an empty result says nothing."""

    FOUND = 1
    NOT_FOUND = 2
    AMBIGUOUS = 3
    NO_IMAGE = 4
    REJECTED = 5
    CANCELLED = 6


@dataclass(frozen=True)
class Look:
    """The last image of a camera that was looked at."""

    camera: Camera
    frame: Frame
    segmentation: Segmentation
    frames_in_a_row: int  # images of this camera up to this one that show the target


class ObjectSearch:
    """Counts the images of a camera in a row that show the target of a vocabulary, clearly and alone.

    With several cameras each has a row of its own, and the first complete one ends the search.
    """

    def __init__(self, segmenter: Segmenter, vocabulary: Vocabulary, stable_frames: int) -> None:
        """Look with `segmenter`, whose settings may differ from the node's, until `stable_frames` in a row show it."""
        self._segmenter = segmenter
        self._vocabulary = vocabulary
        self._stable_frames = stable_frames
        self.frames_seen = 0  # of all cameras
        self.best_score = 0.0
        self._last: dict[str, Look] = {}  # by the camera's name

    @property
    def has_relations(self) -> bool:
        """Whether the image's points decide too."""
        return self._vocabulary.has_relations

    def look_at(self, camera: Camera, frame: Frame, answer: NetworkAnswer, points: ImagePoints | None) -> bool:
        """Take the next image into account; whether the target is found now. The network does not run."""
        segmentation = self._segmenter.segment(self._segmenter.choose(answer), self._vocabulary, points)
        target = segmentation.target_result
        is_shown = target is not None and target.status is Status.OK and segmentation.status is not Status.DEGRADED
        before = self._last.get(camera.name)
        row = 1 + (before.frames_in_a_row if before is not None else 0) if is_shown else 0
        # Replaced as a whole, so that any thread may read it.
        self._last = {**self._last, camera.name: Look(camera, frame, segmentation, row)}
        self.frames_seen += 1
        self.best_score = max(self.best_score, segmentation.target_score)
        return row >= self._stable_frames

    @property
    def frames_in_a_row(self) -> int:
        """The longest row that goes on."""
        return max((look.frames_in_a_row for look in self._last.values()), default=0)

    def best_look(self) -> Look | None:
        """The last image of the camera whose row is longest; of equal ones, that shows the target best."""
        return max(
            self._last.values(), key=lambda look: (look.frames_in_a_row, look.segmentation.target_score), default=None
        )

    def outcome(self) -> Outcome:
        """How the search ends if it ends now."""
        best = self.best_look()
        if best is None:
            return Outcome.NO_IMAGE
        if best.frames_in_a_row >= self._stable_frames:
            return Outcome.FOUND
        target = best.segmentation.target_result
        is_ambiguous = target is not None and target.status is Status.AMBIGUOUS
        return Outcome.AMBIGUOUS if is_ambiguous else Outcome.NOT_FOUND
