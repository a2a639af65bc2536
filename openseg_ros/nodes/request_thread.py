"""The thread in which requests are answered, so that neither the executor nor an image waits for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, cast

from rclpy.node import Node
from rclpy.task import Future

from openseg_ros.nodes.query_worker import CLEANED_UP

Answer = TypeVar("Answer")
MAX_WAITING = 32  # requests; more than the thread can follow are refused with a reason
STOP_TIMEOUT_S = 10.0  # longer than the slowest run of a network on a CPU; then the thread is left behind


class RequestError(ValueError):
    """A request that cannot be answered; the message tells the client why, and what to do."""


def settle(node: Node, answer: Future, value: Any) -> None:
    """Give `answer` its value, from any thread, and let the coroutine that awaits it go on."""
    answer.set_result(value)
    if node.executor is not None:
        node.executor.wake()  # a coroutine that waits is looked at only when the executor wakes


class _Work(NamedTuple):
    call: Callable[[], Any]
    ended: Future  # gets (what it returned, what it raised)


class RequestThread:
    """Runs the work of requests one after the other; coroutines of the executor await it."""

    def __init__(self, node: Node) -> None:
        """Start; `node` is the one whose executor runs the coroutines."""
        self._node = node
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._is_stopped = False
        # Daemon: a network that hangs must not keep the process alive after Ctrl-C.
        self._thread = threading.Thread(target=self._run, name="openseg_requests", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Finish what is in work and refuse what waits; False if the work did not end in time."""
        self._is_stopped = True
        self._waiting.put(None)
        self._thread.join(STOP_TIMEOUT_S)
        return not self._thread.is_alive()

    async def run(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """What `work(*arguments)` returns or raises.

        Raises:
            RequestError: too many wait already, or the node is cleaned up before the work is begun.
        """
        if self._is_stopped:
            raise RequestError(CLEANED_UP)
        if self._waiting.qsize() >= MAX_WAITING:
            raise RequestError(f"too many requests at once: {MAX_WAITING} wait already")
        ended = Future()
        self._waiting.put(_Work(lambda: work(*arguments), ended))
        answer, error = await ended
        if error is not None:
            raise error
        return cast(Answer, answer)

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None:
            outcome: tuple[Any, Exception | None]
            if self._is_stopped:
                outcome = None, RequestError(CLEANED_UP)
            else:
                try:
                    outcome = work.call(), None
                except Exception as error:
                    outcome = None, error
            settle(self._node, work.ended, outcome)


class OpenAnswers:
    """Counts the coroutines that still owe a client its answer; used by the executor's thread only.

    What they answer through must live until then, else the client waits for ever.
    """

    def __init__(self, node: Node) -> None:
        """`node` is the one whose executor runs the coroutines."""
        self._node = node
        self._count = 0
        self._afterwards: Callable[[], None] | None = None

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """An answer is owed until this ends, and sent right after it."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if not self._count and self._afterwards is not None and self._node.executor is not None:
                self._node.executor.create_task(self._afterwards)

    def when_all_are_sent(self, function: Callable[[], None]) -> None:
        """Call `function` when no answer is owed: now, or in the executor's thread."""
        if self._count and self._node.executor is not None:
            self._afterwards = function
        else:
            function()
