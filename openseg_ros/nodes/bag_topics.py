"""What bags and rclpy call message classes and quality of service."""

from __future__ import annotations

import importlib
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from openseg_ros.bags.bag_error import BagError

DEPTH = 100  # messages that may wait while the disk or the network is busy


def message_class(name: str) -> type:
    """The class of a message type such as "sensor_msgs/msg/Image".

    Raises:
        BagError: its package is not installed, or has no such message.
    """
    package, _, message = name.partition("/msg/")
    try:
        found: type = getattr(importlib.import_module(f"{package}.msg"), message)
    except (ImportError, AttributeError) as error:
        raise BagError(f"the message type {name} is not installed here ({error})") from error
    return found


def listening_qos(offered: list[TopicEndpointInfo]) -> QoSProfile:
    """What hears all publishers of a topic: reliable and latched only if all of them are."""
    profiles = [publisher.qos_profile for publisher in offered]
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=_common(profiles, "reliability", ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT),
        durability=_common(profiles, "durability", DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.VOLATILE),
    )


def recorded_qos(offered: list[TopicEndpointInfo]) -> list[Qos]:
    """What the publishers offer, as a bag says it."""
    return [_to_bag(publisher.qos_profile) for publisher in offered]


def replayed_qos(recorded: list[Qos]) -> QoSProfile:
    """What a player offers: what was recorded, but reliable where any publisher was, as more subscribers take that."""
    latched = any(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in recorded)
    best_effort = bool(recorded) and all(qos.reliability == QosReliability.BEST_EFFORT for qos in recorded)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=max([qos.depth for qos in recorded if latched], default=DEPTH) or DEPTH,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _common(profiles: list[QoSProfile], policy: str, strong: Any, weak: Any) -> Any:
    return strong if profiles and all(getattr(profile, policy) == strong for profile in profiles) else weak


def _to_bag(profile: QoSProfile) -> Qos:
    return Qos(
        history=_named(QosHistory, profile.history, HistoryPolicy),
        depth=profile.depth,
        reliability=_named(QosReliability, profile.reliability, ReliabilityPolicy),
        durability=_named(QosDurability, profile.durability, DurabilityPolicy),
        deadline=_time(profile.deadline),
        lifespan=_time(profile.lifespan),
        liveliness=_named(QosLiveliness, profile.liveliness, LivelinessPolicy),
        liveliness_lease_duration=_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions,
    )


def _named(kind: Any, value: Any, policies: Any) -> Any:
    return kind[policies(value).name]  # both spell ROS's own names


def _time(duration: Duration) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, 10**9))
