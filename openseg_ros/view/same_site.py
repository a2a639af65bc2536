"""Keeps other web pages from commanding the robot through the browser of somebody who has the page open.

A page of another site can make the browser send requests to 127.0.0.1. It cannot hide where they come from: the browser
adds `Origin` to every POST, DELETE and WebSocket. With a host name of its own that suddenly resolves to 127.0.0.1 (DNS
rebinding) such a page would be of "our" origin, but then `Host` carries that name. So `Host` must be a name that we
know, and `Origin` must be that host. What is not a browser (curl, a script on this machine) sends no `Origin`.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HEADERS = {
    # Only our own files; the picture is a blob, the icon a data URL. Nobody may frame the page and guide clicks.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # after an update of the package the page is the new one
}


def same_site_only(names: frozenset[str]) -> Middleware:
    """Refuse what comes from other web pages with 403.

    Args:
        names: host names under which the page may be opened, lower case. An address (127.0.0.1) is always allowed,
            because no foreign page can have it as the name of its own site.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = urlsplit(f"//{request.headers.get('Host', '')}")
        if not _is_ours(host.hostname, names):
            raise web.HTTPForbidden(text=f"this page is not served under the name {host.hostname!r}")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.netloc.lower():
            raise web.HTTPForbidden(text=f"requests from the page {origin} are not allowed")
        return await handler(request)

    return check


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser what the page may load and who may embed it."""
    response.headers.update(HEADERS)


def _is_ours(hostname: str | None, names: frozenset[str]) -> bool:
    if not hostname:
        return False
    if hostname.lower() in names:
        return True
    try:
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True
