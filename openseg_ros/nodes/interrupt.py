"""What Ctrl-C does to a process that runs rclpy."""

from __future__ import annotations

import signal
from types import FrameType

import rclpy
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation


def let_rclpy_end(number: int, frame: FrameType | None) -> None:
    """A handler for SIGINT, set before `rclpy.init`: rclpy ends its context, which ends the process's loop.

    Python's own handler would raise KeyboardInterrupt besides, anywhere, for example in the middle of a write. This one
    does nothing the first time; a second Ctrl-C ends the process at once, should something hang.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Interruption:
    """SIGINT and SIGTERM only noted, for a process that has something to finish and looks here from time to time.

    A second signal ends the process at once, should something hang. For the main thread, before `rclpy.init` without
    its signal handlers.
    """

    def __init__(self) -> None:
        """Take the two signals over."""
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.came = True


def spin(executor: Executor) -> None:
    """Run the callbacks of `executor` until its context ends, which is no error.

    rclpy 7.1 looks at the context and then makes a wait set of it. A signal between the two is an RCLError.
    """
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except rclpy_implementation.RCLError:
        if rclpy.ok(context=executor.context):
            raise
