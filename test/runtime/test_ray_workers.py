# SPDX-License-Identifier: Apache-2.0
"""A pool on a real Ray cluster of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
import os
from pathlib import Path
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from robots import wait_until
from runtime.key_frames import DISTILL, key_frame
from runtime.loops import assert_same_weights, weights_of
from runtime.test_hand_up import Robot
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.pool import Pool, PoolSettings
from shadowtutor_ros.runtime.ray_workers import LOCAL, RayUnusable, RayWorker, RayWorkers
from shadowtutor_ros.runtime.recipe import TeacherRecipe, TutorRecipe
from shadowtutor_ros.runtime.tutor import TutorSettings
from shadowtutor_ros.runtime.worker import WorkerLost
from shadowtutor_ros.teacher.protocol import TeacherError
from shadowtutor_ros.wire.delta import DELTA
from shadowtutor_ros.wire.encoder import WeightSettings

START = 90.0  # seconds that a worker may take on a busy machine


@pytest.fixture
def recipe(scene: Scene, classes: ClassSet, info: StudentInfo) -> TutorRecipe:
    return TutorRecipe.of(
        TeacherRecipe('labels', classes, str(scene.label_maps), fps=scene.fps),
        Student.random(info, 0),
        TutorSettings(DISTILL, WeightSettings(DELTA), max_streams=2, lessons_at_once=1),
        'cpu', 1)


def _processes_of(parent: int) -> set[int]:
    listed = subprocess.run(['ps', '-e', '-o', 'pid=,ppid=,stat='], check=True,
                            capture_output=True, text=True).stdout
    lines = [line.split() for line in listed.splitlines()]
    children = [(int(pid), int(of)) for pid, of, state in lines if not state.startswith('Z')]
    found, new = set(), {parent}
    while new:
        new = {pid for pid, of in children if of in new} - found
        found |= new
    return found


@pytest.fixture
def pool(recipe: TutorRecipe) -> Iterator[Pool]:
    """Two workers on a cluster of their own; nothing of it may be left."""
    pytest.importorskip('ray')
    before = _processes_of(os.getpid())
    pool = Pool(RayWorkers(LOCAL, recipe), recipe.info, recipe.teacher.name,
                PoolSettings(2, 2, 30.0, START))
    rays = _processes_of(os.getpid()) - before
    wait_until(lambda: all(worker.ready for worker in pool.report().workers), START)
    yield pool
    pool.close()
    wait_until(lambda: not rays & _processes_of(os.getpid()), START)


def _process_of(pool: Pool) -> int:
    seat = pool._seat_of('a')
    assert seat is not None
    return int(seat.where.rpartition(' ')[2])


def test_a_stream_is_taught_bit_for_bit_as_here_and_a_killed_worker_costs_no_key_frame(
    pool: Pool, recipe: TutorRecipe, scene: Scene,
) -> None:
    with pytest.raises(TeacherError, match='label map'):  # an error comes back as itself
        pool.submit(replace(key_frame(scene, stream_id='b'), stamp=10**12)).result(START)

    there, here = Robot(pool, scene), Robot(recipe.make(), scene)
    for robot in there, here:
        robot.run(3)
    assert_same_weights(weights_of(there.loop.student), weights_of(here.loop.student))

    session_id, sent = there.loop.session_id, len(there.link.sent)
    killed = _process_of(pool)
    os.kill(killed, signal.SIGKILL)
    there.run(2)
    assert _process_of(pool) != killed
    assert (there.loop.counters.failures, there.loop.session_id) == (0, session_id)
    assert [update.weights.encoding for update in there.link.updates[-2:]] == [DELTA] * 2
    assert [bool(key_frame.student) for key_frame in there.link.sent[sent:]] == [
        False, True, False]
    wait_until(lambda: [worker.ready for worker in pool.report().workers] == [True] * 2, START)


STRANGE = ("The actor died because of an error raised in its creation task, ray::A\n ^^^^\n"
           "ModuleNotFoundError: No module named 'shadowtutor_ros'\n\n")


@pytest.mark.parametrize(('error', 'words'), [
    (TimeoutError(), 'TimeoutError'), (RuntimeError('gone\nfor good'), 'gone'),
    (RuntimeError(STRANGE), "ModuleNotFoundError: No module named 'shadowtutor_ros'")])
def test_why_a_worker_is_lost_is_said_in_one_line(error: Exception, words: str) -> None:
    lost: Future[object] = Future()
    lost.set_exception(error)
    with ThreadPoolExecutor(1) as answers:
        worker = RayWorker('worker1', None, None, answers)
        answer = worker._answer(SimpleNamespace(future=lambda: lost))
        with pytest.raises(WorkerLost, match=f'^worker1: {words}$'):
            answer.result(START)


def _run(code: str, **environment: str) -> str:
    return subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True,
                          env={**os.environ, **environment}, timeout=START).stdout


def test_nothing_imports_ray_before_it_is_wanted() -> None:
    package = Path(__file__).parents[2] / 'shadowtutor_ros'
    assert [str(path.relative_to(package)) for path in sorted(package.rglob('*.py'))
            if "'ray'" in path.read_text() and 'import' in path.read_text()
            and 'import_module' in path.read_text()] == ['runtime/ray_workers.py']
    assert _run('import sys, shadowtutor_ros.nodes.tutor_node; print("ray" in sys.modules)'
                ) == 'False\n'


def test_without_ray_it_is_said_how_to_get_it() -> None:
    assert _run(
        'import sys; sys.modules["ray"] = None\n'
        'from shadowtutor_ros.runtime import ray_workers\n'
        'try: ray_workers.RayWorkers("auto", None)\n'
        'except ray_workers.RayUnusable as error: print(error)') == (
            "workers: ray needs the package ray: pip install 'shadowtutor_ros[scale]', or "
            'pip install ray\n')


@pytest.mark.parametrize('address', ['127.0.0.1:1', '127.0.0.1:port'])
def test_a_cluster_that_cannot_be_reached_is_named_at_once(
    recipe: TutorRecipe, address: str,
) -> None:
    pytest.importorskip('ray')
    with pytest.raises(RayUnusable, match=f'ray_address {address}: no cluster can be reached: '):
        RayWorkers(address, recipe)
