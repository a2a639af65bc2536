"""A colour and depth camera before the node, and pictures for it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from ros.ros_peer import RELIABLE, Peer, Recorder, wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.nodes.image_codec import encode_image

OPTICAL_FRAME = "camera_color_optical_frame"
SIZE = (120, 160)
FOCAL = 150.0
CAMERA = Pinhole(SIZE, FOCAL, FOCAL, 79.5, 59.5)


class DepthRig:
    """Publishes images with their depth, and collects what the node says of each."""

    def __init__(self, peer: Peer, recorders: dict[str, Recorder]) -> None:
        self.peer = peer
        self.recorders = recorders
        self.image = peer.publisher(Image, "/image", RELIABLE)
        self.depth = peer.publisher(Image, "/depth_registered/image_rect", RELIABLE)
        self.info = peer.publisher(CameraInfo, "/camera_info", RELIABLE)

    def calibrate(self, focal: float = FOCAL) -> None:
        """Send intrinsics and give them time to arrive."""
        self.info.publish(intrinsics(SIZE, focal))
        time.sleep(0.2)

    def show(
        self,
        rgb: np.ndarray,
        depth: Image | None,
        *,
        depth_late_s: float = 0.0,
        frame_id: str = OPTICAL_FRAME,
        stamp_s: int | None = None,
    ) -> tuple[Header, dict[str, Any]]:
        """The header of an image, whose depth comes before or after it, and the message of every recorder for it."""
        message = self.peer.image(rgb)
        message.header.frame_id = frame_id
        if stamp_s is not None:
            message.header.stamp.sec = stamp_s
        if depth is not None:
            depth.header = message.header
            if not depth_late_s:
                self.depth.publish(depth)
                time.sleep(0.1)
        self.image.publish(message)
        if depth is not None and depth_late_s:
            time.sleep(depth_late_s)
            self.depth.publish(depth)
        recorders = self.recorders
        wait_until(lambda: all(r.with_stamp(message.header) for r in recorders.values()), ", ".join(recorders))
        return message.header, {name: r.with_stamp(message.header)[0] for name, r in recorders.items()}


def depth_picture() -> np.ndarray:
    """(H, W) float32 metres: a slope with holes of every kind."""
    depth = np.tile(np.linspace(0.5, 1.5, SIZE[1], dtype=np.float32), (SIZE[0], 1))
    depth[:10] = 0.0
    depth[10:14] = np.nan
    depth[14:18] = np.inf
    return depth


def intrinsics(size: tuple[int, int], focal: float = FOCAL) -> CameraInfo:
    """Of a camera that looks straight ahead; with a focal length of 0 it is not calibrated."""
    height, width = size
    k = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0 if focal else 0.0]
    return CameraInfo(height=height, width=width, k=k)


def metres(depth: np.ndarray, header: Header | None = None) -> Image:
    """A 32FC1 message of (H, W) float32."""
    message = encode_image(depth.view(np.uint8), "32FC1", Header() if header is None else header)
    message.width //= 4
    return message
