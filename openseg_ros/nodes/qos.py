"""Quality of service of every topic; the user can override it.

Overrides are the standard parameters `qos_overrides.<topic>.<publisher|subscription>.<history|depth|reliability>`.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions


def _profile(
    depth: int,
    *,
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)


def camera_qos() -> QoSProfile:
    """Images in: best effort matches reliable and best-effort cameras; only the newest image is of use."""
    return _profile(1, reliability=ReliabilityPolicy.BEST_EFFORT)


def query_qos() -> QoSProfile:
    """Queries in: volatile on purpose, because a transient-local reader refuses ordinary publishers."""
    return _profile(5)


def result_qos() -> QoSProfile:
    """Masks and regions out: reliable, because a planner waits for the answer to one image."""
    return _profile(2)


def detections_qos() -> QoSProfile:
    """Boxes out: small, so a slow subscriber may fall some images behind."""
    return _profile(5)


def overlay_qos() -> QoSProfile:
    """Pictures for people: a lost one costs nothing."""
    return _profile(1, reliability=ReliabilityPolicy.BEST_EFFORT)


def points_qos() -> QoSProfile:
    """Clouds out: large, and only the newest is of use."""
    return _profile(1, reliability=ReliabilityPolicy.BEST_EFFORT)


def state_qos() -> QoSProfile:
    """Latched, what is looked for and how it is called: whoever comes later gets the last one."""
    return _profile(1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def overridable() -> QoSOverridingOptions:
    """History, depth and reliability may be overridden by parameters."""
    return QoSOverridingOptions.with_default_policies()
