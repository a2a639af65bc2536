"""Keeps what the demo and the benchmarks start apart from other ROS systems."""

from __future__ import annotations

import os

from openseg_ros.cli.run import use_large_shared_memory

DOMAINS = 19  # from 1 on; the tests take 20 to 99


def isolate() -> None:
    """Keep to this machine and to a ROS domain of our own, with room for images in shared memory."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % DOMAINS)
    use_large_shared_memory()
