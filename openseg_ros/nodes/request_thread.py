"""The thread in which requests are answered, so that neither the executor nor an image waits for them."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.task import Future

Answer = TypeVar("Answer")
CLEANED_UP = "the node is being cleaned up"


class RequestError(ValueError):
    """A request that cannot be answered; the message tells the client why, and what to do."""


def settle(node: Node, answer: Future, value: Any) -> None:
    """Give `answer` its value, from any thread, and let the coroutine that awaits it go on."""
    answer.set_result(value)
    if node.executor is not None:
        node.executor.wake()  # a coroutine that waits is looked at only when the executor wakes


class RequestThread:
    """Runs the work of requests one after the other; coroutines of the executor await it."""

    def __init__(self, node: Node) -> None:
        """Start; `node` is the one whose executor runs the coroutines."""
        self._node = node
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "openseg_requests")

    def stop(self) -> None:
        """Finish what is in work and refuse what waits."""
        self._pool.shutdown(cancel_futures=True)

    async def run(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """What `work(*arguments)` returns or raises.

        Raises:
            RequestError: the node is cleaned up before the work is done.
        """
        ended = Future()
        try:
            task = self._pool.submit(work, *arguments)
        except RuntimeError as error:  # stopped
            raise RequestError(CLEANED_UP) from error
        task.add_done_callback(lambda task: settle(self._node, ended, None))
        await ended
        if task.cancelled():
            raise RequestError(CLEANED_UP)
        return task.result()
