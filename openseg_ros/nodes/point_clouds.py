"""Point clouds of one image: everything, the target, everything but the target."""

from __future__ import annotations

import sys
from functools import cached_property

import cv2
import numpy as np
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from openseg_ros.geometry.outline import edge_width, without_edge
from openseg_ros.nodes.image_codec import byte_array
from openseg_ros.segmenter.segmentation import Segmentation

# rgb is 0x00RRGGBB in the bits of a float, as PCL and RViz read it.
_POINT = np.dtype(
    [("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "u4"), ("label", "u2"), ("instance", "u2"), ("score", "f4")]
)
_FIELD_TYPES = {"x": PointField.FLOAT32, "y": PointField.FLOAT32, "z": PointField.FLOAT32, "rgb": PointField.FLOAT32}
_FIELD_TYPES |= {"label": PointField.UINT16, "instance": PointField.UINT16, "score": PointField.FLOAT32}
_OFFSETS = {name: offset for name, (_, offset, *_) in (_POINT.fields or {}).items()}
_FIELDS = [
    PointField(name=name, offset=_OFFSETS[name], datatype=datatype, count=1) for name, datatype in _FIELD_TYPES.items()
]


class PointClouds:
    """The clouds of one image; what they share is made once. Without depth they are empty."""

    def __init__(self, segmentation: Segmentation, rgb: np.ndarray, points: np.ndarray | None) -> None:
        """Of an image `rgb` (H, W, 3) uint8 with `points` (H, W, 3) float32 metres, NaN where nothing was measured."""
        self._segmentation = segmentation
        self._rgb = rgb
        self._points = points

    def scene(self, header: Header) -> PointCloud2:
        """All pixels, organised: height x width of the image, NaN where nothing was measured."""
        return _message(self._organised, header, is_dense=False)

    def target(self, header: Header) -> PointCloud2:
        """The measured points of the target without its edge, one row; empty if it is not found."""
        target = without_edge(self._segmentation.target_mask, edge_width(self._segmentation.width))
        return _message(self._of(self._measured(target)), header, is_dense=True)

    def scene_minus_target(self, header: Header) -> PointCloud2:
        """All measured points that are neither the target's nor next to its outline, one row."""
        side = 2 * edge_width(self._segmentation.width) + 1
        near = cv2.dilate(self._segmentation.target_mask, np.ones((side, side), np.uint8)) > 0
        # Nearly all pixels: they are taken from the organised cloud, which is mostly wanted too.
        return _message(self._organised.ravel().take(self._measured(~near)), header, is_dense=True)

    def _measured(self, pixels: np.ndarray) -> np.ndarray:
        """Numbers of those of the pixels (H, W) bool that were measured; they select five times faster than bools."""
        return (
            np.flatnonzero(pixels & ~np.isnan(self._points[..., 2])) if self._points is not None else np.zeros(0, int)
        )

    @cached_property
    def _organised(self) -> np.ndarray:
        """(H, W) of `_POINT`; (0, 0) without depth."""
        if self._points is None:
            return np.empty((0, 0), _POINT)
        return self._of(slice(None)).reshape(self._points.shape[:2])

    def _of(self, pixels: np.ndarray | slice) -> np.ndarray:
        """(N,) of `_POINT`: the pixels with these numbers; none without depth."""
        if self._points is None:
            return np.empty(0, _POINT)
        segmentation = self._segmentation
        instances = segmentation.instances.reshape(-1)[pixels]
        scores = np.concatenate([np.zeros(1, np.float32), segmentation.regions.score])
        cloud = np.empty(instances.shape, _POINT)
        xyz, rgb = self._points.reshape(-1, 3)[pixels], self._rgb.reshape(-1, 3)[pixels]
        for axis, name in enumerate("xyz"):
            cloud[name] = xyz[:, axis]
        red, green, blue = (rgb[:, channel].astype(np.uint32) for channel in range(3))
        cloud["rgb"] = red << 16 | green << 8 | blue
        cloud["label"] = segmentation.mask.reshape(-1)[pixels]
        cloud["instance"] = instances
        cloud["score"] = scores.take(instances)
        return cloud


def _message(points: np.ndarray, header: Header, *, is_dense: bool) -> PointCloud2:
    """(H, W) or (N,) points as a message."""
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    message = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=_FIELDS,
        is_bigendian=sys.byteorder == "big",
        point_step=_POINT.itemsize,
        row_step=_POINT.itemsize * width,
        is_dense=is_dense,
    )
    message.data = byte_array(np.ascontiguousarray(points))
    return message
