"""The newest value of each kind, for readers of different speed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from openseg_ros.view.robot import Update


class Feed:
    """Gives every reader the newest update of each kind. Who reads slowly skips; nothing queues up.

    Belongs to one event loop; `put` and `clear` are called in it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._newest: dict[type, tuple[int, Update]] = {}
        self._changed = asyncio.Event()

    def put(self, update: Update) -> None:
        """Replace the update of this kind."""
        self._count += 1
        self._newest[type(update)] = (self._count, update)
        self._changed.set()
        self._changed = asyncio.Event()  # readers that come from now on wait for the next one

    def clear(self) -> None:
        """Forget everything, so that nobody takes it for new."""
        self._newest.clear()

    async def updates(self) -> AsyncIterator[Update]:
        """What is there, in the order of its arrival, then what is new, without an end."""
        seen = 0
        while True:
            changed = self._changed  # taken before reading: what arrives meanwhile sets this very event
            for number, update in sorted(self._newest.values(), key=lambda entry: entry[0]):
                if number > seen:
                    seen = number
                    yield update
            await changed.wait()
