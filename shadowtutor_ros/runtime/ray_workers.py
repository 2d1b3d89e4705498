# SPDX-License-Identifier: Apache-2.0
"""Workers of a pool as actors of a Ray cluster; nothing else imports ray, and this at need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
import importlib
import os
import socket
from threading import Thread
from typing import Any

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.runtime.recipe import TutorRecipe
from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.runtime.worker import WorkerLost
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

    def __init__(self, recipe: TutorRecipe) -> None:
        self._tutor = recipe.make()
        self._where = f'{socket.gethostname()}, process {os.getpid()}'

    async def submit(self, key_frame: KeyFrame) -> StudentUpdate | Exception:
        try:
            return await asyncio.wrap_future(self._tutor.submit(key_frame))
        except Exception as error:
            return error

    async def first_student(self, stream_id: str, robot: int) -> StudentUpdate | Exception:
        try:
            return await asyncio.to_thread(self._tutor.first_student, stream_id, robot)
        except Exception as error:
            return error

    async def report(self) -> tuple[str, TutorReport]:
        return self._where, self._tutor.report()

    async def change(self, distill: DistillSettings) -> None:
        self._tutor.change(distill)


class RayWorkers:
    """
    Spawns workers on the cluster at ``address``: ``HOST:PORT``; ``auto``, the one that this
    machine belongs to; ``local``, one of this machine alone that ends with this object.

    Each has a GPU of its own if the recipe's device is one, or ``auto`` and the cluster has some;
    else one CPU. Ray starts none of them again: the pool does.
    """

    def __init__(self, address: str, recipe: TutorRecipe) -> None:
        """Raise RayUnusable."""
        self._ray = ray = _ray(address)
        gpus = self._connect(address, _STARTS if address == LOCAL else 1)
        self._recipe = ray.put(recipe)
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
                self._ray.init(address, log_to_driver=False, configure_logging=False,
                               include_dashboard=False if address == LOCAL else None)
                return float(self._ray.cluster_resources().get('GPU', 0))
            except Exception as error:
                self._ray.shutdown()
                if not left:
                    raise RayUnusable(f'ray_address {address}: no cluster can be reached: '
                                      f'{str(error).splitlines()[0]}') from error
        raise AssertionError('expected at least one try')

    def spawn(self, name: str) -> RayWorker:
        """Return a worker, which starts when the cluster has room for it."""
        return RayWorker(name, self._ray, self._actor.remote(self._recipe), self._answers)

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

    def submit(self, key_frame: KeyFrame) -> Future[StudentUpdate]:
        return self._answer(self._actor.submit.remote(key_frame))

    def first_student(self, stream_id: str, robot: int) -> Future[StudentUpdate]:
        return self._answer(self._actor.first_student.remote(stream_id, robot))

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
            answer.set_exception(WorkerLost(f'{self.name}: {str(error).splitlines()[0]}'))
        elif isinstance(result := future.result(), Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)


def _knock(address: str) -> None:
    """Raise OSError at once where nobody listens at ``HOST:PORT``: Ray would try for minutes."""
    host, colon, port = address.rpartition(':')
    if colon:
        socket.create_connection((host, int(port)), _KNOCK).close()


def _beside(call: Callable[[], object]) -> Thread:
    """Begin a call to a cluster that may be gone: it would raise, or wait for ever."""
    def begin() -> None:
        with suppress(Exception):
            call()

    thread = Thread(target=begin, name='ray call', daemon=True)
    thread.start()
    return thread


def _ray(address: str) -> Any:
    chosen = {**_PATIENT, **_QUIET, **(_LOOPBACK if address == LOCAL else {})}
    for name, value in chosen.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module('ray')
    except ImportError as error:
        raise RayUnusable('workers: ray needs the package ray: pip install '
                          "'shadowtutor_ros[scale]', or pip install ray") from error
