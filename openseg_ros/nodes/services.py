"""The services of a configured node.

Those that compute do it in the thread of requests; here, in the executor's thread, they only wait for it as
coroutines, so that images keep coming in.

With several cameras the header of an answer tells whose image it is about. `~/find_regions` looks at the newest
processed image of each and answers with the one that shows the phrase best; the newest image for `~/segment_image` is
the one that came last from any.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool

from openseg_ros.image_messages import ImageError, decode_compressed, decode_image
from openseg_ros.nodes.camera import ProcessedImage
from openseg_ros.nodes.depth_input import DepthOfImage
from openseg_ros.nodes.frame_worker import Frame
from openseg_ros.nodes.message_conversion import flat_vectors, ids_image, queries_from_message
from openseg_ros.nodes.parameters import NodeParameters
from openseg_ros.nodes.query_worker import QueryReport, QueryStatus
from openseg_ros.nodes.request_context import OWN_QUERIES_VERSION, RequestContext
from openseg_ros.nodes.request_thread import OpenAnswers, RequestError, RequestThread, settle
from openseg_ros.runtime.engine import EngineError
from openseg_ros.segmenter.segmentation import Status
from openseg_ros.srv import EncodeText, FindRegions, SegmentImage, SetQuery
from openseg_ros.text.vocabulary import Query, QueryError, build_vocabulary, encode_phrases

Kept = TypeVar("Kept", Frame, ProcessedImage)
OTHER, UNLABELLED = "other", "unlabelled"  # names of the mask's values that no query has


class Services:
    """Advertises the services and answers them. Every refusal says why, and changes nothing."""

    def __init__(
        self,
        node: Node,
        context: RequestContext,
        thread: RequestThread,
        *,
        pause: Callable[[bool], None],
        failed: Callable[[str], None],
    ) -> None:
        """Advertise.

        Args:
            node: has the services.
            context: what answers are made from.
            thread: where they are made.
            pause: makes the node leave images alone, or not any more.
            failed: told what must not happen, a fault of ours.
        """
        self._node = node
        self._context = context
        self._thread = thread
        self._pause = pause
        self._failed = failed
        self._open_answers = OpenAnswers(node)
        # Reentrant: while one request waits, images and other requests must still come in.
        group = ReentrantCallbackGroup()
        self._services = [
            node.create_service(SetQuery, "~/set_query", self._on_set_query, callback_group=group),
            *(
                node.create_service(service_type, name, partial(self._answer, work), callback_group=group)
                for service_type, name, work in (
                    (EncodeText, "~/encode_text", self._encode_text),
                    (FindRegions, "~/find_regions", self._find_regions),
                    (SegmentImage, "~/segment_image", self._segment_image),
                )
            ),
            node.create_service(SetBool, "~/set_enabled", self._on_set_enabled),
        ]

    def destroy(self) -> None:
        """Remove the services from the ROS graph, once those who wait have been told that it ends."""
        self._open_answers.when_all_are_sent(self._destroy)

    def _destroy(self) -> None:
        for service in self._services:
            self._node.destroy_service(service)

    # ------------------------------------------------------------------------- in the executor's thread

    async def _on_set_query(self, request: SetQuery.Request, response: SetQuery.Response) -> SetQuery.Response:
        answer = Future()
        queries = queries_from_message(request.queries)
        self._context.queries.ask(
            queries, replace=request.queries.replace, answered=partial(settle, self._node, answer)
        )
        with self._open_answers.one_more():
            report: QueryReport = await answer
        response.success = report.status is not QueryStatus.REJECTED
        response.message = report.message
        response.version = report.vocabulary.version
        response.parsed_phrases = list(report.parsed_phrases)
        response.rejected = list(report.rejected)
        return response

    def _on_set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if not self._context.is_active():
            response.message = "the node is not active: it processes no images now, and all once it is activated"
            return response
        self._pause(not request.data)
        response.success = True
        response.message = "images are processed" if request.data else "images are left alone until they are enabled"
        return response

    async def _answer(self, work: Callable[[Any, Any], None], request: Any, response: Any) -> Any:
        """`response` filled by `work(request, response)`, or the reason why not."""
        try:
            with self._open_answers.one_more():
                await self._thread.run(work, request, response)
        except (RequestError, QueryError, ImageError, EngineError) as error:
            return type(response)(success=False, message=str(error))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            self._failed(f"a request failed: {message}")
            return type(response)(success=False, message=message)
        response.success = True
        return response

    # ------------------------------------------------------------------------- in the thread of requests

    def _encode_text(self, request: EncodeText.Request, response: EncodeText.Response) -> None:
        vectors = encode_phrases(request.texts, self._context.model.encoder)
        response.embedding_space = self._context.model.weights.embedding_space
        response.dim = vectors.shape[1]
        response.embeddings = flat_vectors(vectors)

    def _find_regions(self, request: FindRegions.Request, response: FindRegions.Response) -> None:
        """Without background: a phrase is looked for, nothing is named, so nothing competes."""
        context = self._context
        context.require_active()
        parameters, model = context.parameters(), context.model
        vocabulary = build_vocabulary([Query(request.text)], model.encoder, OWN_QUERIES_VERSION)
        segmenter = model.segmenter(parameters)
        processed = list(filter(None, (camera.newest.processed for camera in context.cameras)))
        if not processed:
            raise RequestError("no image was processed yet; images are processed while an output has a subscriber")
        answers = [(segmenter.segment(image.proposals, vocabulary), image) for image in _recent(processed, parameters)]
        segmentation, image = max(answers, key=lambda answer: answer[0].target_score)
        status = segmentation.status
        if request.top_k:  # the best ones whatever their scores
            best = replace(parameters, score_threshold=0.0, max_regions=request.top_k)
            segmentation = model.segmenter(best).segment(image.proposals, vocabulary)
        points = context.points(image.depth, (segmentation.height, segmentation.width))
        response.regions = context.region_array(segmentation, image.header, points)
        response.regions.status = int(status)
        if status == Status.NOT_FOUND:
            response.regions.target_id = 0

    def _segment_image(self, request: SegmentImage.Request, response: SegmentImage.Response) -> None:
        context = self._context
        context.require_active()
        message, depth = self._newest_image() if request.use_latest else (request.image, None)
        rgb = decode_compressed(message) if isinstance(message, CompressedImage) else decode_image(message)
        vocabulary = context.queries.vocabulary
        if request.queries.queries:
            vocabulary = context.own_vocabulary(queries_from_message(request.queries))
            response.message = "; ".join(vocabulary.rejected)
        segmenter = context.model.segmenter(context.parameters())
        points = context.points(depth, rgb.shape[:2])
        segmentation = segmenter.segment(segmenter.propose(rgb), vocabulary, points)
        response.regions = context.region_array(segmentation, message.header, points)
        response.mask = ids_image(segmentation.mask, message.header)
        response.instances = ids_image(segmentation.instances, message.header)
        response.class_ids = np.array([*range(vocabulary.num_labels + 1), vocabulary.unlabelled], np.uint16)
        response.class_names = [OTHER, *vocabulary.phrases, UNLABELLED]

    def _newest_image(self) -> tuple[Image | CompressedImage, DepthOfImage | None]:
        """The image that came last from any camera, and its depth.

        Raises:
            RequestError: none came, or only older ones than the parameter max_image_age_s allows.
        """
        received = list(filter(None, (camera.newest.received for camera in self._context.cameras)))
        if not received:
            raise RequestError("no image was received yet")
        frame = max(_recent(received, self._context.parameters()), key=lambda frame: frame.received)
        return frame.message, frame.depth


def _recent(images: list[Kept], parameters: NodeParameters) -> list[Kept]:
    """Those of `images` that came no longer ago than the parameter max_image_age_s allows; 0 allows every age.

    Raises:
        RequestError: none of them.
    """
    limit, now = parameters.max_image_age_s, time.monotonic()
    recent = [image for image in images if limit <= 0.0 or now - image.received <= limit]
    if not recent:
        age = now - max(image.received for image in images)
        raise RequestError(f"the newest image came {age:.1f} s ago, longer than max_image_age_s ({limit:g} s) allows")
    return recent
