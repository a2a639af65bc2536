"""The depth that belongs to an image, as points.

Depth images are kept as they come over the wire: of thirty a second, only those that an image is processed with are
unpacked, and none while nobody wants points. What belongs to an image is chosen from its arrival on, and stays with it
for as long as its answer takes.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from weakref import WeakSet

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.geometry.pinhole import Pinhole
from openseg_ros.image_messages import ImageError, decode_depth
from openseg_ros.nodes.counters import ImageCounters
from openseg_ros.nodes.stamp import nanoseconds

KEPT = 16  # depth images: half a second at 30 Hz, for an image that arrives after its depth
FLOWING_S = 1.0  # depth that came within this time will come again, and is worth waiting for
_STAMP = {0: struct.Struct(">iI"), 1: struct.Struct("<iI")}  # by the byte order in the CDR header


class DepthOfImage:
    """The depth image nearest to one image, of those that were kept when the image arrived and all that came since."""

    def __init__(self, source: DepthInput, stamp: int) -> None:
        """Of `DepthInput.of`; `stamp` of the image in nanoseconds."""
        self._source = source
        self.stamp = stamp
        self.since = time.monotonic()  # of the image's arrival
        self.nearest: tuple[int, bytes] | None = None  # stamp in nanoseconds, and the serialised depth image
        self.is_final = False  # nothing nearer can come

    def consider(self, stamp: int, data: bytes) -> None:
        """Take a depth image into account; later ones of the same stamp win, as after a bag has looped."""
        if self.nearest is None or abs(stamp - self.stamp) <= abs(self.nearest[0] - self.stamp):
            self.nearest = stamp, data
        # Depth comes in the order of its stamps. One that is far ahead is of a lap of the bag before.
        self.is_final |= 0 <= stamp - self.stamp <= FLOWING_S * 1e9

    def points(self, size: tuple[int, int], *, slop_s: float, scale: float) -> ImagePoints | None:
        """The points of the image.

        Where depth images do come, waits for a nearer one, at most `slop_s`.

        Args:
            size: (height, width) of the image.
            slop_s: largest difference of the stamps, seconds.
            scale: metres per unit of 16UC1.

        Returns:
            The points in the camera's optical frame; None without depth of this time or without intrinsics.
        """
        return self._source.points(self, size, slop_s=slop_s, scale=scale)


class DepthInput:
    """Keeps the newest depth images and the camera's intrinsics; thread-safe."""

    def __init__(self, counters: ImageCounters) -> None:
        """`counters` of the camera: count what arrives, and what of it cannot be used."""
        self._counters = counters
        self._bad_input = counters.bad_input.count
        self._changed = threading.Condition()
        self._images: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._wanted: WeakSet[DepthOfImage] = WeakSet()
        self._last_arrival = float("-inf")
        self._info: CameraInfo | None = None

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._images.clear()
            self._wanted.clear()
            self._info = None

    def of(self, header: Header) -> DepthOfImage:
        """The depth of the image with `header`, from now on for as long as somebody keeps it."""
        depth = DepthOfImage(self, nanoseconds(header.stamp))
        with self._changed:
            for stamp, data in self._images:
                depth.consider(stamp, data)
            self._wanted.add(depth)
        return depth

    def on_depth(self, data: bytes) -> None:
        """Keep a serialised depth image."""
        self._counters.depth_received()
        if len(data) < 12:
            self._bad_input("depth_short_data", f"{len(data)} bytes are no depth image")
            return
        seconds, fraction = _STAMP[data[1] & 1].unpack_from(data, 4)
        stamp = seconds * 10**9 + fraction
        with self._changed:
            self._images.append((stamp, data))
            for depth in self._wanted:
                depth.consider(stamp, data)
            self._last_arrival = time.monotonic()
            self._changed.notify_all()

    def on_camera_info(self, message: CameraInfo) -> None:
        """Keep the intrinsics."""
        with self._changed:
            self._info = message

    def points(self, wanted: DepthOfImage, size: tuple[int, int], *, slop_s: float, scale: float) -> ImagePoints | None:
        """See `DepthOfImage.points`."""
        data = self._nearest(wanted, slop_s)
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

    def _nearest(self, wanted: DepthOfImage, slop_s: float) -> bytes | None:
        """The serialised depth image of `wanted`, if it is not farther than `slop_s` from the image."""
        deadline = time.monotonic() + slop_s
        with self._changed:
            while not wanted.is_final:
                now = time.monotonic()
                if now >= deadline or now - self._last_arrival > FLOWING_S:
                    break
                self._changed.wait(deadline - now)
            nearest = wanted.nearest
            has_come_since = self._last_arrival >= wanted.since
        if nearest is None:
            return None
        apart = abs(nearest[0] - wanted.stamp) * 1e-9
        if apart <= slop_s:
            return nearest[1]
        if has_come_since:
            self._bad_input(
                "depth_other_time",
                f"depth arrives, but the nearest is {apart:.3f} s from its image, more than sync_slop_s ({slop_s:g} s)",
            )
        return None

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
