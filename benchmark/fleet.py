# SPDX-License-Identifier: Apache-2.0
"""
Many robots, one tutor: key frames per second, and whether every robot gets his share.

    scripts/in_env.sh python benchmark/fleet.py [CLIP ...] --device cpu --robots 1,2,4
        --teacher yolov5s-seg --workers ray --ray-workers 2 --json fleet.json

Every robot is a real StudentLoop that looks at a clip in real time, in this process, with a live
schedule and no network. Robots do not segment: who computes the masks is another device's affair.
What they do themselves (the JPEG of a key frame, unpacking an update) is in the run. The same
robots are then taught by a lock-step tutor (benchmark/lockstep.py), in turns: product, lock-step,
product, lock-step, so that what else the machine does hits both. With ``--workers ray`` the
product is a pool of ``--ray-workers`` processes, each with ``--threads`` of torch's or a GPU;
with two numbers of them (``1,2``) the smaller pool takes the place of the lock-step tutor. Lessons
are those that the lock-step tutor can give, too (``DistillSettings.plain``), those of pools that
are compared the default ones. With ``--pin`` each of these processes has one CPU and no other, as
if it were a small machine; the robots are on all CPUs, too.

Before anything is timed, one student is taught a frame of every clip; all streams begin with it,
and have no cold start. Timed are ``--seconds`` from when every robot has had ``--warm-up``
answers; the same for both tutors.

A row has, for one number of robots:

- ``key_frames_per_second``: answers within the time; ``steps_per_key_frame`` of their lessons.
- ``turnaround_ms_p50``, ``_p95``: from sending a key frame to its answer, by those answers.
- ``fairness``: Jain's index, (sum of x)^2 / (n * sum of x^2), 1 where all are alike, where x are
  the robots' mean staleness: seconds since the key frame that the running weights come from was
  taken, averaged over the frames that the robot sees. The mean of the rounds' indices.
- ``miou``: of the masks of every ``--sample``-th frame of the clips, by the weights that were in
  force when the robot saw it, against the same teacher's labels of the frame; computed afterwards.
- ``stride``: frames from one key frame to the next; ``staleness_s``: the mean over all robots.
- ``refused``: key frames that the tutor did not take or that a newer one replaced; ``failed``:
  others without an answer, or with one that was no good. Both of the whole run.
- ``frames_lost``: the share of the camera's frames that the robots had no time for.
- ``gpu_utilisation``: percent, by nvidia-smi; null where there is none.

Weights of the teacher: ``yolov5s-seg`` and ``yolov7-seg`` are fetched once and kept in
``$SHADOWTUTOR_CACHE`` or ``~/.cache/shadowtutor``. A machine without network takes a copy of that
folder, or ``--teacher FILE.pt``. Without a CLIP it is the one that ``make demo`` plays, from the
same folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
import json
import os
from pathlib import Path
import platform
import statistics
import time
from typing import Any

import cv2
from fleet_robots import Film, play, read_film, Robot, TaughtBy
from fleet_rows import Round, Row, row_of, table
from gpu_utilisation import GpuUtilisation
from lockstep import LockStepTutor, PlainLessons
from ray_cluster import descendants
import torch

from shadowtutor_ros.assets import clip, teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.link import LinkFailure
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.runtime.pool import Pool, PoolSettings
from shadowtutor_ros.runtime.ray_workers import LOCAL, RayWorkers
from shadowtutor_ros.runtime.recipe import TeacherRecipe, TutorRecipe
from shadowtutor_ros.runtime.teaching import Teaching
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import Teacher

FETCHED = ('yolov5s-seg', 'yolov7-seg')
SCHOOL_STEPS = 32  # on one frame of every clip, before anything is timed
RAY_PATIENCE = 60.0  # seconds of silence of a worker: all share this machine
PATIENCE = 10  # failures before its first answer after which a robot is given up
PRODUCT, LOCK_STEP = 'product', 'lock-step'


class FleetError(ShadowTutorError):
    """The robots cannot be taught at all."""


@dataclass
class Cast:
    """What every run has in common; ``labels`` fills as frames are judged."""

    films: Sequence[Film]
    teacher: Teacher
    first: Student
    distill: DistillSettings
    threads: int
    fps: float = 30.0
    seconds: float = 45.0
    warm_up: int = 1
    sample: int = 25
    recipe: TeacherRecipe | None = None  # of the teacher, for workers in other processes
    workers: tuple[int, ...] = (1,)  # in the product's pool; of a second one, to compare with
    pin: bool = False  # each of them to a CPU
    labels: dict[tuple[str, int], Mask] = field(default_factory=dict)

    def label(self, film: Film, position: int) -> Mask:
        """Return the teacher's HxW class ids of a frame, asked for once."""
        key = film.name, position
        if key not in self.labels:
            self.labels[key] = self.teacher.label(film.frames[position]).class_ids
        return self.labels[key]


