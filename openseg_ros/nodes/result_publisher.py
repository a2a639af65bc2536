"""The topics that carry the answers for one image. An output that nobody subscribes to costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from openseg_ros.msg import RegionArray
from openseg_ros.nodes.image_codec import encode_image, encode_jpeg, encode_png
from openseg_ros.nodes.message_conversion import ID_ENCODINGS, ids_image, region_array_message
from openseg_ros.nodes.optional_packages import HAS_VISION_MSGS
from openseg_ros.nodes.parameters import NodeParameters
from openseg_ros.nodes.point_clouds import PointClouds
from openseg_ros.nodes.qos import detections_qos, overlay_qos, overridable, points_qos, result_qos
from openseg_ros.nodes.regions_in_space import RegionsInSpace
from openseg_ros.nodes.target_frame import OutputFrame
from openseg_ros.segmenter.overlay import draw_overlay
from openseg_ros.segmenter.segmentation import Segmentation

if HAS_VISION_MSGS:
    from vision_msgs.msg import Detection2DArray, Detection3DArray

    from openseg_ros.nodes.detections import detection_2d_array_message, detection_3d_array_message


class ResultPublisher:
    """Owns the publishers of the outputs of one camera's images."""

    def __init__(
        self, node: LifecycleNode, camera: str, embedding_space: str, incompatible_qos: Callable[[str], Any]
    ) -> None:
        """Create the publishers.

        Args:
            node: has them.
            camera: the topics are ~/<camera>/mask and so on; "": ~/mask.
            embedding_space: of the weights.
            incompatible_qos: makes, from the name of a topic, the callback for a peer that cannot connect.
        """
        self._node = node
        self._embedding_space = embedding_space
        self._last_overlay = float("-inf")

        def publisher(message_type: type, name: str, qos: QoSProfile) -> LifecyclePublisher:
            topic = f"~/{camera}/{name}" if camera else f"~/{name}"
            events = PublisherEventCallbacks(incompatible_qos=incompatible_qos(topic))
            return node.create_lifecycle_publisher(
                message_type, topic, qos, event_callbacks=events, qos_overriding_options=overridable()
            )

        self._target_mask = publisher(Image, "target_mask", result_qos())
        self._regions = publisher(RegionArray, "regions", result_qos())
        self._mask = publisher(Image, "mask", result_qos())
        self._instances = publisher(Image, "instances", result_qos())
        self._confidence = publisher(Image, "confidence", result_qos())
        self._mask_png = publisher(CompressedImage, "mask/compressed", result_qos())
        self._points = publisher(PointCloud2, "points", points_qos())
        self._target_points = publisher(PointCloud2, "target_points", points_qos())
        self._scene_minus_target_points = publisher(PointCloud2, "scene_minus_target_points", points_qos())
        self._overlay = publisher(Image, "overlay", overlay_qos())
        self._overlay_jpeg = publisher(CompressedImage, "overlay/compressed", overlay_qos())
        self._clouds = (self._target_points, self._scene_minus_target_points, self._points)
        self._detections: LifecyclePublisher | None = None
        self._detections_3d: LifecyclePublisher | None = None
        if HAS_VISION_MSGS:
            self._detections = publisher(Detection2DArray, "detections", detections_qos())
            self._detections_3d = publisher(Detection3DArray, "detections_3d", detections_qos())
        self._results = (
            self._target_mask,
            self._regions,
            self._mask,
            self._instances,
            self._confidence,
            self._mask_png,
            *filter(None, (self._detections, self._detections_3d)),
            *self._clouds,
        )

    def destroy(self) -> None:
        """Remove the publishers from the ROS graph."""
        for publisher in (*self._results, self._overlay, self._overlay_jpeg):
            self._node.destroy_lifecycle_publisher(publisher)

    def is_wanted(self) -> bool:
        """Whether anybody subscribes to an output, the picture for people apart."""
        return any(map(_is_subscribed, self._results))

    def is_watched(self) -> bool:
        """Whether anybody subscribes to the picture for people."""
        return _is_subscribed(self._overlay) or _is_subscribed(self._overlay_jpeg)

    def takes_overlay_turn(self, rate_hz: float) -> bool:
        """Whether a picture for people is wanted and due; if so, the next one is due a period later."""
        if rate_hz <= 0.0 or time.monotonic() - self._last_overlay < 1.0 / rate_hz:
            return False
        if not self.is_watched():
            return False
        self._last_overlay = time.monotonic()
        return True

    def needs_identities(self) -> bool:
        """Whether anybody subscribes to an output with identities."""
        return any(map(_is_subscribed, (self._regions, self._detections, self._detections_3d)))

    def needs_points(self) -> bool:
        """Whether anybody subscribes to an output with positions."""
        return _is_subscribed(self._regions) or self.needs_frame()

    def needs_frame(self) -> bool:
        """Whether anybody subscribes to an output that is given in the target frame."""
        return any(map(_is_subscribed, (self._detections_3d, *self._clouds)))

    def publish_results(
        self,
        segmentation: Segmentation,
        header: Header,
        parameters: NodeParameters,
        space: RegionsInSpace | None,
    ) -> None:
        """Publish what is subscribed to of all that needs no frame; first what an arm waits for, then what costs most.

        Args:
            segmentation: the answer for the image.
            header: of the image, and of what is published.
            parameters: what to send.
            space: the regions' positions; None without depth.
        """
        if _is_subscribed(self._target_mask):
            self._target_mask.publish(encode_image(segmentation.target_mask, "mono8", header))
        if _is_subscribed(self._regions):
            message = region_array_message(
                segmentation,
                header,
                embedding_space=self._embedding_space,
                embeddings=parameters.publish_embeddings,
                masks=parameters.publish_region_masks,
                space=space,
            )
            self._regions.publish(message)
        if _is_subscribed(self._mask):
            self._mask.publish(ids_image(segmentation.mask, header))
        if _is_subscribed(self._instances):
            self._instances.publish(ids_image(segmentation.instances, header))
        if _is_subscribed(self._confidence):
            self._confidence.publish(encode_image(segmentation.confidence, "mono8", header))
        if _is_subscribed(self._mask_png):
            mask = segmentation.mask
            self._mask_png.publish(encode_png(mask, ID_ENCODINGS[mask.dtype], header))
        if self._detections is not None and _is_subscribed(self._detections):
            self._detections.publish(detection_2d_array_message(segmentation, header))

    def publish_in_space(
        self,
        segmentation: Segmentation,
        rgb: np.ndarray,
        header: Header,
        space: RegionsInSpace | None,
        frame: OutputFrame | None,
    ) -> None:
        """Publish what is subscribed to of boxes in space and clouds; they are empty without `space` or `frame`.

        Args:
            segmentation: the answer for the image.
            rgb: the image, (H, W, 3) uint8.
            header: of the image.
            space: the regions' positions; None without depth.
            frame: of what is published; None where it is not known.
        """
        if self._detections_3d is not None and _is_subscribed(self._detections_3d):
            self._detections_3d.publish(
                Detection3DArray(header=header)
                if space is None or frame is None
                else detection_3d_array_message(segmentation, space, frame)
            )
        if not any(map(_is_subscribed, self._clouds)):
            return
        xyz = None if space is None or frame is None else frame.xyz(space.points)
        clouds = PointClouds(segmentation, rgb, xyz)
        header = header if frame is None else frame.header
        if _is_subscribed(self._target_points):
            self._target_points.publish(clouds.target(header))
        if _is_subscribed(self._scene_minus_target_points):
            self._scene_minus_target_points.publish(clouds.scene_minus_target(header))
        if _is_subscribed(self._points):
            self._points.publish(clouds.scene(header))

    def publish_overlay(self, segmentation: Segmentation, rgb: np.ndarray, header: Header) -> None:
        """Publish a picture for people; `rgb` is the processed image, (H, W, 3) uint8."""
        picture = draw_overlay(rgb, segmentation)
        if _is_subscribed(self._overlay):
            self._overlay.publish(encode_image(picture, "rgb8", header))
        if _is_subscribed(self._overlay_jpeg):
            self._overlay_jpeg.publish(encode_jpeg(picture, header))


def _is_subscribed(publisher: LifecyclePublisher | None) -> bool:
    return publisher is not None and publisher.get_subscription_count() > 0
