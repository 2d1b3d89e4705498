# SPDX-License-Identifier: Apache-2.0
"""
Workers of a Ray cluster are killed, and machines of it, while robots learn: what they notice.

    scripts/in_env.sh python benchmark/dead_workers.py [--kills 10] [--robots 4] [--json FILE]

The cluster is of this machine: a head and a second raylet with room for a worker each, which
``ray start`` makes, and which a pool joins by its address (``--address auto``: finds by itself).
With SIGKILL go, in turns, a worker and the whole second raylet with all that runs there; then
another one is started. Robots are real student loops without segmentation, labels the teacher.

For every kill: how many robots had their place there, the seconds from the kill to the last one's
first update, whether those updates were differences to what the robots ran, and how many key
frames have failed. After each recovery: processes of the cluster, this process's memory, open
files and threads, and actors that live. ``--calm`` seconds lie between them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import secrets
import signal
import tempfile
import threading
import time
from typing import Any

from fleet_robots import play, read_film, Robot
from loopback import film, LABELS_FPS
from ray_cluster import Cluster, cluster, ClusterFailed, descendants

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.pool import Pool, PoolSettings
from shadowtutor_ros.runtime.ray_workers import AUTO, RayWorkers
from shadowtutor_ros.runtime.recipe import TeacherRecipe, TutorRecipe
from shadowtutor_ros.runtime.stream_states import FolderStates
from shadowtutor_ros.runtime.tutor import TutorSettings
from shadowtutor_ros.schedule.scheduler import ScheduleSettings
from shadowtutor_ros.share import config_file
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.update import StudentUpdate

FPS = 10.0
SCHEDULE = ScheduleSettings(max_stride=8)  # what is waited for is a tutor, and not a robot's wish
PATIENCE = 180.0  # seconds for a worker or an update on a busy machine
WORKER, MACHINE = 'worker', 'machine'


@dataclass(frozen=True)
class Death:
    """One kill, and the machine after it; ``memory`` in bytes."""

    what: str
    robots: int
    seconds: float
    inter: bool
    failures: int
    processes: int
    memory: int
    files: int
    threads: int
    actors: int


class Fleet:
    """Robots that look at a film in a thread of their own."""

    def __init__(self, pool: Pool, video: Path, robots: int) -> None:
        clip = read_film(video, 40)
        self.robots = [Robot(number, clip, number, pool, pool.info, 1000)
                       for number in range(robots)]
        for robot in self.robots:
            robot.loop.scheduler.change(SCHEDULE)
        self._on = True
        self._thread = threading.Thread(
            target=play, args=(self.robots, FPS, lambda: self._on), name='robots', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the robots rest."""
        self._on = False
        self._thread.join()

    def update_after(self, number: int, moment: float) -> tuple[float, StudentUpdate] | None:
        """Return when a robot's first update came of those that it asked for or got later."""
        for request in list(self.robots[number].link.requests):
            if isinstance(request.reply, StudentUpdate) and request.answered_at > moment:
                return request.answered_at, request.reply
        return None

    def forget(self) -> None:
        """Let go of what the robots remember for other benchmarks."""
        for robot in self.robots:
            del robot.link.requests[:-1]
            robot.looks.clear()
            robot.shown.clear()

    @property
    def failures(self) -> int:
        """Key frames without an answer."""
        return sum(robot.loop.counters.failures for robot in self.robots)


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Wait until it is so; raise ClusterFailed."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterFailed(f'{what}: not within {PATIENCE:g} s')
        time.sleep(0.02)


