"""The action ~/find_object: watch the cameras until an object is found in several images in a row.

A goal brings its own queries and limits and is scored beside the node's queries, from the same run of the network.
The node's queries and topics stay as they are, whatever happens to the goal.

With several cameras all of them are watched, and the images in a row are those of one camera. The header of the result
tells which: the one that found the object, or else the one whose last image showed it best.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from rclpy.action.server import ActionServer, CancelResponse, ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.task import Future
from rclpy.timer import Timer

from openseg_ros.action import FindObject
from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.oriented_box import oriented_boxes
from openseg_ros.geometry.region_surface import RegionSurfaces
from openseg_ros.geometry.rigid_transform import quaternions
from openseg_ros.msg import RegionArray
from openseg_ros.nodes.camera import Camera
from openseg_ros.nodes.frame_worker import Frame
from openseg_ros.nodes.message_conversion import NO_POSITION, queries_from_message
from openseg_ros.nodes.object_search import ObjectSearch, Outcome
from openseg_ros.nodes.request_context import RequestContext
from openseg_ros.nodes.request_thread import OpenAnswers, RequestError, RequestThread, settle
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.segmenter.segmenter import NetworkAnswer
from openseg_ros.text.vocabulary import QueryError

KEEP_RESULT_S = 60  # for clients that ask late


@dataclass(frozen=True)
class _Goal:
    """A goal that is being worked on; `ended` gets its (outcome, message)."""

    handle: ServerGoalHandle
    search: ObjectSearch
    since: float  # of its arrival on the monotonic clock, in seconds: what was seen before does not count
    ended: Future


class FindObjectAction:
    """Serves one goal at a time. Goals that make no sense are accepted and then aborted, since only a result can
    say why.
    """

    def __init__(
        self, node: Node, context: RequestContext, thread: RequestThread, *, failed: Callable[[str], None]
    ) -> None:
        """Advertise the action on `node`; goals are prepared, and results made, in `thread`.

        `failed` is told what must not happen, a fault of ours.
        """
        self._node = node
        self._context = context
        self._thread = thread
        self._failed = failed
        self._open_answers = OpenAnswers(node)
        self._lock = threading.Lock()
        self._goal: _Goal | None = None
        self._is_busy = False  # from a goal's arrival to its result; only the executor's thread uses it
        self._server = ActionServer(
            node,
            FindObject,
            "~/find_object",
            self._execute,
            cancel_callback=self._on_cancel,
            callback_group=MutuallyExclusiveCallbackGroup(),
            result_timeout=KEEP_RESULT_S,
        )

    def destroy(self) -> None:
        """Remove the action from the ROS graph, once a goal that ends has its result."""
        self._open_answers.when_all_are_sent(self._server.destroy)

    @property
    def is_searching(self) -> bool:
        """Whether images are needed."""
        return self._goal is not None

    @property
    def needs_points(self) -> bool:
        """Whether what is searched for is chosen by its place."""
        goal = self._goal
        return goal is not None and goal.search.has_relations

    def look_at(self, camera: Camera, frame: Frame, answer: NetworkAnswer, points: ImagePoints | None) -> None:
        """Take a processed image into account. Runs in the thread that publishes results."""
        goal = self._goal
        if goal is None or frame.received < goal.since:
            return
        search = goal.search
        is_found = search.look_at(camera, frame, answer, points)
        goal.handle.publish_feedback(
            FindObject.Feedback(
                best_score=search.best_score,
                frames_seen=search.frames_seen,
                frames_in_a_row=search.frames_in_a_row,
            )
        )
        if is_found:
            self._end(goal, Outcome.FOUND, "")

    def give_up(self, reason: str) -> None:
        """End the goal, if there is one, with what was seen until now."""
        goal = self._goal
        if goal is not None:
            self._end(goal, goal.search.outcome(), reason)

    async def _execute(self, handle: ServerGoalHandle) -> FindObject.Result:
        if self._is_busy:
            handle.abort()
            return _refusal("another goal is being worked on: cancel it or wait for its end")
        self._is_busy = True
        try:
            with self._open_answers.one_more():
                return await self._work_on(handle)
        except (RequestError, QueryError) as error:
            handle.abort()
            return _refusal(str(error))
        except Exception as error:  # rclpy would answer with an empty result, which says nothing
            message = f"{type(error).__name__}: {error}"
            self._failed(f"a goal failed: {message}")
            handle.abort()
            return _refusal(message)
        finally:
            self._goal = None
            self._is_busy = False

    async def _work_on(self, handle: ServerGoalHandle) -> FindObject.Result:
        since = time.monotonic()
        search = await self._thread.run(self._search, handle.request)
        self._context.require_active()  # still: from here on, `give_up` ends the goal
        goal = _Goal(handle, search, since, Future())
        self._goal = goal
        if handle.is_cancel_requested:  # while the search was prepared
            self._end(goal, Outcome.CANCELLED, "")
        timer = self._start_timer(goal)
        outcome, message = await goal.ended
        if timer is not None:
            self._node.destroy_timer(timer)
        result = await self._thread.run(self._result, search, outcome, message)
        if outcome is Outcome.FOUND:
            handle.succeed()
        elif outcome is Outcome.CANCELLED:
            handle.canceled()
        else:
            handle.abort()
        return result

    def _start_timer(self, goal: _Goal) -> Timer | None:
        """Ends `goal` when the time that its client allows is over; None if it may wait for ever."""
        seconds = _seconds(goal.handle.request)
        if not seconds:
            return None
        # The steady clock: a bag that is paused or loops must not stretch the time.
        return self._node.create_timer(
            seconds,
            lambda: self._end(goal, goal.search.outcome(), f"the time of {seconds:g} s is over"),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        goal = self._goal
        if goal is not None and goal.handle.goal_id == handle.goal_id:
            self._end(goal, Outcome.CANCELLED, "")
        return CancelResponse.ACCEPT

    def _end(self, goal: _Goal, outcome: Outcome, message: str) -> None:
        """End `goal`, from any thread; whoever comes first decides how."""
        with self._lock:
            if self._goal is not goal:
                return
            self._goal = None
        settle(self._node, goal.ended, (outcome, message))

    # ------------------------------------------------------------------------- in the thread of requests

    def _search(self, request: FindObject.Goal) -> ObjectSearch:
        """What `request` asks for.

        Raises:
            RequestError: a number makes no sense, there is not one target, or the node is not active.
            QueryError: none of its queries can be used.
        """
        context = self._context
        context.require_active()
        if context.is_paused():
            raise RequestError("the node is paused: enable it with ~/set_enabled first")
        _check_numbers(request)
        queries = queries_from_message(request.queries)
        targets = [query.text for query in queries if query.is_target]
        if len(targets) > 1:
            raise RequestError(f"{len(targets)} targets: mark one query as target, or none for the first")
        vocabulary = context.own_vocabulary(queries)
        if vocabulary.rejected:  # to search for a part of what was asked for would look like a success
            raise RequestError("; ".join(vocabulary.rejected))
        parameters = context.parameters()
        wanted = {
            "score_threshold": request.min_score,
            "min_relative_area": request.min_relative_area,
            "max_relative_area": request.max_relative_area,
            "nms_iou": request.max_nms_iou,
        }
        parameters = replace(parameters, **{name: value for name, value in wanted.items() if value >= 0.0})
        if parameters.min_relative_area >= parameters.max_relative_area:
            raise RequestError(
                f"min_relative_area ({parameters.min_relative_area:g}) must be smaller than "
                f"max_relative_area ({parameters.max_relative_area:g})"
            )
        return ObjectSearch(context.model.segmenter(parameters), vocabulary, request.stable_frames)

    def _result(self, search: ObjectSearch, outcome: Outcome, message: str) -> FindObject.Result:
        result = FindObject.Result(status=int(outcome), message=message, **_no_box())
        result.regions.status = RegionArray.NOT_FOUND
        look = search.best_look()
        if look is not None:
            segmentation = look.segmentation
            points = self._context.points(look.frame.depth, (segmentation.height, segmentation.width))
            result.regions = self._context.region_array(segmentation, look.frame.message.header, points)
            if points is not None and segmentation.target_region is not None:
                result.box_center, result.box_size = _box(points, segmentation, segmentation.target_region - 1)
        return result


def _check_numbers(request: FindObject.Goal) -> None:
    if request.stable_frames < 1:
        raise RequestError("stable_frames is 0; at least 1 is needed")
    if _seconds(request) < 0.0:
        raise RequestError(f"timeout is {_seconds(request):g} s; it must be positive, or 0 for no limit")
    for name in ("min_score", "min_relative_area", "max_relative_area", "max_nms_iou"):
        value = getattr(request, name)
        if not value <= 1.0:
            raise RequestError(f"{name} is {value:g}; it must lie in [0, 1], or be negative for the node's parameter")


def _seconds(request: FindObject.Goal) -> float:
    """The time that the client allows; 0: for ever."""
    return float(request.timeout.sec + request.timeout.nanosec * 1e-9)


def _refusal(message: str) -> FindObject.Result:
    result = FindObject.Result(status=int(Outcome.REJECTED), message=message, **_no_box())
    result.regions.status = RegionArray.NOT_FOUND
    return result


def _box(points: ImagePoints, segmentation: Segmentation, row: int) -> tuple[Pose, Vector3]:
    """The oriented box of a region, in the camera's frame; NaN where none of its points was measured."""
    mask = segmentation.region_masks()[row]
    boxes = oriented_boxes(RegionSurfaces(points, segmentation.regions.roi[[row]], [mask]), up=None)
    if not np.isfinite(boxes.size).all():
        none = _no_box()
        return none["box_center"], none["box_size"]
    turn = Quaternion(**dict(zip("xyzw", quaternions(boxes.rotation)[0].tolist(), strict=True)))
    centre = Point(**dict(zip("xyz", boxes.centre[0].tolist(), strict=True)))
    return Pose(position=centre, orientation=turn), Vector3(**dict(zip("xyz", boxes.size[0].tolist(), strict=True)))


def _no_box() -> dict[str, Pose | Vector3]:
    centre = Point(x=NO_POSITION, y=NO_POSITION, z=NO_POSITION)
    size = Vector3(x=NO_POSITION, y=NO_POSITION, z=NO_POSITION)
    return {"box_center": Pose(position=centre, orientation=Quaternion(w=1.0)), "box_size": size}
