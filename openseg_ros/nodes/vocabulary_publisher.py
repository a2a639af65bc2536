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
from openseg_ros.text.vocabulary import Vocabulary

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
        self._described: tuple[int, float] | None = None  # vocabulary version and threshold

    def _latched(self, message_type: type, topic: str) -> Publisher:
        return self._node.create_publisher(message_type, topic, state_qos(), qos_overriding_options=overridable())

    def destroy(self) -> None:
        """Remove the publishers from the ROS graph."""
        for publisher in filter(None, (self._query_state, self._label_info)):
            self._node.destroy_publisher(publisher)

    def announce(self, report: QueryReport) -> None:
        """Publish a state of the query."""
        stamp = self._node.get_clock().now().to_msg()
        self._query_state.publish(query_state_message(report, stamp, self._text_encoder))

    def describe(self, vocabulary: Vocabulary, score_threshold: float) -> None:
        """Publish what the numbers in the masks mean from the next one on, unless that was the last thing said.

        To be called between the masks, and in their order: masks do not say which vocabulary they belong to.

        Args:
            vocabulary: that scored the next mask.
            score_threshold: the parameter.
        """
        described = vocabulary.version, score_threshold
        if self._label_info is None or described == self._described:
            return
        stamp = self._node.get_clock().now().to_msg()
        self._label_info.publish(label_info_message(vocabulary, Header(stamp=stamp), score_threshold))
        self._described = described