def robots_of(cast: Cast, count: int, tutor: TaughtBy) -> list[Robot]:
    """Return ``count`` robots; those of one film begin at different places of it."""
    films = cast.films
    in_one = -(-count // len(films))
    robots = []
    for number in range(count):
        film = films[number % len(films)]
        offset = number // len(films) * film.period // in_one
        robots.append(Robot(number, film, offset, tutor, cast.first.info, cast.sample))
    return robots


def run(cast: Cast, count: int, tutor: TaughtBy) -> Round:
    """Let ``tutor`` teach ``count`` robots; raise FleetError when it answers one of them never."""
    robots = robots_of(cast, count, tutor)
    begin = 0.0
    utilisation = GpuUtilisation(cast.first.device)

    def on() -> bool:
        nonlocal begin
        if not begin:
            for robot in robots:
                counters = robot.loop.counters
                if counters.updates_applied == 0 and counters.failures >= PATIENCE:
                    raise FleetError(f'{robot.loop.stream_id}: {counters.detail}')
            if all(robot.loop.counters.updates_applied >= cast.warm_up for robot in robots):
                utilisation.start()
                begin = time.perf_counter()
        return not begin or time.perf_counter() < begin + cast.seconds

    play(robots, cast.fps, on)
    end = begin + cast.seconds
    busy = utilisation.stop()
    for robot in robots:  # whatever is still taught ends before another tutor begins
        while robot.link.requests[-1].reply is None:
            time.sleep(0.01)

    def timed(at: float) -> bool:
        return begin <= at < end

    requests = [request for robot in robots for request in robot.link.requests]
    shown = [[frame for frame in robot.shown if timed(frame.at)] for robot in robots]
    failures = [r for r in requests if isinstance(r.reply, LinkFailure)]
    refused = sum(request.refused for request in failures)
    return Round(
        cast.seconds,
        [r for r in requests if timed(r.answered_at) and not isinstance(r.reply, LinkFailure)],
        [statistics.fmean(frame.staleness for frame in frames) for frames in shown],
        [len(frames) / max(1, sum(frame.key_frame for frame in frames)) for frames in shown],
        judge(cast, robots, timed), refused,
        len(failures) - refused + sum(r.loop.counters.updates_rejected for r in robots),
        1 - sum(map(len, shown)) / (count * cast.fps * cast.seconds), busy)


def judge(cast: Cast, robots: Sequence[Robot], timed: Callable[[float], bool]) -> list[float]:
    """Return the mIoU (0-1) of every look of the robots that was timed."""
    torch.set_num_threads(cast.threads)
    student, ious = cast.first.clone(), []
    classes = len(cast.first.info.class_names)
    for robot in robots:
        loaded: Mapping[str, torch.Tensor] | None = None
        for look in robot.looks:
            if not timed(look.at):
                continue
            if look.weights is not loaded:
                student.load(loaded := look.weights)
            ious.append(mean_iou_of_masks(
                student.segment(robot.film.frames[look.position]),
                cast.label(robot.film, look.position), classes))
    return ious


def tutor_of(cast: Cast, count: int, workers: int) -> Teaching:
    """Return the product with places for ``count`` robots, in this process or on Ray."""
    settings = TutorSettings(cast.distill, max_streams=count)
    if cast.recipe is None:
        return Tutor(cast.teacher, cast.first, settings)
    recipe = TutorRecipe.of(
        cast.recipe, cast.first, settings, str(cast.first.device), cast.threads)
    pool = Pool(RayWorkers(LOCAL, recipe), recipe.info, cast.recipe.name,
                PoolSettings(workers, workers, RAY_PATIENCE), count)
    if cast.pin:
        pin(workers)
    return pool


def pin(workers: int) -> None:
    """Give each of so many Ray workers of this process one CPU, as soon as they are there."""
    cpus = sorted(os.sched_getaffinity(0))
    deadline = time.monotonic() + RAY_PATIENCE
    while len(found := [pid for pid in sorted(descendants(os.getpid()))
                        if _command(pid).startswith('ray::TutorActor')]) < workers:
        if time.monotonic() > deadline:
            raise FleetError(f'expected {workers} workers to pin, found {len(found)}')
        time.sleep(0.2)
    for number, pid in enumerate(found):
        for thread in Path(f'/proc/{pid}/task').iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), {cpus[number % len(cpus)]})


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f'/proc/{pid}/cmdline').read_text(errors='replace')
    return ''


