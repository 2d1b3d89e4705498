# SPDX-License-Identifier: Apache-2.0
"""The dashboard's page and the server that gives it to browsers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import socket
import threading
import time
from typing import Generic, TypeVar

from fastapi import FastAPI, Response
from nicegui import app, Client, run, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware
import uvicorn

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.monitor.cards import Shown, StudentCard, TutorLine
from shadowtutor_ros.monitor.fleet import Fleet, Key, StudentView, TutorView
from shadowtutor_ros.monitor.guard import Guard
from shadowtutor_ros.monitor.pictures import Gallery
from shadowtutor_ros.monitor.style import CSS

K = TypeVar('K')
View = TypeVar('View')
Card = TypeVar('Card', StudentCard, TutorLine)

_PERIOD = 1.0  # seconds between updates
_HISTORY = 30  # messages kept for a browser that comes back
_GRACE = 2  # seconds that browsers get to leave
_LOOPBACK = ('127.0.0.1', 'localhost')


class CannotListen(ShadowTutorError):
    """The address is no address of this machine, or somebody else's."""


class DashboardServer:
    """
    Serves the page of ``fleet`` from a thread of its own; one in a process.

    ``on_watched`` is told from that thread whether a browser is connected, whenever that may have
    changed. ``port`` 0 takes any that is free. Raise CannotListen.
    """

    def __init__(
        self, fleet: Fleet, host: str, port: int, on_watched: Callable[[bool], None],
    ) -> None:
        try:
            family = socket.AF_INET6 if ':' in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise CannotListen(f'cannot listen on host {host!r}, port {port}: {error}') from error
        self.port = int(self._socket.getsockname()[1])

        def recount() -> None:
            on_watched(any(client.has_socket_connection for client in Client.instances.values()))

        app.on_connect(recount)
        app.on_disconnect(recount)
        gallery = Gallery()
        server = FastAPI(openapi_url=None)
        if host in _LOOPBACK:  # so that no foreign page can pass itself off as this one
            server.add_middleware(TrustedHostMiddleware, allowed_hosts=list(_LOOPBACK))
        server.add_middleware(Guard, pages=lambda: len(Client.instances))

        @server.get('/pictures/{serial}/{kind}.jpg')
        def picture(serial: int, kind: str) -> Response:
            jpeg = gallery.jpeg(serial, kind)
            return (Response(status_code=404) if jpeg is None else Response(
                jpeg, media_type='image/jpeg', headers={'Cache-Control': 'no-store'}))

        async def root() -> None:
            ui.add_css(CSS)
            page = _Page(fleet, gallery)
            ui.timer(_PERIOD, page.refresh)

        ui.run_with(server, root=root, title='ShadowTutor', favicon='🎓', dark=None,
                    tailwind=False, show_welcome_message=False, message_history_length=_HISTORY)
        self._server = uvicorn.Server(uvicorn.Config(
            server, log_level='warning', timeout_graceful_shutdown=_GRACE))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={'sockets': [self._socket]}, name='page')
        self._thread.start()

    def stop(self) -> None:
        """Let browsers go and end; do nothing again."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


class _Page:
    """What one browser sees."""

    def __init__(self, fleet: Fleet, gallery: Gallery) -> None:
        self._fleet = fleet
        self._gallery = gallery
        with ui.element('div').classes('head'):
            ui.label('ShadowTutor').classes('title')
            self._summary = ui.label().classes('soft')
        self._tutors: _Cards[str, TutorView, TutorLine] = _Cards('tutors', TutorLine)
        self._students: _Cards[Key, StudentView, StudentCard] = _Cards('students', StudentCard)
        self._nobody = ui.label('No student and no tutor publishes a status yet.')
        self._nobody.classes('nobody')

    async def refresh(self) -> None:
        """Show the fleet as it is now."""
        view = self._fleet.view(time.monotonic())
        shown = {student.key: await self._pictures(student) for student in view.students}
        if self._nobody.is_deleted:  # the browser has left meanwhile
            return
        self._nobody.visible = view.empty
        self._summary.text = (f'{_count(len(view.students), "student")}, '
                              f'{_count(len(view.tutors), "tutor")}')
        students = self._students.of({student.key: student for student in view.students})
        for student in view.students:
            students[student.key].show(student, shown[student.key])
        tutors = self._tutors.of({tutor.node: tutor for tutor in view.tutors})
        for tutor in view.tutors:
            tutors[tutor.node].show(tutor)

    async def _pictures(self, student: StudentView) -> Shown:
        pictures, problem, live = None, '', None
        if student.last is not None:  # what comes is None when the server ends
            pictures, problem = await run.io_bound(
                self._gallery.show, student.last) or (None, '')
        if student.preview is not None:
            live = await run.io_bound(self._gallery.live, student.node, student.preview)
        return Shown(pictures, problem, live)


class _Cards(Generic[K, View, Card]):
    """A block with a card for everybody who is there, in their order."""

    def __init__(self, classes: str, make: Callable[[View], Card]) -> None:
        self._block = ui.element('div').classes(classes)
        self._make: Callable[[View], Card] = make
        self._cards: dict[K, Card] = {}

    def of(self, views: Mapping[K, View]) -> Mapping[K, Card]:
        """Return the cards of ``views``; those of anybody else go."""
        for key in self._cards.keys() - views.keys():
            self._cards.pop(key).root.delete()
        for index, (key, view) in enumerate(views.items()):
            if key not in self._cards:
                with self._block:
                    self._cards[key] = self._make(view)
                self._cards[key].root.move(target_index=index)
        return self._cards


def _count(number: int, what: str) -> str:
    return f'{number} {what}' + ('' if number == 1 else 's')
