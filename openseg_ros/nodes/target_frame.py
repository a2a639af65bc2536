"""The frame of clouds and boxes: the camera's own, or the parameter target_frame by way of tf2.

tf2_ros is optional, because pip does not have it: without it the parameter is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.rigid_transform import RigidTransform
from openseg_ros.nodes.stamp import nanoseconds

JUMP_BACK_S = 1.0  # cameras of one robot are less apart


class TransformError(Exception):
    """The camera's pose in the target frame is not known at the stamp of an image."""


@dataclass(frozen=True)
class OutputFrame:
    """Where the positions of one image are given."""

    header: Header  # the image's stamp and this frame's name
    from_camera: RigidTransform | None = None  # None: it is the camera's own frame

    @property
    def up(self) -> np.ndarray | None:
        """(3,) the frame's z axis as the camera sees it; None for optical frames, whose z is not up (REP 103)."""
        if self.from_camera is None or self.header.frame_id.endswith("_optical_frame"):
            return None
        return self.from_camera.rotation[2]

    def xyz(self, points: ImagePoints) -> np.ndarray:
        """(H, W, 3) float32 metres: `points` in this frame."""
        return points.xyz if self.from_camera is None else self.from_camera.apply(points.xyz)


class TargetFrame:
    """Listens to /tf and /tf_static."""

    def __init__(self, node: Node, frame_id: str) -> None:
        """Start listening; `frame_id` is the parameter target_frame."""
        from tf2_ros import Buffer, TransformListener

        self._frame_id = frame_id
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)
        self._newest = 0  # stamp of an image, nanoseconds

    def destroy(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def of(self, header: Header, timeout_s: float) -> OutputFrame:
        """The frame for an image, by the camera's pose at the image's stamp. Not for the executor's thread: it waits.

        Raises:
            TransformError: the pose did not arrive within `timeout_s`.
        """
        from tf2_ros import TransformException

        self._forget_after_a_jump_back(nanoseconds(header.stamp))
        wait = Duration(nanoseconds=int(timeout_s * 1e9))
        try:
            found = self._buffer.lookup_transform(self._frame_id, header.frame_id, Time.from_msg(header.stamp), wait)
        except TransformException as error:
            raise TransformError(
                f"no pose of '{header.frame_id}' in target_frame '{self._frame_id}' at an image's stamp: {error}"
            ) from error
        turn, shift = found.transform.rotation, found.transform.translation
        transform = RigidTransform.from_quaternion(
            (turn.x, turn.y, turn.z, turn.w), np.array([shift.x, shift.y, shift.z])
        )
        return OutputFrame(Header(stamp=header.stamp, frame_id=self._frame_id), transform)

    def _forget_after_a_jump_back(self, stamp: int) -> None:
        """Clear what tf2 knows, static poses apart, when a bag loops: it refuses poses 10 s older than its newest.

        `Buffer` does so itself only where it is given a node, and then for jumps of the clock, not of the stamps.
        """
        if stamp < self._newest - JUMP_BACK_S * 1e9:
            self._buffer.clear()
            self._newest = 0
        self._newest = max(self._newest, stamp)
