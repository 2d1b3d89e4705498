# SPDX-License-Identifier: Apache-2.0
"""Who may open the dashboard's page, and what a browser may do with it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_PAGES = 24  # open at a time; each is painted anew once a second

_HEADERS = {
    # The page is all of its own: scripts in it are NiceGUI's, and nothing comes from elsewhere.
    'Content-Security-Policy': "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'",
    'X-Frame-Options': 'DENY', 'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer'}


class Guard:
    """
    ASGI middleware: refuses pages of others that speak to this one, and more than MAX_PAGES.

    A browser says in ``Origin`` whose page opens a connection: it has to be the host that is
    asked. ``pages`` counts those that are open. No other page may show this one in a frame.
    """

    def __init__(self, app: ASGIApp, pages: Callable[[], int]) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] not in ('http', 'websocket'):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get('origin')
        if origin is not None and _host_of(origin) != headers.get('host'):
            await self._refuse(scope, receive, send, 403, f'not for pages of {origin[:100]!r}')
        elif scope['path'] == '/' and self._pages() >= MAX_PAGES:
            await self._refuse(scope, receive, send, 503,
                               f'{MAX_PAGES} browsers look at this page already')
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, status: int, why: str,
    ) -> None:
        if scope['type'] == 'websocket':
            await send({'type': 'websocket.close', 'code': 1008, 'reason': why})
        else:
            await PlainTextResponse(f'{why}\n', status)(scope, receive, _with_headers(send))


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message['type'] == 'http.response.start':
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)
    return send_with_headers
