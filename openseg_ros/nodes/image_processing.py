"""One image of a camera in, one set of outputs out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from rclpy.clock import Clock
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from openseg_ros.image_messages import ImageError, decode_compressed, decode_image
from openseg_ros.nodes.camera import Camera, ProcessedImage
from openseg_ros.nodes.find_object_action import FindObjectAction
from openseg_ros.nodes.frame_worker import Frame, Rest
from openseg_ros.nodes.parameters import NodeParameters
from openseg_ros.nodes.regions_in_space import RegionsInSpace
from openseg_ros.nodes.request_context import RequestContext
from openseg_ros.nodes.stamp import nanoseconds
from openseg_ros.nodes.target_frame import OutputFrame, TargetFrame, TransformError
from openseg_ros.nodes.vocabulary_publisher import VocabularyPublisher
from openseg_ros.runtime.engine import EngineError
from openseg_ros.segmenter.proposals import Proposals
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import NetworkAnswer, Segmenter
from openseg_ros.text.vocabulary import Vocabulary


class ImageProcessing:
    """Decodes and runs the network in the frame worker's first thread, scores and publishes in its second one."""

    def __init__(
        self,
        context: RequestContext,
        *,
        clock: Clock,
        names: VocabularyPublisher,
        find_object: FindObjectAction,
        target_frame: TargetFrame | None,
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Make it ready.

        Args:
            context: what answers are made from.
            clock: of the images' stamps.
            names: tells what the masks' numbers mean.
            find_object: looks at every processed image too.
            target_frame: of clouds and boxes; None: the camera's own.
            failed: told the camera's name and what the network's run raised.
        """
        self._context = context
        self._clock = clock
        self._names = names
        self._find_object = find_object
        self._target_frame = target_frame
        self._failed = failed

    def process(self, camera: Camera, frame: Frame) -> Rest | None:
        """Run the network on the newest image of `camera`, or count why not.

        Returns:
            What publishes the answer; None if there is none.
        """
        parameters = self._context.parameters()
        cause = self._cause_to_drop(frame.message.header, parameters)
        draws_overlay = not cause and camera.results.takes_overlay_turn(parameters.overlay_rate_hz)
        if not (cause or draws_overlay or camera.results.is_wanted() or self._find_object.is_searching):
            cause = "overlay_not_due" if camera.results.is_watched() else "nobody_subscribes"
        if cause:
            camera.counters.image_dropped(cause)
            return None
        decode = decode_compressed if isinstance(frame.message, CompressedImage) else decode_image
        try:
            rgb = decode(frame.message)
        except ImageError as error:
            camera.counters.bad_input.count(error.fault.value, f"image refused: {error}")
            return None
        vocabulary = self._context.queries.vocabulary  # the snapshot that every output of this image is scored with
        answer = self._run(self._context.model.segmenter(parameters), rgb, camera)
        return partial(self._publish, camera, frame, rgb, parameters, vocabulary, answer, draws_overlay)

    def _publish(
        self,
        camera: Camera,
        frame: Frame,
        rgb: np.ndarray,
        parameters: NodeParameters,
        vocabulary: Vocabulary,
        answer: NetworkAnswer,
        draws_overlay: bool,
    ) -> None:
        """Score what the network said of `rgb`, (H, W, 3) uint8, and publish it."""
        header: Header = frame.message.header
        segmenter = self._context.model.segmenter(parameters)
        proposals = segmenter.choose(answer)
        if parameters.track_memory_s > 0.0 and camera.results.needs_identities():
            proposals = self._identify(proposals, frame, camera, parameters.track_memory_s)
        camera.newest.processed = ProcessedImage(header, frame.received, proposals, frame.depth)
        points = None
        if camera.results.needs_points() or vocabulary.has_relations or self._find_object.needs_points:
            points = self._context.points(frame.depth, rgb.shape[:2])
        segmentation = segmenter.segment(proposals, vocabulary, points)
        space = None if points is None else RegionsInSpace(segmentation, points)
        self._names.describe(vocabulary, parameters.score_threshold)
        camera.results.publish_results(segmentation, header, parameters, space)
        if camera.results.needs_frame():  # last, since it may have to wait for the camera's pose
            output_frame = self._output_frame(camera, header, parameters.transform_timeout_s) if space else None
            camera.results.publish_in_space(segmentation, rgb, header, space, output_frame)
        camera.counters.image_processed(self._age(header), _fate_of_target(segmentation))
        self._find_object.look_at(camera, frame, answer, points)
        if draws_overlay:
            camera.results.publish_overlay(segmentation, rgb, header)

    def _cause_to_drop(self, header: Header, parameters: NodeParameters) -> str:
        """The key in diagnostics, whoever listens; empty for an image that may be processed."""
        if self._context.is_paused():
            return "paused"
        age = self._age(header)
        if parameters.max_image_age_s > 0.0 and age is not None and age > parameters.max_image_age_s:
            return "too_old"
        return ""

    def _run(self, segmenter: Segmenter, rgb: np.ndarray, camera: Camera) -> NetworkAnswer:
        try:
            return segmenter.run(rgb)
        except EngineError as error:  # silence would mean dead, so there is an answer that says "degraded"
            self._failed(camera.name, error)
            return self._context.model.failed_answer(rgb.shape[:2])

    def _identify(self, proposals: Proposals, frame: Frame, camera: Camera, memory_s: float) -> Proposals:
        return camera.tracker.identify(
            proposals,
            stamp_ns=nanoseconds(frame.message.header.stamp) or int(frame.received * 1e9),
            embedding_space=self._context.model.weights.embedding_space,
            memory_s=memory_s,
        )

    def _output_frame(self, camera: Camera, header: Header, timeout_s: float) -> OutputFrame | None:
        """The frame of clouds and boxes of the image with `header`; None where its pose is not known."""
        if self._target_frame is None:
            return OutputFrame(header)
        try:
            return self._target_frame.of(header, timeout_s)
        except TransformError as error:
            camera.counters.bad_input.count("no_transform", str(error))
            return None

    def _age(self, header: Header) -> float | None:
        """Seconds from the stamp to now, negative for a stamp in the future; None without a stamp."""
        stamp = nanoseconds(header.stamp)
        return (self._clock.now().nanoseconds - stamp) * 1e-9 if stamp else None


def _fate_of_target(segmentation: Segmentation) -> str:
    """How the target fared, in words; empty without a query."""
    target = segmentation.target_result
    return "" if target is None else " ".join([target.status.name, target.reason]).strip()
