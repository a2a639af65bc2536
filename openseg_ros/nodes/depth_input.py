"""The depth that belongs to an image, as points.

Depth images are kept as they come over the wire: of thirty a second, only those that an image is processed with are
unpacked, and none while nobody wants points.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Callable

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.image_messages import ImageError, decode_depth
from openseg_ros.nodes.stamp import nanoseconds

KEPT = 16  # depth images: half a second of a 30 Hz camera, longer than an image waits for its network's run
FLOWING_S = 1.0  # depth that came within this time will come again, and is worth waiting for
_STAMP = {0: struct.Struct(">iI"), 1: struct.Struct("<iI")}  # by the byte order in the CDR header


class DepthInput:
    """Keeps the newest depth images and the camera's intrinsics; thread-safe."""

    def __init__(self, bad_input: Callable[[str, str], None]) -> None:
        """`bad_input(cause, message)` is told what cannot be used."""
        self._bad_input = bad_input
        self._changed = threading.Condition()
        self._images: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._last_arrival = float("-inf")
        self._info: CameraInfo | None = None

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._images.clear()
            self._info = None

    def on_depth(self, data: bytes) -> None:
        """Keep a serialised depth image."""
        if len(data) < 12:
            self._bad_input("depth_short_data", f"{len(data)} bytes are no depth image")
            return
        seconds, nanoseconds = _STAMP[data[1] & 1].unpack_from(data, 4)
        with self._changed:
            self._images.append((seconds * 10**9 + nanoseconds, data))
            self._last_arrival = time.monotonic()
            self._changed.notify_all()

    def on_camera_info(self, message: CameraInfo) -> None:
        """Keep the intrinsics."""
        with self._changed:
            self._info = message

    def points(self, header: Header, size: tuple[int, int], *, slop_s: float, scale: float) -> ImagePoints | None:
        """The points of the image with `header`.

        Where depth images do come, waits for this one's, at most `slop_s`.

        Args:
            header: of the image.
            size: (height, width) of the image.
            slop_s: largest difference of the stamps, seconds.
            scale: metres per unit of 16UC1.

        Returns:
            The points in the camera's optical frame; None without depth of this time or without intrinsics.
        """
        data = self._nearest(nanoseconds(header.stamp), slop_s)
        if data is None:
            return None
        camera = self._camera(size)
        if camera is None:
            return None
        try:
            depth = decode_depth(deserialize_message(data, Image), scale)
        except ImageError as error:
            self._bad_input(f"depth_{error.fault.value}", f"depth image refused: {error}")
            return None
        if depth.shape != size:
            self._bad_input(
                "depth_other_size",
                f"the depth image has {depth.shape[1]}x{depth.shape[0]} pixels and the image {size[1]}x{size[0]}: "
                "use depth that is registered to the image (depth_image_proc)",
            )
            return None
        return ImagePoints(camera, depth)

    def _nearest(self, stamp: int, slop_s: float) -> bytes | None:
        """The depth image whose stamp is nearest to `stamp` (nanoseconds), not farther than `slop_s`."""
        deadline = time.monotonic() + slop_s
        with self._changed:
            while True:
                newest_first = reversed(self._images)  # after a bag has looped, the same stamp is there twice
                found = min(newest_first, key=lambda image: abs(image[0] - stamp), default=None)
                now = time.monotonic()
                is_exact = found is not None and found[0] == stamp
                if is_exact or now >= deadline or now - self._last_arrival > FLOWING_S:
                    break
                self._changed.wait(deadline - now)
        return found[1] if found is not None and abs(found[0] - stamp) <= slop_s * 1e9 else None

    def _camera(self, size: tuple[int, int]) -> Pinhole | None:
        with self._changed:
            info = self._info
        if info is None:
            self._bad_input("no_camera_info", "depth arrives without camera_info: no positions")
            return None
        # The rectified camera is in P; drivers that do not rectify leave it 0 or equal to K.
        fx, fy, cx, cy = (
            (info.p[0], info.p[5], info.p[2], info.p[6]) if info.p[0] else (info.k[0], info.k[4], info.k[2], info.k[5])
        )
        if not (info.k[0] > 0.0 and fx > 0.0 and fy > 0.0):
            self._bad_input("uncalibrated_camera", "camera_info has no focal length (K[0] is 0): no positions")
            return None
        if (info.height, info.width) not in (size, (0, 0)):
            self._bad_input(
                "camera_info_other_size",
                f"camera_info is for {info.width}x{info.height} pixels and the image has {size[1]}x{size[0]}",
            )
            return None
        return Pinhole(size, fx, fy, cx, cy)