def tutors_of(cast: Cast, count: int) -> dict[str, Callable[[], Teaching | LockStepTutor]]:
    """Return how the product and what it is compared with are made, by their names."""
    most, *fewer = sorted(cast.workers, reverse=True)
    product = partial(tutor_of, cast, count, most)
    if fewer:
        return {_pool(most): product, _pool(fewer[0]): partial(tutor_of, cast, count, fewer[0])}
    return {PRODUCT: product, LOCK_STEP: partial(
        LockStepTutor, cast.teacher, cast.first, cast.distill, cast.threads)}


def _pool(workers: int) -> str:
    return f'{workers} worker' + 's' * (workers > 1)


def compare(
    cast: Cast, count: int, rounds: int, on_round: Callable[[str, Round], object],
) -> dict[str, Row]:
    """Return the row of ``count`` robots of each tutor, who take turns for ``rounds`` rounds."""
    made = tutors_of(cast, count)
    found: dict[str, list[Round]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, make in made.items():
            tutor = make()
            try:
                found[name].append(run(cast, count, tutor))
            finally:
                tutor.close()
            on_round(name, found[name][-1])
    return {name: row_of(count, of) for name, of in found.items()}


def schooled(films: Sequence[Film], teacher: Teacher, first: Student) -> None:
    """Teach ``first`` one frame of every film, all of its layers."""
    lessons = PlainLessons(first, DistillSettings.plain(
        group=FULL, max_updates=SCHOOL_STEPS, cold_start_updates=SCHOOL_STEPS))
    for film in films:
        frame = film.frames[len(film.frames) // 2]
        lessons.teach(frame, teacher.label(frame))


def warm_settings(settings: DistillSettings) -> DistillSettings:
    """Return ``settings`` without a cold start: every lesson as the later ones are."""
    return replace(
        settings, cold_start_group=settings.group, cold_start_updates=settings.max_updates)


def weights_of(teacher: str) -> Path:
    """Return the weight file of a teacher by name, fetched once, or by path."""
    return teacher_weights(f'{teacher}.pt') if teacher in FETCHED else Path(teacher)


def make_cast(
    films: Sequence[Film], teacher: str, device: torch.device, threads: int,
    distill: DistillSettings, **rest: Any,
) -> Cast:
    """Return the taught student, the teacher and the films; ``rest`` are Cast's own."""
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    labelling = create_teacher(
        'yolo', classes, weights=str(weights_of(teacher)), device=str(device))
    first = Student.random(StudentInfo(classes.names, classes.colours), 0, device)
    schooled(films, labelling, first)
    return Cast(films, labelling, first, warm_settings(distill), threads, **rest)


def machine(device: torch.device) -> dict[str, str]:
    """Return what the figures were measured on."""
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else platform.machine()
    return {'device': str(device), 'device_name': name, 'torch': torch.__version__,
            'python': platform.python_version()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = _parser().parse_args(arguments)
    pools = len(options.ray_workers) > 1
    if len(options.ray_workers) > 2 or len(set(options.ray_workers)) < len(options.ray_workers):
        raise FleetError('--ray-workers: expected one number or two different ones')
    if options.workers == 'local' and (pools or options.pin):
        raise FleetError('--pin and two numbers of --ray-workers need --workers ray')
    device = pick_device(options.device)
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    films = [read_film(path, options.frames, options.size)
             for path in options.clips or [clip()]]
    cast = make_cast(films, options.teacher, device, options.threads,
                     DistillSettings() if pools else DistillSettings.plain(), fps=options.fps,
                     seconds=options.seconds, warm_up=options.warm_up, sample=options.sample,
                     workers=tuple(options.ray_workers), pin=options.pin)
    if options.workers == 'ray':
        classes = ClassSet.load(config_file('lvs8', 'classes'))
        cast.recipe = TeacherRecipe('yolo', classes, str(weights_of(options.teacher)))
    product, baseline = tutors_of(cast, 0)
    rows: dict[str, list[Row]] = {product: [], baseline: []}
    for count in options.robots:
        def report(name: str, one: Round, count: int = count) -> None:
            print(f'{count} robots, {name}: {len(one.answered) / one.seconds:.2f} key frames/s',
                  flush=True)
        for name, row in compare(cast, count, options.rounds, report).items():
            rows[name].append(row)
    ratios = [ours.key_frames_per_second / plain.key_frames_per_second
              for ours, plain in zip(rows[product], rows[baseline])]
    print(table(rows))
    print(f'key frames per second, {product} over {baseline}:',
          ', '.join(f'{row.robots}: {ratio:.2f}' for row, ratio in zip(rows[product], ratios)))
    if options.json is not None:
        options.json.write_text(json.dumps({
            **machine(device), 'workers': options.workers,
            'ray_workers': options.ray_workers, 'pinned': cast.pin, 'threads': options.threads,
            'teacher': cast.teacher.name,
            'clips': [film.name for film in films],
            'size': list(films[0].frames[0].shape[1::-1]), 'fps': cast.fps,
            'seconds': cast.seconds, 'rounds': options.rounds, 'warm_up': cast.warm_up,
            'rows': [asdict(row) for row in rows[product]],
            'baseline': [asdict(row) for row in rows[baseline]],
            'speed_up': ratios}, indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='many robots, one tutor')
    parser.add_argument('clips', nargs='*', type=Path, metavar='CLIP',
                        help='video files or image folders, by turns to the robots')
    parser.add_argument('--robots', type=_counts, default=[1, 2, 4], metavar='N,N')
    parser.add_argument('--teacher', default='yolov7-seg',
                        help=f'{" or ".join(FETCHED)}, or a .pt file')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1,
                        help="torch's, of the lock-step tutor and outside the timed part")
    parser.add_argument('--workers', choices=('local', 'ray'), default='local',
                        help='where the product teaches: here, or on a Ray cluster of its own')
    parser.add_argument('--ray-workers', type=_counts, default=[1], metavar='N[,M]',
                        help='workers there; two numbers: pools to compare with each other')
    parser.add_argument('--pin', action='store_true', help='each of them to one CPU')
    parser.add_argument('--size', type=_size, metavar='WxH', help="default: each clip's own")
    parser.add_argument('--frames', type=int, default=300, help='of each clip at most')
    parser.add_argument('--fps', type=float, default=30.0, help="of the robots' cameras")
    parser.add_argument('--seconds', type=float, default=45.0, help='timed, of each round')
    parser.add_argument('--rounds', type=int, default=2, help='of each tutor')
    parser.add_argument('--warm-up', type=int, default=1,
                        help='answers to each robot before time is taken')
    parser.add_argument('--sample', type=int, default=25,
                        help='every so many frames of a clip one is judged')
    parser.add_argument('--json', type=Path)
    return parser


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(',')]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f'expected numbers above 0, got {text!r}')
    return counts


def _size(text: str) -> tuple[int, int]:
    width, height = text.lower().split('x')
    return int(width), int(height)


if __name__ == '__main__':
    main()
