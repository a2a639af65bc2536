"""The ROS side of `openseg view`: hears what the node publishes and passes on what people ask."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.client import Client
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from openseg_ros.msg import QueryArray, QueryState, Region, RegionArray
from openseg_ros.nodes.interrupt import spin
from openseg_ros.nodes.qos import overlay_qos, query_qos, result_qos, state_qos
from openseg_ros.nodes.stamp import nanoseconds
from openseg_ros.segmenter.phrase_colours import phrase_colours
from openseg_ros.srv import FindRegions, SetQuery
from openseg_ros.view.robot import (
    Overlay,
    RequestRefused,
    RobotUnreachable,
    ShownAnswer,
    ShownNode,
    ShownQuery,
    ShownQueryState,
    ShownRegion,
    Update,
)

ANSWER_TIMEOUT_S = 10.0  # of a service; encoding a phrase takes milliseconds
PRESENCE_PERIOD_S = 1.0
RATE_WINDOW_S = 5.0

_ANSWER_STATUS = {getattr(RegionArray, name): name for name in ("OK", "NO_QUERY", "NOT_FOUND", "AMBIGUOUS", "DEGRADED")}
_QUERY_STATUS = {getattr(QueryState, name): name for name in ("IDLE", "ENCODING", "ACTIVE", "REJECTED")}
_LEVELS = {getattr(DiagnosticStatus, name): name for name in ("OK", "WARN", "ERROR", "STALE")}


@contextmanager
def view_node(arguments: Sequence[str], target: str, camera: str, *, use_sim_time: bool) -> Iterator[ViewNode]:
    """A spinning ViewNode for the time of the context.

    Args:
        arguments: command line with ROS arguments; the first item is the program's name.
        target: full name of the node to show, for example "/openseg".
        camera: which of its cameras; empty: it has one without a name.
        use_sim_time: measure latencies by /clock.
    """
    # Signals end the web server, which ends this context.
    rclpy.init(args=list(arguments), signal_handler_options=SignalHandlerOptions.NO)
    node = ViewNode(target, camera, use_sim_time=use_sim_time)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=spin, args=(executor,), name="openseg_view")
    thread.start()
    try:
        yield node
    finally:
        rclpy.try_shutdown()
        thread.join()
        node.destroy_node()


class ViewNode(Node):
    """A `Robot` for the page. Subscribes to the node's outputs only while somebody watches."""

    def __init__(self, target: str, camera: str, *, use_sim_time: bool) -> None:
        """Create publisher and clients for the node with the full name `target`; `camera` is the one to show."""
        super().__init__(
            "openseg_view",
            parameter_overrides=[Parameter("use_sim_time", value=use_sim_time)],
            start_parameter_services=False,
        )
        self._target = target
        self._camera = camera
        self._shown_name = f"{target}/{camera}" if camera else target
        self._frame_id: str | None = None  # of the camera's images; None before the first
        self._query = self.create_publisher(String, f"{target}/query", query_qos())
        self._set_query = self.create_client(SetQuery, f"{target}/set_query")
        self._find_regions = self.create_client(FindRegions, f"{target}/find_regions")
        self._show: Callable[[Update], None] | None = None
        self._watching: list[Subscription] = []
        self._colours: dict[str, str] = {}
        self._arrivals: deque[float] = deque()
        self._diagnosis = ("", "")  # level, message
        # The steady clock: with use_sim_time and a stopped bag, a node that dies must be noticed too.
        self.create_timer(PRESENCE_PERIOD_S, self._show_node, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # ------------------------------------------------------------------------------------- what the page sees

    def start_watching(self, show: Callable[[Update], None]) -> None:
        """Subscribe; `show` is called from the executor's thread."""
        self._in_executor(self._subscribe, show)

    def stop_watching(self) -> None:
        """Unsubscribe, so that the node need not work for us."""
        self._in_executor(self._unsubscribe)

    def _in_executor(self, function: Callable[..., None], *arguments: Any) -> None:
        """Subscriptions and what they use change in the executor's thread only."""
        if self.executor is not None:
            self.executor.create_task(function, *arguments)

    def _subscribe(self, show: Callable[[Update], None]) -> None:
        self._unsubscribe()
        self._show = show
        topics = (
            (RegionArray, f"{self._shown_name}/regions", self._on_regions, result_qos()),
            (QueryState, f"{self._target}/query_state", self._on_query_state, state_qos()),
            (CompressedImage, f"{self._shown_name}/overlay/compressed", self._on_overlay, overlay_qos()),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, 10),
        )
        self._watching = [self.create_subscription(*topic) for topic in topics]
        self._show_node()

    def _unsubscribe(self) -> None:
        self._show = None
        for subscription in self._watching:
            self.destroy_subscription(subscription)
        self._watching = []
        self._arrivals.clear()
        self._diagnosis = ("", "")

    def _tell(self, update: Update) -> None:
        if self._show is not None:
            self._show(update)

    def _on_regions(self, message: RegionArray) -> None:
        self._frame_id = message.header.frame_id
        now = time.monotonic()
        self._arrivals.append(now)
        while now - self._arrivals[0] > RATE_WINDOW_S:
            self._arrivals.popleft()
        self._tell(self._shown(message))

    def _on_overlay(self, message: CompressedImage) -> None:
        self._tell(Overlay(_text(message.header.stamp), bytes(message.data)))

    def _on_query_state(self, message: QueryState) -> None:
        phrases = [query.text for query in message.active if not query.background]
        self._colours = _web_colours(phrases)  # as the overlay has them: by the whole vocabulary
        self._tell(
            ShownQueryState(
                version=message.version,
                status=_QUERY_STATUS.get(message.status, str(message.status)),
                active=tuple(
                    ShownQuery(query.text, self._colours.get(query.text, ""), query.background)
                    for query in message.active
                ),
                parsed_phrases=tuple(message.parsed_phrases),
                rejected=tuple(message.rejected),
                message=message.message,
            )
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        own = f"{self._target.lstrip('/')}: segmentation"
        for status in message.status:
            if status.name == own:
                self._diagnosis = (_LEVELS.get(status.level, ""), status.message)
                self._show_node()

    def _show_node(self) -> None:
        if self._show is None:
            return
        names = {f"{namespace.rstrip('/')}/{name}" for name, namespace in self.get_node_names_and_namespaces()}
        present = self._target in names
        if not present:
            self._diagnosis = ("", "")  # of a node that is gone
        self._tell(ShownNode(self._shown_name, present, *self._diagnosis))

    def _shown(self, message: RegionArray) -> ShownAnswer:
        """The answer as the page shows it, with its latency until now."""
        stamp = message.header.stamp
        latency_ns = self.get_clock().now().nanoseconds - nanoseconds(stamp)
        span = self._arrivals[-1] - self._arrivals[0] if self._arrivals else 0.0
        return ShownAnswer(
            stamp=_text(stamp),
            width=message.width,
            height=message.height,
            status=_ANSWER_STATUS.get(message.status, str(message.status)),
            version=message.vocabulary_version,
            query=message.query,
            latency_ms=latency_ns / 1e6,
            rate_hz=(len(self._arrivals) - 1) / span if span > 0.0 else None,
            regions=tuple(map(self._shown_region, message.regions)),
        )

    def _shown_region(self, region: Region) -> ShownRegion:
        roi, centroid = region.roi, region.centroid
        position = (centroid.x, centroid.y, centroid.z)
        return ShownRegion(
            id=region.id,
            phrase=region.phrase,
            colour=self._colours.get(region.phrase) or _web_colours([region.phrase])[region.phrase],
            score=region.score,
            margin=region.margin,
            area=region.area,
            box=(roi.x_offset, roi.y_offset, roi.width, roi.height),
            position=position if centroid.z == centroid.z else None,  # NaN: no depth
        )

    # ------------------------------------------------------------------------------------- what people ask

    async def ask(self, text: str) -> None:
        """Publish on the node's ~/query, which understands commands. Called in the web server's loop, as those below.

        Raises:
            RobotUnreachable: nobody listens there.
        """
        if self._query.get_subscription_count() == 0:
            raise RobotUnreachable(
                f"nobody listens on {self._query.topic_name}: the node {self._target} does not run or is not active"
            )
        self._query.publish(String(data=text))

    async def ask_nothing(self) -> None:
        """Replace the node's queries by none.

        Raises:
            RobotUnreachable: no answer.
            RequestRefused: the node's reason.
        """
        queries = QueryArray(replace=True, requester="openseg view")
        queries.header.stamp = self.get_clock().now().to_msg()
        response = await self._call(self._set_query, SetQuery.Request(queries=queries))
        if not response.success:
            raise RequestRefused(response.message)

    async def find(self, text: str, top_k: int) -> ShownAnswer:
        """Ask the node's ~/find_regions.

        Raises:
            RobotUnreachable: no answer.
            RequestRefused: the node's reason.
        """
        response = await self._call(self._find_regions, FindRegions.Request(text=text, top_k=top_k))
        if not response.success:
            raise RequestRefused(response.message)
        frame_id = response.regions.header.frame_id
        if self._camera and self._frame_id not in (None, frame_id):
            raise RequestRefused(f"another camera shows it better: the one with the frame '{frame_id}'")
        return self._shown(response.regions)

    async def _call(self, client: Client, request: Any) -> Any:
        name = client.srv_name
        if not client.service_is_ready():
            raise RobotUnreachable(
                f"there is no service {name}: the node {self._target} does not run, is not configured, "
                "or is of a version without it"
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        future = client.call_async(request)
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(_pass_on, done, answer))
        try:
            return await asyncio.wait_for(answer, ANSWER_TIMEOUT_S)
        except TimeoutError as error:
            client.remove_pending_request(future)
            raise RobotUnreachable(f"{name} did not answer within {ANSWER_TIMEOUT_S:g} s") from error


def _pass_on(done: Future, answer: asyncio.Future[Any]) -> None:
    if not answer.done():  # else its time was over
        answer.set_result(done.result())


def _text(stamp: Time) -> str:
    """Seconds with all nine digits; JavaScript's numbers have too few."""
    return f"{stamp.sec}.{stamp.nanosec:09d}"


def _web_colours(phrases: Sequence[str]) -> dict[str, str]:
    """The overlay's colour of each phrase, as "#rrggbb"."""
    return {phrase: "#{:02x}{:02x}{:02x}".format(*rgb) for phrase, rgb in phrase_colours(phrases).items()}
