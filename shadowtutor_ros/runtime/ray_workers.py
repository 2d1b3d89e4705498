# SPDX-License-Identifier: Apache-2.0
"""Workers of a pool as actors of a Ray cluster; nothing else imports ray, and this at need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
import importlib
import os
from pathlib import Path
import signal
import socket
from threading import current_thread, main_thread, Thread
from typing import Any

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.runtime.recipe import TutorRecipe
from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.runtime.worker import WorkerLost, WorkingTutor
from shadowtutor_ros.snapshot import Snapshot
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

AUTO, LOCAL = 'auto', 'local'
_KNOCK = 5.0  # seconds for a cluster to be heard of
_LAST_WORDS = 30.0  # seconds for a cluster to end
_STARTS = 3  # of a cluster of our own: Ray waits for half a minute, which a busy machine exceeds
# Ray ends a process that has not heard its cluster's head for a minute: ours shall go on.
_PATIENT = {'RAY_gcs_rpc_server_reconnect_timeout_s': '1000000000'}
# Ray reports what it is used for to its makers, unless somebody wants that.
_QUIET = {'RAY_USAGE_STATS_ENABLED': '0'}
# What keeps Ray on the loopback address, whatever the name says; else it listens on all.
_LOOPBACK = {'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER': '0'}


class RayUnusable(ShadowTutorError):
    """Ray is not installed, or its cluster cannot be reached."""


class TutorActor:
    """A tutor in a process of its own; what it raises is returned, as ray would wrap it."""

    def __init__(self, recipe: TutorRecipe, keeps: bool) -> None:
        self._working = WorkingTutor(recipe, keeps)
        self._where = f'{socket.gethostname()}, process {os.getpid()}'

    async def submit(
        self, key_frame: KeyFrame, brought: Snapshot | None,
    ) -> StudentUpdate | Exception:
        try:
            return await asyncio.wrap_future(self._working.submit(key_frame, brought))
        except Exception as error:
            return error

    async def first_student(
        self, stream_id: str, robot: int, brought: Snapshot | None,
    ) -> StudentUpdate | Exception:
        try:
            return await asyncio.to_thread(
                self._working.first_student, stream_id, robot, brought)
        except Exception as error:
            return error

    async def learnt(self, most: int) -> Mapping[str, Snapshot]:
        return self._working.learnt(most)

    async def report(self) -> tuple[str, TutorReport]:
        return self._where, self._working.tutor.report()

    async def change(self, distill: DistillSettings) -> None:
        self._working.tutor.change(distill)


class RayWorkers:
    """
    Spawns workers on the cluster at ``address``: ``HOST:PORT``; ``auto``, the one that this
    machine belongs to; ``local``, one of this machine alone that ends with this object.

    Each has a GPU of its own if the recipe's device is one, or ``auto`` and the cluster has some;
    else one CPU. Ray starts none of them again: the pool does. ``keeps``: they remember what
    their streams learn until it is fetched.
    """

    def __init__(self, address: str, recipe: TutorRecipe, keeps: bool = False) -> None:
        """Raise RayUnusable."""
        self._ray = ray = _ray(address)
        gpus = self._connect(address, _STARTS if address == LOCAL else 1)
        self._recipe, self._keeps = ray.put(recipe), keeps
        on_gpu = recipe.device.startswith('cuda') or (recipe.device == AUTO and gpus > 0)
        self._actor = ray.remote(TutorActor).options(
            num_gpus=int(on_gpu), num_cpus=int(not on_gpu), max_restarts=0, max_task_retries=0)
        # Whoever gets an answer may ask Ray something, which Ray's own thread must not wait for.
        self._answers = ThreadPoolExecutor(1, 'ray answers')

    def _connect(self, address: str, tries: int) -> float:
        """Return how many GPUs the cluster has."""
        for left in reversed(range(tries)):
            try:
                _knock(address)
                with _own_signals():
                    self._ray.init(address, log_to_driver=False, configure_logging=False,
                                   include_dashboard=False if address == LOCAL else None)
                return float(self._ray.cluster_resources().get('GPU', 0))
            except Exception as error:
                self._ray.shutdown()
                if not left:
                    raise RayUnusable(f'ray_address {address}: no cluster can be reached: '
                                      f'{_in_short(error)}') from error
        raise AssertionError('expected at least one try')

    def spawn(self, name: str) -> RayWorker:
        """Return a worker, which starts when the cluster has room for it."""
        actor = self._actor.remote(self._recipe, self._keeps)
        return RayWorker(name, self._ray, actor, self._answers)

    def close(self) -> None:
        """Leave the cluster; all workers end. One that has lost its head is not waited for."""
        _beside(self._ray.shutdown).join(_LAST_WORDS)
        self._answers.shutdown(wait=False)


class RayWorker:
    """A Worker behind the handle of a TutorActor; the thread ``answers`` passes them on."""

    def __init__(self, name: str, ray: Any, actor: Any, answers: ThreadPoolExecutor) -> None:
        self.name = name
        self._ray = ray
        self._actor = actor
        self._answers = answers

    def submit(
        self, key_frame: KeyFrame, brought: Snapshot | None = None,
    ) -> Future[StudentUpdate]:
        return self._answer(self._actor.submit.remote(key_frame, brought))

    def first_student(
        self, stream_id: str, robot: int, brought: Snapshot | None = None,
    ) -> Future[StudentUpdate]:
        return self._answer(self._actor.first_student.remote(stream_id, robot, brought))

    def learnt(self, most: int) -> Future[Mapping[str, Snapshot]]:
        return self._answer(self._actor.learnt.remote(most))

    def report(self) -> Future[tuple[str, TutorReport]]:
        return self._answer(self._actor.report.remote())

    def change(self, distill: DistillSettings) -> None:
        self._actor.change.remote(distill)

    def close(self) -> None:
        _beside(partial(self._ray.kill, self._actor))

    def _answer(self, reference: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        reference.future().add_done_callback(
            lambda future: self._answers.submit(self._pass_on, answer, future))
        return answer

    def _pass_on(self, answer: Future[Any], future: Future[Any]) -> None:
        error = future.exception()
        if error is not None:
            answer.set_exception(WorkerLost(f'{self.name}: {_in_short(error)}'))
        elif isinstance(result := future.result(), Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)


def _in_short(error: BaseException) -> str:
    """
    Return the line of an error that says why, its name if it says nothing.

    Of a worker that could not start Ray gives a traceback, whose last line that is.
    """
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1 if 'creation task' in lines[0] else 0]


def _knock(address: str) -> None:
    """Raise OSError at once where nobody listens at ``HOST:PORT``: Ray would try for minutes."""
    host, colon, port = address.rpartition(':')
    if colon:
        socket.create_connection((host, int(port)), _KNOCK).close()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what this process does at SIGTERM: Ray would have it exit without a clean end."""
    mine = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if current_thread() is main_thread():  # no other one can change it
            signal.signal(signal.SIGTERM, mine)


def _beside(call: Callable[[], object]) -> Thread:
    """Begin a call to a cluster that may be gone: it would raise, or wait for ever."""
    def begin() -> None:
        with suppress(Exception):
            call()

    thread = Thread(target=begin, name='ray call', daemon=True)
    thread.start()
    return thread


def _token_of_this_user() -> Mapping[str, str]:
    """Have Ray show the cluster's token if there is one: unlike a start it would not."""
    places = (os.environ.get('RAY_AUTH_TOKEN_PATH'), Path.home() / '.ray' / 'auth_token')
    at_hand = 'RAY_AUTH_TOKEN' in os.environ or any(
        place is not None and Path(place).is_file() for place in places)
    return {'RAY_AUTH_MODE': 'token'} if at_hand else {}


def _ray(address: str) -> Any:
    chosen = {**_PATIENT, **_QUIET, **(_LOOPBACK if address == LOCAL else _token_of_this_user())}
    for name, value in chosen.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module('ray')
    except ImportError as error:
        raise RayUnusable('workers: ray needs the package ray: pip install '
                          "'shadowtutor_ros[scale]', or pip install ray") from error
