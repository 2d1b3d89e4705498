# SPDX-License-Identifier: Apache-2.0
"""A pool of tutors in one process; test_ray_workers.py has some in processes of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from robots import wait_until
from runtime.key_frames import DISTILL, key_frame
from runtime.loops import assert_same_weights, weights_of
from runtime.test_hand_up import make_tutor, Robot, SETTINGS
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.pool import NoWorker, Pool, PoolSettings
from shadowtutor_ros.runtime.recipe import TeacherRecipe, TutorRecipe
from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.runtime.stream_states import FolderStates
from shadowtutor_ros.runtime.tutor import TutorSettings
from shadowtutor_ros.runtime.worker import LocalWorker, WorkerLost, WorkingTutor
from shadowtutor_ros.schedule.turns import StreamTaken
from shadowtutor_ros.snapshot import Snapshot
from shadowtutor_ros.teacher.protocol import TeacherError
from shadowtutor_ros.wire.delta import DELTA
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


class Mortal(LocalWorker):
    """A worker that can be cut off: it answers nothing then, or that it is lost."""

    def __init__(self, name: str, recipe: TutorRecipe, keeps: bool) -> None:
        super().__init__(name, WorkingTutor(recipe, keeps))
        self.lost = self.silent = self.closed = self.overloaded = False
        self.asked = 0

    def submit(
        self, key_frame: KeyFrame, brought: Snapshot | None = None,
    ) -> Future[StudentUpdate]:
        self.asked += 1
        if self.lost or self.silent:
            return self._cut_off()
        return super().submit(key_frame, brought)

    def learnt(self, most: int) -> Future[Mapping[str, Snapshot]]:
        return self._cut_off() if self.lost or self.silent else super().learnt(most)

    def report(self) -> Future[tuple[str, TutorReport]]:
        if self.lost or self.silent:
            return self._cut_off()
        where, report = super().report().result()
        future: Future[tuple[str, TutorReport]] = Future()
        future.set_result(
            (where, replace(report, steps_share=0.5) if self.overloaded else report))
        return future

    def close(self) -> None:
        self.closed = True

    def _cut_off(self) -> Future:  # type: ignore[type-arg]
        future: Future[StudentUpdate] = Future()
        if self.lost:
            future.set_exception(WorkerLost(f'{self.name} is gone'))
        return future


class Company:
    """Makes workers and pools of them."""

    def __init__(self, recipe: TutorRecipe, keeps: bool = False) -> None:
        self.recipe, self.info, self.keeps = recipe, recipe.info, keeps
        self.workers: list[Mortal] = []
        self.pools: list[Pool] = []
        self.fate = ''  # of those that are spawned from now on
        self.closed = 0

    def spawn(self, name: str) -> Mortal:
        self.workers.append(Mortal(name, self.recipe, self.keeps))
        if self.fate:
            setattr(self.workers[-1], self.fate, True)
        return self.workers[-1]

    def close(self) -> None:
        self.closed += 1

    def pool(self, least: int = 1, most: int = 2, patience: float = 60.0, **rest: object) -> Pool:
        pool = Pool(self, self.info, 'labels', PoolSettings(least, most, patience),
                    **rest)  # type: ignore[arg-type]
        self.pools.append(pool)
        if least > 1:
            wait_until(lambda: all(worker.ready for worker in pool.report().workers))
        return pool


def recipe_of(scene: Scene, classes: ClassSet, info: StudentInfo) -> TutorRecipe:
    return TutorRecipe.of(
        TeacherRecipe('labels', classes, str(scene.label_maps), fps=scene.fps),
        Student.random(info, 0),
        TutorSettings(DISTILL, SETTINGS, max_streams=8, lessons_at_once=1), 'cpu', 0)


@pytest.fixture
def company(scene: Scene, classes: ClassSet, info: StudentInfo) -> Iterator[Company]:
    company = Company(recipe_of(scene, classes, info))
    yield company
    for pool in company.pools:
        pool.close()
    assert all(worker.closed for worker in company.workers)
    assert company.closed == max(1, len(company.pools))


def worker_of(pool: Pool, stream_id: str = 'a') -> str:
    seat = pool._seat_of(stream_id)
    assert seat is not None
    return seat.worker.name


def test_a_stream_that_is_alone_is_taught_as_by_one_tutor(
    company: Company, scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    pooled = Robot(company.pool(), scene)  # type: ignore[arg-type]
    alone = Robot(make_tutor(scene, classes, info), scene)
    for robot in (pooled, alone):
        robot.run(4)
    assert pooled.loop.counters.failures == 0
    assert_same_weights(weights_of(pooled.loop.student), weights_of(alone.loop.student))


def test_streams_are_spread_and_stay_where_they_are(company: Company, scene: Scene) -> None:
    pool = company.pool(2)
    for _ in range(2):
        for stream_id in 'abcd':
            pool.submit(key_frame(scene, stream_id=stream_id)).result(60)
    assert [worker.asked for worker in company.workers] == [4, 4]
    report = pool.report()
    assert [worker.streams for worker in report.workers] == [2, 2]
    wait_until(lambda: len(pool.report().streams) == 4)
    assert {stream.worker for stream in pool.report().streams} == {'worker1', 'worker2'}


@pytest.mark.parametrize('how', ['lost', 'silent'])
def test_a_worker_that_goes_costs_no_key_frame(
    company: Company, scene: Scene, how: str,
) -> None:
    pool = company.pool(2, patience=2.0)
    robot = Robot(pool, scene)  # type: ignore[arg-type]
    robot.run(3)
    first = next(worker for worker in company.workers if worker.name == worker_of(pool))
    session_id, sent = robot.loop.session_id, len(robot.link.sent)
    setattr(first, how, True)
    robot.run(2)
    assert worker_of(pool) != first.name
    assert (robot.loop.counters.failures, robot.loop.session_id) == (0, session_id)
    assert [update.weights.encoding for update in robot.link.updates[-2:]] == [DELTA] * 2
    # One of them had its student handed up.
    assert [bool(key_frame.student) for key_frame in robot.link.sent[sent:]] == [
        False, True, False]
    assert first.closed
    wait_until(lambda: len(company.workers) == 3)  # as many as before


def test_an_error_of_a_lesson_is_the_askers(company: Company, scene: Scene) -> None:
    pool = company.pool()
    with pytest.raises(TeacherError):
        pool.submit(replace(key_frame(scene), stamp=10**12)).result(60)  # beyond the labels
    assert len(company.workers) == 1
    assert not company.workers[0].closed


def test_a_key_frame_that_cannot_be_handed_on_is_not_waited_for(
    company: Company, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = company.pool()

    def submit(key_frame: KeyFrame, brought: Snapshot | None = None) -> None:
        raise BrokenPipeError('nobody listens')

    monkeypatch.setattr(company.workers[0], 'submit', submit)
    with pytest.raises(BrokenPipeError):
        pool.submit(key_frame(scene)).result(60)
    assert not pool._seats[0].errands


def test_a_stream_belongs_to_one_robot(company: Company, scene: Scene) -> None:
    pool = company.pool()
    pool.admit('a', 1)
    with pytest.raises(StreamTaken):
        pool.submit(key_frame(scene, robot=2))
    assert pool.streams == ('a',)


def test_when_none_is_left_somebody_stands_in_until_one_is_back(
    company: Company, scene: Scene,
) -> None:
    reserve: list[Mortal] = []

    def stand_in(name: str) -> Mortal:
        reserve.append(Mortal(name, company.recipe, keeps=False))
        return reserve[-1]

    pool = Pool(company, company.info, 'labels', PoolSettings(1, 1, 1.5, 5.0),
                stand_in=stand_in)
    company.pools.append(pool)
    robot = Robot(pool, scene)  # type: ignore[arg-type]
    robot.run(2)
    company.fate = 'silent'
    company.workers[0].lost = True
    robot.run(2)  # after failures: nobody was there for a moment
    assert worker_of(pool) == reserve[0].name
    company.fate = ''  # the one that never came is given up, and another is spawned
    wait_until(lambda: reserve[0].closed)
    robot.run(1)
    assert worker_of(pool) == company.workers[-1].name


def test_a_pool_grows_while_it_is_overloaded_evens_out_and_shrinks(
    company: Company, scene: Scene, monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ('GROW_AFTER', 'SHRINK_AFTER'):
        monkeypatch.setattr(f'shadowtutor_ros.schedule.scale.{name}', 1.0)
    pool = company.pool(1, 2)
    for stream_id in 'ab':
        pool.submit(key_frame(scene, stream_id=stream_id)).result(60)
    first, = company.workers
    first.overloaded = True
    wait_until(lambda: [worker.streams for worker in pool.report().workers] == [1, 1])
    assert len(company.workers) == 2
    first.overloaded = False
    wait_until(lambda: len(pool.report().workers) == 1)
    for stream_id in 'ab':
        pool.submit(key_frame(scene, stream_id=stream_id)).result(60)
    assert [worker.streams for worker in pool.report().workers] == [2]


def test_without_a_worker_a_pool_does_not_begin(company: Company) -> None:
    company.fate = 'lost'
    with pytest.raises(WorkerLost, match='worker1 is gone'):
        company.pool()


@pytest.mark.parametrize(('least', 'most'), [(0, 1), (3, 2)])
def test_numbers_of_workers_that_cannot_be(company: Company, least: int, most: int) -> None:
    with pytest.raises(ValueError, match='1 <= min_workers <= max_workers'):
        company.pool(least, most)


def test_who_asks_while_none_is_ready_is_refused(company: Company, scene: Scene) -> None:
    pool = company.pool()
    with pool._lock:
        pool._seats[0].ready = False
        with pytest.raises(NoWorker):
            pool.submit(key_frame(scene)).result(0)
        pool._seats[0].ready = True


@pytest.mark.parametrize('how', ['a worker', 'the pool'])
def test_what_a_stream_has_learnt_is_kept_beyond_its_worker(
    company: Company, scene: Scene, tmp_path: Path, how: str,
) -> None:
    """The next one goes on from it, and the robot need not hand up what is kept."""
    company.keeps = True
    layout_hash = company.recipe.layout_hash
    pool = company.pool(2, states=FolderStates(tmp_path, layout_hash))
    robot = Robot(pool, scene)  # type: ignore[arg-type]
    robot.run(3)
    key_frames = robot.loop.counters.key_frames
    if how == 'the pool':
        pool.close()
        company.pools.clear()
        company.closed = 0
        pool = company.pool(1, states=FolderStates(tmp_path, layout_hash))
        robot.link.turn_to(pool)  # type: ignore[arg-type]
    else:
        wait_until(lambda: version_kept(pool) == robot.loop.version)
        next(worker for worker in company.workers if worker.name == worker_of(pool)).lost = True
        robot.link.sent.clear()
    robot.run(2)
    assert [bool(each.student) for each in robot.link.sent] == [False, False]
    assert [update.weights.encoding for update in robot.link.updates[-2:]] == [DELTA] * 2
    worker = [worker for worker in company.workers if worker.name == worker_of(pool)][-1]
    stream = worker._working.tutor._streams['a']
    assert (stream.key_frames, stream._state.lessons) == (key_frames + 2, key_frames + 2)
    assert len(stream._memory) == DISTILL.replay


def version_kept(pool: Pool) -> int:
    """Return the version of the stream's student that is kept."""
    states = pool._harvest._states
    assert states is not None
    snapshot = states.get('a')
    return -1 if snapshot is None else int(snapshot['given'])


def test_a_stream_that_returns_to_a_worker_is_what_became_of_it_meanwhile(
    company: Company, scene: Scene, tmp_path: Path,
) -> None:
    company.keeps = True
    pool = company.pool(2, states=FolderStates(tmp_path, company.recipe.layout_hash))
    robot = Robot(pool, scene)  # type: ignore[arg-type]
    for lessons in 2, 4, 6:
        robot.run(2)
        wait_until(lambda: version_kept(pool) == robot.loop.version)
        with pool._lock:
            here = pool._seat_of('a')
            assert here is not None
            other = next(seat for seat in pool._seats if seat is not here)
            here.let_go('a')
            other.take('a')
        stream = here.worker._working.tutor._streams['a']  # type: ignore[attr-defined]
        assert stream.key_frames == lessons
    assert not any(each.student for each in robot.link.sent)
