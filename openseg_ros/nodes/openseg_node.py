"""Runs the node as a process: start, spin, end without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING

from openseg_ros.nodes.interrupt import let_rclpy_end

if TYPE_CHECKING:
    from rclpy.executors import SingleThreadedExecutor

    from openseg_ros.nodes.lifecycle_node import OpensegNode

ParameterValue = bool | int | float | str | list[str]


def main() -> int:
    """Run the node with the ROS arguments of the command line, for `ros2 run` and launch files."""
    return run_node(sys.argv)


def run_node(
    arguments: Sequence[str],
    *,
    parameters: Mapping[str, ParameterValue] = MappingProxyType({}),
    autostart: bool = False,
) -> int:
    """Run until Ctrl-C, SIGTERM or the end of the ROS context.

    Args:
        arguments: command line with ROS arguments; the first item is the program's name.
        parameters: win over those in `arguments` and in parameter files.
        autostart: configure and activate without being asked.

    Returns:
        The process's exit code: 0, or 2 if the ROS arguments or a parameter file cannot be read.
    """
    # With more threads OpenBLAS keeps cores that the engine needs for the next image (benchmark.vocabulary: 107 ms
    # instead of 82; its workers probably spin after each product). Read when numpy is imported, below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imports take a second, in which Ctrl-C must end the process as quietly as later.
    signal.signal(signal.SIGINT, _quit)
    print("openseg: loading libraries", file=sys.stderr, flush=True)
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter

    from openseg_ros.nodes.lifecycle_node import OpensegNode

    # From here on rclpy's own handlers end the context on SIGINT and SIGTERM, which ends the loop below.
    signal.signal(signal.SIGINT, let_rclpy_end)
    try:
        rclpy.init(args=list(arguments))
    except RuntimeError as error:  # rclpy's errors derive from it
        print(f"openseg cannot start, the ROS arguments or the parameter file are wrong: {error}", file=sys.stderr)
        return 2
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    try:
        node = OpensegNode(parameter_overrides=overrides)
    except RuntimeError:
        if rclpy.ok():
            raise
        return 0  # a signal came before the node was complete
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    if autostart:
        executor.create_task(_bring_up, node)
    try:
        _spin(executor, node)
    finally:
        executor.remove_node(node)
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _bring_up(node: OpensegNode) -> None:
    from rclpy.lifecycle import TransitionCallbackReturn

    if node.trigger_configure() is TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()


def _spin(executor: SingleThreadedExecutor, node: OpensegNode) -> None:
    from rclpy.executors import ExternalShutdownException

    while node.context.ok():
        try:
            executor.spin_once()
        except ExternalShutdownException:
            return
        except Exception as error:  # one bad message or request must not end the node
            if node.context.ok():
                node.callback_failed(error)


def _quit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
