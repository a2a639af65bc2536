"""The lifecycle node: images and queries in, masks and regions out. The work is in the modules beside this one.

Threads: the executor's thread only moves messages; one thread runs the network on the newest images and one publishes
what it says (`frame_worker`), one encodes queries (`query_worker`), one answers services and goals (`request_thread`).
The executor is single-threaded on purpose: its callbacks take microseconds, and handing each of them to a thread pool
costs more than it can save. Measured on two cores at 640x480 and 30 Hz, from the stamp to the image callback: 1.7 ms
median and 2.4 ms at the 99th percentile with one thread, 4.6 ms and 13 ms with rclpy's MultiThreadedExecutor.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from openseg_ros.msg import QueryArray
from openseg_ros.nodes.camera import Camera
from openseg_ros.nodes.counters import ImageCounters, NodeCounters, of_camera
from openseg_ros.nodes.depth_input import DepthInput
from openseg_ros.nodes.diagnostics import DiagnosticsPublisher
from openseg_ros.nodes.find_object_action import FindObjectAction
from openseg_ros.nodes.frame_worker import Frame, FrameWorker, Rest
from openseg_ros.nodes.image_processing import ImageProcessing
from openseg_ros.nodes.impossible_transitions import answer_impossible_transitions
from openseg_ros.nodes.loaded_model import LoadedModel, load_model
from openseg_ros.nodes.message_conversion import queries_from_message
from openseg_ros.nodes.optional_packages import HAS_VISION_MSGS
from openseg_ros.nodes.parameter_table import ParameterTable
from openseg_ros.nodes.parameters import NodeParameters
from openseg_ros.nodes.qos import camera_qos, overridable, query_qos
from openseg_ros.nodes.query_worker import QueryReport, QueryStatus, QueryWorker
from openseg_ros.nodes.request_context import RequestContext
from openseg_ros.nodes.request_thread import RequestThread
from openseg_ros.nodes.result_publisher import ResultPublisher
from openseg_ros.nodes.services import Services
from openseg_ros.nodes.target_frame import TargetFrame
from openseg_ros.nodes.vocabulary_publisher import VocabularyPublisher
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
        self._counters = NodeCounters(self.get_logger().error)
        period = self.get_parameter("diagnostics_period_s").value
        self._diagnostics = DiagnosticsPublisher(self, self._counters, period, self._describe)
        self._frames = FrameWorker(self._process, on_dropped=self._dropped, on_error=self._processing_failed)
        self._version = -1  # last vocabulary version that was in use; none is used twice in one process
        self._track_numbers = count(1)  # as old as the node: no identity is used twice
        self._stage = ""  # of configuring
        self._is_paused = False
        # From configure to cleanup:
        self._until_cleanup = ExitStack()  # undoes configuring
        self._values: NodeParameters
        self._model: LoadedModel | None = None
        self._cameras: dict[str, Camera] = {}  # by name
        self._queries: QueryWorker | None = None
        self._vocabulary: VocabularyPublisher | None = None
        self._find_object: FindObjectAction | None = None
        self._processing: ImageProcessing | None = None
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
        self._counters.error_solved()
        try:
            self._configure()
        except Exception as error:
            self._fail(f"cannot configure: {error}")
            self._release()
            return FAILURE
        finally:
            self._stage = ""
        assert self._model is not None
        self.get_logger().info(
            f"configured in {time.monotonic() - started:.1f} s: {self._model.weights.embedding_space} "
            f"on {self._model.engine.name}"
        )
        return super().on_configure(state)

    def _configure(self) -> None:
        self._values = parameters = self._table.read()
        self._model = model = load_model(parameters, self._begin)
        until_cleanup = self._until_cleanup.callback
        if not HAS_VISION_MSGS:
            missing = "vision_msgs is not installed: no ~/label_info, ~/detections and ~/detections_3d"
            self.get_logger().info(missing, once=True)
        for name, counters in self._counters.of_cameras(parameters.cameras or ("",)).items():
            self._cameras[name] = self._camera(name, counters, model)
            until_cleanup(self._cameras[name].results.destroy)
        target_frame = TargetFrame(self, parameters.target_frame) if parameters.target_frame else None
        if target_frame is not None:
            until_cleanup(target_frame.destroy)
        self._vocabulary = VocabularyPublisher(self, model.weights.description.text_encoder)
        until_cleanup(self._vocabulary.destroy)
        self._queries = self._start_queries(model, parameters)
        until_cleanup(self._queries.stop)
        self._vocabulary.describe(self._queries.vocabulary, parameters.score_threshold)
        context = RequestContext(
            model,
            self._queries,
            tuple(self._cameras.values()),
            lambda: self._values,
            lambda: self.state_label == "active",
            lambda: self._is_paused,
        )
        request_thread = RequestThread(self)
        self._find_object = FindObjectAction(self, context, request_thread, failed=self._fail)
        until_cleanup(self._find_object.destroy)
        self._processing = ImageProcessing(
            context,
            clock=self.get_clock(),
            names=self._vocabulary,
            find_object=self._find_object,
            target_frame=target_frame,
            failed=self._processing_failed,
        )
        services = Services(self, context, request_thread, pause=self._pause, failed=self._fail)
        until_cleanup(services.destroy)
        until_cleanup(self._stop_requests, request_thread)  # comes first: what it works on uses all of the above

    def _camera(self, name: str, counters: ImageCounters, model: LoadedModel) -> Camera:
        return Camera(
            name,
            counters,
            DepthInput(counters),
            Tracker(self._track_numbers),
            ResultPublisher(self, name, model.weights.embedding_space, self._incompatible_qos),
        )

    def _start_queries(self, model: LoadedModel, parameters: NodeParameters) -> QueryWorker:
        """A running worker that looks for the parameter default_queries.

        Raises:
            ValueError: one of them cannot be used.
        """
        worker = QueryWorker(
            model.encoder,
            background=[Query(phrase, background=True) for phrase in parameters.background_queries],
            first_version=self._version + 1,
            announce=self._announce,
        )
        if parameters.default_queries:
            report = worker.answer_text(";".join(parameters.default_queries))
            if report.status is QueryStatus.REJECTED or report.rejected:
                reasons = "; ".join(report.rejected) or report.message
                raise ValueError(f"parameter default_queries: {reasons}")
        else:
            self._announce(QueryReport(QueryStatus.IDLE, worker.vocabulary))
        worker.start()
        return worker

    def _begin(self, stage: str) -> None:
        """Say what takes seconds now: the executor's thread, which publishes diagnostics, is busy with it."""
        self.get_logger().info(f"{stage} ...")
        self._stage = stage
        self._diagnostics.publish()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the inputs; whoever paused the node did so in its life before."""
        assert self._model is not None
        self._counters.error_solved()
        if not self._model.engine.is_loaded:
            try:
                self._model.load_again(self._values, self._begin)
            except Exception as error:
                self._model.engine.unload()
                self._fail(f"cannot activate: {error}")
                return FAILURE
            finally:
                self._stage = ""
        self._pause(False)
        for camera in self._cameras.values():
            self._open(camera)
        self._subscribe(String, "~/query", self._on_query, query_qos())
        self._subscribe(QueryArray, "~/query_array", self._on_query_array, query_qos())
        self._frames.set_max_rate(self._values.max_rate_hz)
        self._frames.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the inputs; the images in work, two at most, are finished first."""
        self._counters.error_solved()
        self._close_inputs()
        if self._values.unload_on_deactivate and self._model is not None:
            self._model.engine.unload()
            _give_memory_back()
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

    def _open(self, camera: Camera) -> None:
        """Subscribe to the inputs of `camera`."""
        on_image = partial(self._on_image, camera)
        if self._values.image_transport == "compressed":
            self._subscribe(CompressedImage, camera.topic("image/compressed"), on_image, camera_qos())
        else:
            self._subscribe(Image, camera.topic("image"), on_image, camera_qos())
        if self._values.use_3d:
            depth, depth_topic = camera.depth, camera.topic("depth_registered/image_rect")
            self._subscribe(Image, depth_topic, depth.on_depth, camera_qos(), raw=True)
            self._subscribe(CameraInfo, camera.topic("camera_info"), depth.on_camera_info, camera_qos())

    def _subscribe(
        self, message_type: type, topic: str, callback: Callable, qos: QoSProfile, *, raw: bool = False
    ) -> None:
        events = SubscriptionEventCallbacks(incompatible_qos=self._incompatible_qos(topic))
        subscription = self.create_subscription(
            message_type, topic, callback, qos, event_callbacks=events, qos_overriding_options=overridable(), raw=raw
        )
        self._subscriptions_while_active.append(subscription)

    def _pause(self, is_paused: bool) -> None:
        """Leave images alone from now on, or not any more."""
        self._is_paused = is_paused

    def _stop_requests(self, thread: RequestThread) -> None:
        if not thread.stop():
            self._fail("a request was not finished in time; its thread is left behind")

    def _close_inputs(self) -> None:
        for subscription in self._subscriptions_while_active:
            self.destroy_subscription(subscription)
        self._subscriptions_while_active.clear()
        if not self._frames.stop():
            self._fail("an image was not finished in time; its thread is left behind")
        for camera in self._cameras.values():
            camera.forget()
        if self._find_object is not None:
            self._find_object.give_up("the node was deactivated")

    def _release(self) -> None:
        self._close_inputs()
        self._until_cleanup.close()
        self._cameras = {}
        self._model = self._queries = self._vocabulary = self._find_object = self._processing = None
        _give_memory_back()

    # ------------------------------------------------------------------------------------------- images

    def _on_image(self, camera: Camera, message: Image | CompressedImage) -> None:
        camera.counters.image_received()
        depth = camera.depth.of(message.header) if self._values.use_3d else None
        camera.newest.received = frame = Frame(camera.name, message, time.monotonic(), depth)
        self._frames.offer(frame)

    def _process(self, frame: Frame) -> Rest | None:
        assert self._processing is not None
        return self._processing.process(self._cameras[frame.camera], frame)

    def _dropped(self, camera: str, cause: str) -> None:
        if camera in self._cameras:  # not any more where a thread was left behind
            self._cameras[camera].counters.image_dropped(cause)

    def _processing_failed(self, camera: str, error: Exception) -> None:
        if not self.context.ok():  # while the process ends, publishing fails and nobody needs to know
            return
        message = of_camera(camera, f"processing an image failed: {type(error).__name__}: {error}")
        self._counters.error(message)
        self.get_logger().error(message, throttle_duration_sec=5.0)  # it may fail at the camera's rate

    # ------------------------------------------------------------------------------------------- queries

    def _on_query(self, message: String) -> None:
        assert self._queries is not None
        self._queries.ask_text(message.data)

    def _on_query_array(self, message: QueryArray) -> None:
        assert self._queries is not None
        if message.requester:
            self.get_logger().info(f"{len(message.queries)} queries from {message.requester}")
        self._queries.ask(queries_from_message(message), replace=message.replace)

    def _announce(self, report: QueryReport) -> None:
        """Publish a state of the query; runs in the thread that changed it, before an image is scored with it."""
        self._version = report.vocabulary.version
        if report.status is QueryStatus.REJECTED:
            reasons = f"query refused: {report.message} {'; '.join(report.rejected)}"
            self._counters.bad_input.count("query_refused", reasons)
        if self._vocabulary is not None and self.context.ok():
            self._vocabulary.announce(report)

    # ------------------------------------------------------------------------------------------- state

    def _parameters_changed(self, changes: list[Parameter]) -> None:
        """Take changed values over from the next image on."""
        if self._model is None:
            return
        self._values = self._table.read()
        self._frames.set_max_rate(self._values.max_rate_hz)

    def _incompatible_qos(self, topic: str) -> Callable[[Any], None]:
        def report(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self._counters.incompatible_qos(topic)
            self.get_logger().warning(f"{topic}: a peer's {policy} is incompatible, so nothing passes between us")

        return report

    def callback_failed(self, error: Exception) -> None:
        """Record what a callback raised; the node lives on."""
        self._fail(f"a callback failed: {type(error).__name__}: {error}")

    def _fail(self, message: str) -> None:
        self._counters.error(message)
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
                "is_loaded": str(self._model.engine.is_loaded).lower(),
                "weights": self._model.weights.embedding_space,
                "vocabulary_version": str(vocabulary.version),
                "network_runs": str(self._model.engine.runs),
                "is_paused": str(self._is_paused).lower(),
                "queries": str(sum(not query.background for query in vocabulary.queries)),
            }
        return described


def _give_memory_back() -> None:
    """Free what is no longer used now: networks and exported graphs hold reference cycles, torch keeps GPU memory."""
    gc.collect()
    torch = sys.modules.get("torch")  # not imported where OpenVINO runs kept networks
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
