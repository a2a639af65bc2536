"""The lifecycle node: images and queries in, masks and regions out. The work is in the modules beside this one.

Threads: the executor's thread only moves messages; one thread runs the network on the newest image
(`frame_worker`), one encodes queries (`query_worker`), one answers services and goals (`request_thread`). The executor
is single-threaded on purpose: its callbacks take microseconds, and handing each of them to a thread pool costs more
than it can save. Measured on two cores at 640x480 and 30 Hz, from the stamp to the image callback: 1.7 ms median and
2.4 ms at the 99th percentile with one thread, 4.6 ms and 13 ms with rclpy's MultiThreadedExecutor.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header, String

from openseg_ros.msg import QueryArray, QueryState
from openseg_ros.nodes.depth_input import DepthInput
from openseg_ros.nodes.diagnostics import DiagnosticsPublisher, Statistics
from openseg_ros.nodes.find_object_action import FindObjectAction
from openseg_ros.nodes.frame_worker import Frame, FrameWorker
from openseg_ros.nodes.image_codec import ImageError, decode_compressed, decode_image
from openseg_ros.nodes.impossible_transitions import answer_impossible_transitions
from openseg_ros.nodes.loaded_model import LoadedModel, load_model
from openseg_ros.nodes.message_conversion import queries_from_message, query_state_message
from openseg_ros.nodes.parameters import NodeParameters, ParameterTable
from openseg_ros.nodes.qos import camera_qos, overridable, query_qos, state_qos
from openseg_ros.nodes.query_worker import QueryReport, QueryStatus, QueryWorker
from openseg_ros.nodes.request_context import NewestImage, RequestContext
from openseg_ros.nodes.request_thread import RequestThread
from openseg_ros.nodes.result_publisher import HAS_VISION_MSGS, ResultPublisher
from openseg_ros.nodes.services import Services
from openseg_ros.nodes.target_frame import OutputFrame, TargetFrame, TransformError
from openseg_ros.runtime.engine import EngineError
from openseg_ros.segmenter.segmenter import Segmenter
from openseg_ros.segmenter.tracker import Tracker
from openseg_ros.text.vocabulary import Query

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class OpensegNode(LifecycleNode):
    """Answers, for every processed image, where the things are that were asked for."""

    def __init__(self, **arguments: Any) -> None:
        """Declare parameters and start diagnostics; `arguments` go to rclpy's Node, except `node_name`."""
        super().__init__("openseg", **arguments)
        answer_impossible_transitions(self)
        self._table = ParameterTable(self, is_configured=lambda: self.state_label != "unconfigured")
        self._statistics = Statistics()
        period = self.get_parameter("diagnostics_period_s").value
        self._diagnostics = DiagnosticsPublisher(self, self._statistics, period, self._describe)
        self._frames = FrameWorker(
            self._process,
            on_superseded=partial(self._statistics.image_dropped, "superseded_by_newer"),
            on_error=self._processing_failed,
        )
        self._version = -1  # last vocabulary version that was in use; none is used twice in one process
        self._target_note = ""  # how the target fared in the newest image, in words, for diagnostics
        self._depth = DepthInput(self._bad_input)
        self._tracker = Tracker()  # as old as the node: no identity is used twice
        self._stage = ""  # of configuring
        self._newest = NewestImage()
        self._is_paused = False
        # From configure to cleanup:
        self._values: NodeParameters
        self._model: LoadedModel | None = None
        self._segmenter: Segmenter
        self._queries: QueryWorker | None = None
        self._results: ResultPublisher | None = None
        self._query_state: Publisher | None = None
        self._request_thread: RequestThread | None = None
        self._node_services: Services | None = None
        self._find_object: FindObjectAction | None = None
        self._target_frame: TargetFrame | None = None
        # From activate to deactivate:
        self._subscriptions_while_active: list[Subscription] = []
        self.add_post_set_parameters_callback(self._parameters_changed)

    @property
    def state_label(self) -> str:
        """Label of the lifecycle state, for example "active"; rclpy has no public way to ask."""
        label: str = self._state_machine.current_state[1]
        return label

    # ------------------------------------------------------------------------------------------- lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load everything and advertise the outputs; on failure the node stays unconfigured and says why."""
        started = time.monotonic()
        try:
            self._configure()
        except Exception as error:
            self._fail(f"cannot configure: {error}")
            self._release()
            return FAILURE
        finally:
            self._stage = ""
        self._statistics.error_solved()
        assert self._model is not None
        self.get_logger().info(
            f"configured in {time.monotonic() - started:.1f} s: {self._model.weights.embedding_space} "
            f"on {self._model.engine.name}"
        )
        return super().on_configure(state)

    def _configure(self) -> None:
        self._values = parameters = self._table.read()
        self._model = model = load_model(parameters, self._begin)
        self._segmenter = model.segmenter(parameters)
        self._results = ResultPublisher(self, model.weights.embedding_space, self._incompatible_qos)
        if not HAS_VISION_MSGS:
            missing = "vision_msgs is not installed: no ~/label_info, ~/detections and ~/detections_3d"
            self.get_logger().info(missing, once=True)
        if parameters.target_frame:
            self._target_frame = TargetFrame(self, parameters.target_frame)
        self._query_state = self.create_publisher(
            QueryState, "~/query_state", state_qos(), qos_overriding_options=overridable()
        )
        self._queries = QueryWorker(
            model.encoder,
            background=[Query(phrase, background=True) for phrase in parameters.background_queries],
            first_version=self._version + 1,
            announce=self._announce,
        )
        if parameters.default_queries:
            report = self._queries.answer_text(";".join(parameters.default_queries))
            if report.status is QueryStatus.REJECTED or report.rejected:
                reasons = "; ".join(report.rejected) or report.message
                raise ValueError(f"parameter default_queries: {reasons}")
        else:
            self._announce(QueryReport(QueryStatus.IDLE, self._queries.vocabulary))
        self._queries.start()
        self._request_thread = RequestThread(self)
        context = RequestContext(
            model, self._queries, self._depth, self._newest, lambda: self._values, lambda: self.state_label == "active"
        )
        self._node_services = Services(self, context, self._request_thread, pause=self._pause, failed=self._fail)
        self._find_object = FindObjectAction(self, context, self._request_thread, failed=self._fail)

    def _begin(self, stage: str) -> None:
        """Say what takes seconds now: the executor's thread, which publishes diagnostics, is busy with it."""
        self.get_logger().info(f"{stage} ...")
        self._stage = stage
        self._diagnostics.publish()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the inputs; whoever paused the node did so in its life before."""
        self._is_paused = False
        if self._values.image_transport == "compressed":
            self._subscribe(CompressedImage, "image/compressed", self._on_image, camera_qos())
        else:
            self._subscribe(Image, "image", self._on_image, camera_qos())
        if self._values.use_3d:
            self._subscribe(Image, "depth_registered/image_rect", self._depth.on_depth, camera_qos(), raw=True)
            self._subscribe(CameraInfo, "camera_info", self._depth.on_camera_info, camera_qos())
        self._subscribe(String, "~/query", self._on_query, query_qos())
        self._subscribe(QueryArray, "~/query_array", self._on_query_array, query_qos())
        self._frames.set_max_rate(self._values.max_rate_hz)
        self._frames.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the inputs; the image in work is finished first."""
        self._close_inputs()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network, the text encoder and the outputs."""
        self._release()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from any state."""
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition raised: free everything and return to unconfigured."""
        self._fail(f"a transition from {state.label} failed; the node is unconfigured now")
        self._release()
        return SUCCESS

    def destroy_node(self) -> None:
        """Free everything, then leave the ROS graph."""
        self._release()
        super().destroy_node()

    def _subscribe(
        self, message_type: type, topic: str, callback: Callable, qos: QoSProfile, *, raw: bool = False
    ) -> None:
        events = SubscriptionEventCallbacks(incompatible_qos=self._incompatible_qos(topic))
        subscription = self.create_subscription(
            message_type, topic, callback, qos, event_callbacks=events, qos_overriding_options=overridable(), raw=raw
        )
        self._subscriptions_while_active.append(subscription)

    def _close_inputs(self) -> None:
        for subscription in self._subscriptions_while_active:
            self.destroy_subscription(subscription)
        self._subscriptions_while_active.clear()
        self._depth.clear()
        if not self._frames.stop():
            self._fail("the engine did not finish its image; its thread is left behind")
        self._newest.received = self._newest.processed = None
        if self._find_object is not None:
            self._find_object.give_up("the node was deactivated")

    def _release(self) -> None:
        self._close_inputs()
        if self._request_thread is not None:
            self._request_thread.stop()
        if self._node_services is not None:
            self._node_services.destroy()
        if self._find_object is not None:
            self._find_object.destroy()
        if self._queries is not None:
            self._queries.stop()
        if self._results is not None:
            self._results.destroy()
        if self._query_state is not None:
            self.destroy_publisher(self._query_state)
        if self._target_frame is not None:
            self._target_frame.destroy()
            self._target_frame = None
        self._request_thread = self._node_services = self._find_object = None
        self._queries = self._results = self._query_state = self._model = None
        self.__dict__.pop("_segmenter", None)
        gc.collect()  # networks and exported graphs hold reference cycles; the memory shall be free now

    # ------------------------------------------------------------------------------------------- images

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._statistics.image_received()
        self._newest.received = message
        self._frames.offer(Frame(message, time.monotonic()))

    def _process(self, frame: Frame) -> None:
        """Turn one image into one set of outputs. Runs in the frame thread."""
        assert self._results is not None and self._queries is not None and self._model is not None
        assert self._find_object is not None
        parameters, segmenter, model = self._values, self._segmenter, self._model
        if self._is_paused:
            self._statistics.image_dropped("paused")
            return
        header: Header = frame.message.header
        age = self._age(header)
        if parameters.max_image_age_s > 0.0 and age is not None and age > parameters.max_image_age_s:
            self._statistics.image_dropped("too_old")
            return
        if not (self._results.is_wanted(parameters.overlay_rate_hz) or self._find_object.is_searching):
            self._statistics.image_dropped("nobody_subscribes")
            return
        decode = decode_compressed if isinstance(frame.message, CompressedImage) else decode_image
        try:
            rgb = decode(frame.message)
        except ImageError as error:
            self._bad_input(error.fault.value, f"image refused: {error}")
            return
        vocabulary = self._queries.vocabulary  # the snapshot that every output of this image is scored with
        try:
            answer = segmenter.run(rgb)
        except EngineError as error:  # silence would mean dead, so there is an answer that says "degraded"
            self._processing_failed(error)
            answer = model.failed_answer(rgb.shape[:2])
        proposals = segmenter.choose(answer)
        if parameters.track_memory_s > 0.0 and self._results.needs_identities():
            proposals = self._tracker.identify(
                proposals,
                stamp_ns=_nanoseconds(header) or int(frame.received * 1e9),
                embedding_space=model.weights.embedding_space,
                memory_s=parameters.track_memory_s,
            )
        self._newest.processed = (header, proposals)
        points, output_frame = None, None
        needs_points = self._results.needs_points() or any(query.relations for query in vocabulary.queries)
        if parameters.use_3d and needs_points:
            points = self._depth.points(
                header, rgb.shape[:2], slop_s=parameters.sync_slop_s, scale=parameters.depth_scale
            )
            if self._results.needs_frame():
                output_frame = self._output_frame(header, parameters.transform_timeout_s)
        segmentation = segmenter.segment(proposals, vocabulary, None if points is None else points.xyz)
        target = segmentation.target_result
        self._target_note = "" if target is None else " ".join([target.status.name, target.reason]).strip()
        self._results.publish_results(segmentation, rgb, points, header, parameters, output_frame)
        self._statistics.image_processed(self._age(header))
        self._find_object.look_at(header, answer)
        self._results.publish_overlay(segmentation, rgb, header, parameters.overlay_rate_hz)

    def _pause(self, is_paused: bool) -> None:
        self._is_paused = is_paused

    def _output_frame(self, header: Header, timeout_s: float) -> OutputFrame | None:
        """The frame of clouds and boxes of the image with `header`; None where its pose is not known."""
        if self._target_frame is None:
            return OutputFrame(header)
        try:
            return self._target_frame.of(header, timeout_s)
        except TransformError as error:
            self._bad_input("no_transform", str(error))
            return None

    def _processing_failed(self, error: Exception) -> None:
        if not self.context.ok():  # while the process ends, publishing fails and nobody needs to know
            return
        message = f"processing an image failed: {type(error).__name__}: {error}"
        self._statistics.error(message)
        self.get_logger().error(message, throttle_duration_sec=5.0)  # it may fail at the camera's rate

    def _age(self, header: Header) -> float | None:
        """Seconds from the stamp to now, negative for a stamp in the future; None without a stamp."""
        stamp = _nanoseconds(header)
        return (self.get_clock().now().nanoseconds - stamp) * 1e-9 if stamp else None

    # ------------------------------------------------------------------------------------------- queries

    def _on_query(self, message: String) -> None:
        assert self._queries is not None
        self._queries.ask_text(message.data)

    def _on_query_array(self, message: QueryArray) -> None:
        assert self._queries is not None
        self._queries.ask(queries_from_message(message), replace=message.replace)

    def _announce(self, report: QueryReport) -> None:
        """Publish a state of the query; runs in the thread that changed it."""
        self._version = report.vocabulary.version
        if report.status is QueryStatus.REJECTED:
            self._bad_input("query_refused", f"query refused: {report.message} {'; '.join(report.rejected)}")
        if self._query_state is not None and self._results is not None and self.context.ok():
            stamp = self.get_clock().now().to_msg()
            self._results.describe_labels(report.vocabulary, Header(stamp=stamp), self._values.score_threshold)
            encoder = self._model.weights.description.text_encoder if self._model is not None else ""
            self._query_state.publish(query_state_message(report, stamp, encoder))

    # ------------------------------------------------------------------------------------------- state

    def _parameters_changed(self, changes: list[Parameter]) -> None:
        """Take changed values over from the next image on."""
        if self._model is None:
            return
        self._values = self._table.read()
        self._segmenter = self._model.segmenter(self._values)
        self._frames.set_max_rate(self._values.max_rate_hz)

    def _incompatible_qos(self, topic: str) -> Callable[[Any], None]:
        def count(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self._statistics.incompatible_qos(topic)
            self.get_logger().warning(f"{topic}: a peer's {policy} is incompatible, so nothing passes between us")

        return count

    def _bad_input(self, cause: str, message: str) -> None:
        """Count every case, log the first of each cause: a broken camera must not flood the log."""
        if self._statistics.bad_input(cause):
            self.get_logger().error(f"{message} (logged once per cause; diagnostics counts them)")

    def callback_failed(self, error: Exception) -> None:
        """Record what a callback raised; the node lives on."""
        self._fail(f"a callback failed: {type(error).__name__}: {error}")

    def _fail(self, message: str) -> None:
        self._statistics.error(message)
        self.get_logger().error(message)

    def _describe(self) -> dict[str, str]:
        """The part of diagnostics that is not a counter."""
        described = {"state": self.state_label}
        if self._stage:
            described["configuring"] = self._stage
        if self._model is not None and self._queries is not None:
            vocabulary = self._queries.vocabulary
            described |= {
                "backend": self._model.engine.name,
                "backend_fallback": self._model.engine.fallback,
                "weights": self._model.weights.embedding_space,
                "vocabulary_version": str(vocabulary.version),
                "target": self._target_note,
                "network_runs": str(self._model.engine.runs),
                "is_paused": str(self._is_paused).lower(),
                "queries": str(sum(not query.background for query in vocabulary.queries)),
            }
        return described


def _nanoseconds(header: Header) -> int:
    """The stamp; 0 stands for none."""
    return int(header.stamp.sec * 10**9 + header.stamp.nanosec)
