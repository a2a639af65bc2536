"""Runs the node as a process: start, spin, end without a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType, MappingProxyType

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

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
    """Run until Ctrl-C, SIGTERM or the end of the ROS context; the process's exit code, 0 for these.

    Args:
        arguments: command line with ROS arguments; the first item is the program's name.
        parameters: win over those in `arguments` and in parameter files.
        autostart: configure and activate without being asked.
    """
    # rclpy's own handlers end the context on SIGINT and SIGTERM, which ends the loop below. Python's handler would
    # raise KeyboardInterrupt besides, anywhere, for example within the import of a library while configuring.
    signal.signal(signal.SIGINT, _let_rclpy_end)
    rclpy.init(args=list(arguments))
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = OpensegNode(parameter_overrides=overrides)
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
    if node.trigger_configure() is TransitionCallbackReturn.SUCCESS:
        node.trigger_activate()


def _let_rclpy_end(number: int, frame: FrameType | None) -> None:
    """Do nothing this time; a second Ctrl-C ends the process at once, should an engine hang."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _spin(executor: SingleThreadedExecutor, node: OpensegNode) -> None:
    while rclpy.ok():
        try:
            executor.spin_once()
        except ExternalShutdownException:
            return
        except Exception as error:  # one bad message or request must not end the node
            if rclpy.ok():
                node.callback_failed(error)


if __name__ == "__main__":
    sys.exit(main())
