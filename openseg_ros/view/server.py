"""The web server of `openseg view`: three files, a live connection, and three requests.

    GET    /       the page (with /view.css and /view.js)
    GET    /live   WebSocket; text: one JSON object per update, whose "kind" says what it is (robot.py); binary: the
                   overlay's JPEG, right after its object
    POST   /query  {"text": ...}: look for it
    DELETE /query  look for nothing
    POST   /find   {"text": ..., "top_k": ...}: the regions of the newest image that match

A request that fails answers {"error": why}. aiohttp serves files and WebSockets in one package without a second server,
is the tests' client too, and rosdep knows it (python3-aiohttp).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import signal
import socket
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Handler

from openseg_ros.view.feed import Feed
from openseg_ros.view.robot import (
    Overlay,
    RequestRefused,
    Robot,
    RobotUnreachable,
    ShownAnswer,
    ShownNode,
    ShownQueryState,
    Update,
)
from openseg_ros.view.same_site import add_headers, same_site_only

PAGE = Path(str(resources.files("openseg_ros.view"))) / "page"
FILES = {"/": "index.html", "/view.css": "view.css", "/view.js": "view.js"}
KINDS = {ShownAnswer: "answer", ShownQueryState: "query_state", ShownNode: "node"}
MAX_REQUEST_BYTES = 16 * 1024  # 200 characters a phrase; generous for a sentence
MAX_REGIONS_FOUND = 100  # a table for people
HEARTBEAT_S = 20.0  # a browser that has vanished is noticed, so that the node need not work for it
CLOSING_S = 2.0  # for open connections, when the server ends


class _Live:
    """The open pages. The robot is watched while there is one."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._feed = Feed()
        self._sockets: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One page, from its opening until it goes."""
        page = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=1024)
        await page.prepare(request)
        self._sockets.add(page)
        if len(self._sockets) == 1:
            loop = asyncio.get_running_loop()
            self._robot.start_watching(lambda update: _in_loop(loop, self._take, update))
        sender = asyncio.create_task(self._send(page))
        try:
            async for _ in page:  # the page sends nothing; this ends when it goes
                pass
        finally:
            sender.cancel()
            self._sockets.discard(page)
            if not self._sockets:
                self._robot.stop_watching()
                self._feed.clear()
        return page

    async def close(self, application: web.Application) -> None:
        """Tell every page that the server ends."""
        for page in list(self._sockets):
            await page.close(code=WSCloseCode.GOING_AWAY)

    def _take(self, update: Update) -> None:
        if self._sockets:
            self._feed.put(update)

    async def _send(self, page: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):  # the page went while we wrote; serve() learns of it too
            async for update in self._feed.updates():
                if isinstance(update, Overlay):
                    await page.send_json({"kind": "overlay", "stamp": update.stamp})
                    await page.send_bytes(update.jpeg)
                else:
                    await page.send_json({"kind": KINDS[type(update)], **dataclasses.asdict(update)})


def application(robot: Robot, names: frozenset[str]) -> web.Application:
    """The server's routes.

    Args:
        robot: whom the page shows.
        names: host names under which the page may be opened, see `same_site_only`.
    """
    app = web.Application(
        middlewares=[_errors_as_json, same_site_only(names)],
        client_max_size=MAX_REQUEST_BYTES,
    )
    live = _Live(robot)

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / FILES[request.path])

    async def ask(request: web.Request) -> web.Response:
        await robot.ask(_text(await _json_object(request)))
        return web.json_response({"sent": True})

    async def ask_nothing(request: web.Request) -> web.Response:
        await robot.ask_nothing()
        return web.json_response({"sent": True})

    async def find(request: web.Request) -> web.Response:
        wanted = await _json_object(request)
        answer = await robot.find(_text(wanted), _top_k(wanted))
        return web.json_response(dataclasses.asdict(answer))

    app.add_routes(
        [
            *(web.get(path, file) for path in FILES),
            web.get("/live", live.serve),
            web.post("/query", ask),
            web.delete("/query", ask_nothing),
            web.post("/find", find),
        ]
    )
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(live.close)
    return app


def serve(robot: Robot, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        robot: whom the page shows.
        host: name or address to listen on.
        port: 0 takes a free one.
        started: called with the page's address once it can be opened.

    Raises:
        OSError: the address cannot be used.
    """
    asyncio.run(_serve(robot, host, port, started))


async def _serve(robot: Robot, host: str, port: int, started: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    names = {"localhost", host.lower()}
    if not is_loopback(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    runner = web.AppRunner(application(robot, frozenset(names)), shutdown_timeout=CLOSING_S, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0][1]
        started(f"http://{f'[{host}]' if ':' in host else host}:{bound}/")
        await stop.wait()
    finally:
        await runner.cleanup()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`, a name or an address.

    Raises:
        OSError: nobody knows the name.
    """
    addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(str(address)).is_loopback for address in addresses)


def _in_loop(loop: asyncio.AbstractEventLoop, function: Callable[[Update], None], update: Update) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended; nobody watches any more
        loop.call_soon_threadsafe(function, update)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RobotUnreachable as error:
        return web.json_response({"error": str(error)}, status=503)
    except RequestRefused as error:
        return web.json_response({"error": str(error)}, status=409)
    except web.HTTPClientError as error:
        return web.json_response({"error": error.text or error.reason}, status=error.status)


async def _json_object(request: web.Request) -> dict[str, Any]:
    # A form of another site cannot have this type without asking first, which nobody here would answer.
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json")
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(text=f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text=f'send an object such as {{"text": "red mug"}}, not {body!r}')
    return body


def _text(body: dict[str, Any]) -> str:
    text = body.get("text")
    if not isinstance(text, str) or not text.strip():
        raise web.HTTPBadRequest(text=f'"text" must be words to look for, not {text!r}')
    return text.strip()


def _top_k(body: dict[str, Any]) -> int:
    top_k = body.get("top_k", 0)
    if not isinstance(top_k, int) or isinstance(top_k, bool) or not 0 <= top_k <= MAX_REGIONS_FOUND:
        raise web.HTTPBadRequest(text=f'"top_k" must be a number from 0 to {MAX_REGIONS_FOUND}, not {top_k!r}')
    return top_k
