"""What Ctrl-C does to a process that runs rclpy."""

from __future__ import annotations

import signal
from types import FrameType


def let_rclpy_end(number: int, frame: FrameType | None) -> None:
    """A handler for SIGINT, set before `rclpy.init`: rclpy ends its context, which ends the process's loop.

    Python's own handler would raise KeyboardInterrupt besides, anywhere, for example in the middle of a write. This one
    does nothing the first time; a second Ctrl-C ends the process at once, should something hang.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