def run(
    kills: int, robots: int, by: str, folder: Path, ray_folder: Path,
    on_death: Callable[[Death], None] = lambda death: None, calm: float = 0.0,
) -> list[Death]:
    """Kill so many; ``by`` is the cluster's address for the pool, AUTO or empty: its own."""
    video, labels = film(folder)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    info = StudentInfo(classes.names, classes.colours)
    settings = TutorSettings(
        DistillSettings.plain(max_updates=1, cold_start_updates=1), lessons_at_once=1)
    recipe = TutorRecipe.of(TeacherRecipe('labels', classes, str(labels), fps=LABELS_FPS),
                            Student.random(info, 0), settings, 'cpu', 1)
    os.environ.update({'RAY_AUTH_TOKEN': secrets.token_hex(16), 'RAY_TMPDIR': str(ray_folder)})
    deaths: list[Death] = []
    with cluster(ray_folder) as machines:
        machines.add()
        states = FolderStates(folder / 'state', recipe.layout_hash)
        pool = Pool(RayWorkers(by or machines.address, recipe, True), info, 'labels',
                    PoolSettings(2, 2), states=states)
        fleet = Fleet(pool, video, robots)
        try:
            for number in range(kills):
                time.sleep(calm)
                wait('all robots learn at two workers', lambda: _settled(pool, fleet))
                deaths.append(_kill(WORKER if number % 2 == 0 else MACHINE, machines, pool, fleet))
                on_death(deaths[-1])
        finally:
            fleet.close()
            pool.close()
    return deaths


def _settled(pool: Pool, fleet: Fleet) -> bool:
    workers = pool.report().workers
    return (len(workers) == 2 and all(worker.ready and worker.streams for worker in workers)
            and all(robot.loop.counters.updates_applied for robot in fleet.robots))


def _kill(what: str, machines: Cluster, pool: Pool, fleet: Fleet) -> Death:
    second = machines.machines[-1]
    report = pool.report()
    there = [worker for worker in report.workers
             if what == WORKER or _process_of(worker.where) in second.processes()]
    victim = there[0]
    hit = [number for number, robot in enumerate(fleet.robots) if any(
        stream.stream_id == robot.loop.stream_id and stream.worker == victim.name
        for stream in report.streams)]
    failed, killed = fleet.failures, time.perf_counter()
    if what == WORKER:
        os.kill(_process_of(victim.where), signal.SIGKILL)
    else:
        second.kill()
        machines.machines.remove(second)
        machines.add()
    wait('updates after a kill',
         lambda: all(fleet.update_after(number, killed) for number in hit))
    first = [found for number in hit if (found := fleet.update_after(number, killed)) is not None]
    seconds = max((at for at, _ in first), default=killed) - killed
    wait('two workers again', lambda: _settled(pool, fleet))
    fleet.forget()
    return Death(
        what, len(hit), seconds,
        all(WEIGHT_ENCODINGS[update.weights.encoding].inter for _, update in first),
        fleet.failures - failed, len(machines.processes()), _memory(),
        len(list(Path('/proc/self/fd').iterdir())), threading.active_count(), _living_actors())


def _process_of(where: str) -> int:
    return int(where.rpartition(' ')[2])


def _memory() -> int:
    pages = Path('/proc/self/statm').read_text().split()[1]
    return int(pages) * os.sysconf('SC_PAGE_SIZE')


def _living_actors() -> int:
    from ray._private.state import state  # nothing public counts them without a dashboard
    actors: dict[str, Any] = state.actor_table(None)
    return sum(actor['State'] == 'ALIVE' for actor in actors.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; nothing of the cluster may be left."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--robots', type=int, default=4)
    parser.add_argument('--address', choices=['', AUTO], default='',
                        help='auto: the pool finds the cluster; else it is told its HOST:PORT')
    parser.add_argument('--calm', type=float, default=3.0, help='seconds from death to death')
    parser.add_argument('--json', type=Path)
    options = parser.parse_args(arguments)
    print('killed    robots there   first updates after s   differences   failed   '
          'processes   MiB   files   threads   actors')

    def on_death(death: Death) -> None:
        print(f'{death.what:9} {death.robots:12} {death.seconds:23.2f} {death.inter!s:>13} '
              f'{death.failures:8} {death.processes:11} {death.memory >> 20:5} {death.files:7} '
              f'{death.threads:9} {death.actors:8}', flush=True)

    with (tempfile.TemporaryDirectory() as folder,
          # Ray's sockets lie there: their names are short.
          tempfile.TemporaryDirectory(prefix='r', ignore_cleanup_errors=True) as ray_folder):
        deaths = run(options.kills, options.robots, options.address, Path(folder),
                     Path(ray_folder), on_death, options.calm)
    left = len(descendants(os.getpid()))
    print(f'{left} processes are left')
    if options.json is not None:
        options.json.write_text(json.dumps(
            {'deaths': [asdict(death) for death in deaths], 'left': left}, indent=1))


if __name__ == '__main__':
    main()
