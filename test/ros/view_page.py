"""The page of `openseg view` as a process, and one of its readers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import aiohttp
from ros.ros_peer import ANSWER_TIMEOUT_S, START_TIMEOUT_S, NodeProcess, NodeStarter, wait_until

VIEW = "import typer; from openseg_ros.cli.view import view; typer.run(view)"
ADDRESS = re.compile(r"openseg view: (http://\S+)/ shows")


def start_view(start: NodeStarter, *options: str) -> tuple[NodeProcess, str]:
    """Start `openseg view` on a free port; the process and its address without the last slash."""
    process = start("--port", "0", *options, program=VIEW)
    found = wait_until(
        lambda: ADDRESS.search(process.output()) or not process.is_alive(), "the page's address", START_TIMEOUT_S
    )
    assert isinstance(found, re.Match), process.output()
    return process, found[1]


class Reader:
    """One open connection to /live; use it as an async context."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __aenter__(self) -> Reader:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(f"{self._address}/live")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._socket.close()
        await self._session.close()

    async def until(self, kind: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first update of `kind` that fulfils `condition`; a picture has its bytes under "jpeg"."""

        async def search() -> dict[str, Any]:
            while True:
                update = json.loads(await self._socket.receive_str())
                if update["kind"] == "overlay":
                    update["jpeg"] = await self._socket.receive_bytes()
                if update["kind"] == kind and condition(update):
                    return update

        return await asyncio.wait_for(search(), ANSWER_TIMEOUT_S)

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a request."""
        arguments = {} if body is None else {"json": body}
        async with self._session.request(method, f"{self._address}{path}", **arguments) as response:
            return response.status, await response.json()
