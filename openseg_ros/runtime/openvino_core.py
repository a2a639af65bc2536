"""The one OpenVINO core of a process."""

from __future__ import annotations

from functools import cache
from typing import Any


def openvino_core() -> Any:
    """The core that the engine and the text encoder share, kept for the life of the process.

    OpenVINO 2026.4's CPU plugin gives the thread that loads it an alternate stack for signals, and unmaps that when its
    core goes. After two cores that went in the order in which they came, the thread is left with the first one's stack,
    and the next signal, say Ctrl+C, is a segmentation fault.

    Raises:
        ImportError: openvino is not installed.
    """
    import openvino  # in every call: what is no longer there must not be found

    return _core(openvino)


@cache
def _core(openvino: Any) -> Any:
    return openvino.Core()
