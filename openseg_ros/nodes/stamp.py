"""The time in a message's header as one number."""

from __future__ import annotations

from builtin_interfaces.msg import Time


def nanoseconds(stamp: Time) -> int:
    """`stamp` in nanoseconds; 0 stands for none."""
    return int(stamp.sec * 10**9 + stamp.nanosec)
