"""The topics that tell what is looked for: ~/query_state and, where vision_msgs is installed, ~/label_info."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from openseg_ros.msg import QueryState
from openseg_ros.nodes.message_conversion import query_state_message
from openseg_ros.nodes.optional_packages import HAS_VISION_MSGS
from openseg_ros.nodes.qos import overridable, state_qos
from openseg_ros.nodes.query_worker import QueryReport

if HAS_VISION_MSGS:
    from vision_msgs.msg import LabelInfo

    from openseg_ros.nodes.detections import label_info_message


class VocabularyPublisher:
    """Owns the publishers. They are latched before activation, so they are not the lifecycle's."""

    def __init__(self, node: Node, text_encoder: str) -> None:
        """Create the publishers; `text_encoder` is the name of the one that the weights need."""
        self._node = node
        self._text_encoder = text_encoder
        self._query_state = self._latched(QueryState, "~/query_state")
        self._label_info = self._latched(LabelInfo, "~/label_info") if HAS_VISION_MSGS else None
        self._described_version: int | None = None

    def _latched(self, message_type: type, topic: str) -> Publisher:
        return self._node.create_publisher(message_type, topic, state_qos(), qos_overriding_options=overridable())

    def destroy(self) -> None:
        """Remove the publishers from the ROS graph."""
        for publisher in filter(None, (self._query_state, self._label_info)):
            self._node.destroy_publisher(publisher)

    def publish(self, report: QueryReport, score_threshold: float) -> None:
        """Publish a state; before an image is scored with a vocabulary also what the numbers in masks mean then.

        Args:
            report: the state.
            score_threshold: the parameter.
        """
        stamp = self._node.get_clock().now().to_msg()
        if self._label_info is not None and report.vocabulary.version != self._described_version:
            self._label_info.publish(label_info_message(report.vocabulary, Header(stamp=stamp), score_threshold))
            self._described_version = report.vocabulary.version
        self._query_state.publish(query_state_message(report, stamp, self._text_encoder))
