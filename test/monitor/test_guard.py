# SPDX-License-Identifier: Apache-2.0
"""What the dashboard's server lets in, without the page."""

import asyncio
from typing import Any

import pytest

pytest.importorskip('starlette')

from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from shadowtutor_ros.monitor.guard import Guard, MAX_PAGES


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    if scope['type'] == 'websocket':
        await send({'type': 'websocket.accept'})
    else:
        await PlainTextResponse('the page')(scope, receive, send)


def ask(path: str, pages: int = 0, kind: str = 'http', **headers: str) -> Message:
    """Return the first message of the answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {'type': 'http.request'}

    scope: dict[str, Any] = {
        'type': kind, 'path': path, 'method': 'GET',
        'headers': [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(Guard(page, lambda: pages)(scope, receive, send))
    return sent[0]


def test_no_other_page_may_frame_this_one() -> None:
    headers = dict(ask('/')['headers'])
    assert headers[b'x-frame-options'] == b'DENY'
    assert b"frame-ancestors 'none'" in headers[b'content-security-policy']
    assert headers[b'x-content-type-options'] == b'nosniff'


def test_a_browser_too_many_is_told_so_and_those_that_look_go_on() -> None:
    assert ask('/', MAX_PAGES - 1)['status'] == 200
    assert ask('/', MAX_PAGES)['status'] == 503
    assert ask('/pictures/1/frame.jpg', MAX_PAGES)['status'] == 200


@pytest.mark.parametrize('origin', [
    'http://evil.example', 'null', 'http://[', 'http://127.0.0.1:8081', 'http://127.0.0.1:8080.evil.example'])
def test_pages_of_others_may_not_speak_to_this_one(origin: str) -> None:
    host = '127.0.0.1:8080'
    asked = ask('/_nicegui_ws/socket.io/', kind='websocket', host=host, origin=origin)
    assert asked['type'] == 'websocket.close'
    assert ask('/_nicegui_ws/socket.io/', host=host, origin=origin)['status'] == 403


@pytest.mark.parametrize('host', ['127.0.0.1:8080', 'localhost:8080', '[::1]:8080', 'server:80'])
def test_its_own_page_may(host: str) -> None:
    asked = ask('/_nicegui_ws/socket.io/', kind='websocket', host=host, origin=f'http://{host}')
    assert asked['type'] == 'websocket.accept'
    assert ask('/', kind='websocket', host=host)['type'] == 'websocket.accept'  # no browser
