"""What Ctrl-C does to a process that runs rclpy."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def until_shutdown(context: rclpy.Context) -> Iterator[None]:
    """For spinning in `context`: its end ends the block, and is no error.

    rclpy 7.1 looks at the context and then makes a wait set of it. A signal between the two is an RCLError.
    """
    try:
        yield
    except ExternalShutdownException:
        pass
    except rclpy_implementation.RCLError:
        if rclpy.ok(context=context):
            raise


def spin(executor: Executor) -> None:
    """Run the callbacks of `executor` until its context ends."""
    with until_shutdown(executor.context):
        executor.spin()
