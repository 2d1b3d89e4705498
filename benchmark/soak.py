# SPDX-License-Identifier: Apache-2.0
"""
One tutor and two robots for half an hour: memory, files and threads of every process stay.

After a warm-up, what each process takes in the last quarter is compared with the first. Ends
with status 1 when something grows or a robot learns no more. The tutor's library of past students
is full from the start, as it is after some hundred lessons.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
import os
from pathlib import Path
import statistics
import sys
import tempfile
import time

import cv2
import numpy as np

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.harness.collector import Collector
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.model.first_student import DEFAULT, first_student
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.runtime.library import LIBRARY, Library
from shadowtutor_ros.share import config_file
from shadowtutor_ros.whole_file import replace_json

_SIZE = 144, 192  # H, W
_CLIP = 100  # frames, shown again and again
_BACKGROUND = 8  # of lvs8

# What may come without a leak: an allocator's arenas, a connection, a thread of a pool.
_MEMORY_MB, _MEMORY_SHARE, _FILES, _THREADS = 12.0, 0.02, 3, 2


@dataclass(frozen=True)
class Usage:
    """What a process takes at a time: ``seconds`` since the start, resident MB, counts."""

    seconds: float
    memory_mb: float
    files: int
    threads: int


@dataclass(frozen=True)
class Verdict:
    """One process: medians of the first and the last quarter after the warm-up."""

    process: str
    first: Usage
    last: Usage

    @property
    def grown(self) -> list[str]:
        """Names of what has grown by more than is usual."""
        room = max(_MEMORY_MB, _MEMORY_SHARE * self.first.memory_mb)
        return [name for name, more, allowed in (
            ('memory', self.last.memory_mb - self.first.memory_mb, room),
            ('files', self.last.files - self.first.files, _FILES),
            ('threads', self.last.threads - self.first.threads, _THREADS)) if more > allowed]


def usage_of(pid: int, seconds: float) -> Usage:
    """Return what a process takes now; raise OSError when it is gone."""
    proc = Path(f'/proc/{pid}')
    status = dict(line.split(':', 1) for line in (proc / 'status').read_text().splitlines())
    return Usage(seconds, int(status['VmRSS'].split()[0]) / 1024,
                 len(list((proc / 'fd').iterdir())), int(status['Threads']))


def judge(process: str, usages: Sequence[Usage], warm_up: float) -> Verdict:
    """Compare the first with the last quarter of what comes after ``warm_up`` seconds."""
    after = [usage for usage in usages if usage.seconds >= warm_up]
    if len(after) < 4:
        raise ValueError(f'expected 4 looks or more after the warm-up, got {len(after)}')
    quarter = len(after) // 4
    return Verdict(process, _median(after[:quarter]), _median(after[-quarter:]))


def _median(usages: Sequence[Usage]) -> Usage:
    return Usage(*(statistics.median(getattr(usage, name) for usage in usages) for name in (
        'seconds', 'memory_mb', 'files', 'threads')))


def make_clip(folder: Path, frames: int) -> tuple[Path, Path]:
    """Draw a clip of a person who walks; return its folder and that of labels for ``frames``."""
    video, labels = folder / 'video', folder / 'labels'
    for path in (video, labels):
        path.mkdir()
    ground = np.random.default_rng(0).integers(60, 110, (*_SIZE, 3), np.uint8)
    for index in range(_CLIP):
        frame, label = ground.copy(), np.full(_SIZE, _BACKGROUND, np.uint8)
        box = slice(40, 100), slice(10 + index, 50 + index)
        frame[box], label[box] = (40, 40, 220), 0
        cv2.imwrite(str(video / f'{index:06}.png'), frame)
        cv2.imwrite(str(labels / f'{index:06}.png'), label)
    for index in range(_CLIP, frames):
        (labels / f'{index:06}.png').symlink_to(labels / f'{index % _CLIP:06}.png')
    return video, labels


def fill_library(state_folder: Path) -> None:
    """Have a tutor with this folder find as many students of the past as it keeps."""
    first = first_student(DEFAULT, ClassSet.load(config_file('lvs8', 'classes')))
    library = Library(first, LIBRARY, state_folder / 'library')
    for number in range(LIBRARY):
        library.keep(f'past{number}', 16, first.weights(FULL))
    library.close()


def soak(options: argparse.Namespace, folder: Path) -> tuple[list[Verdict], list[int]]:
    """Run all nodes; return what each process took and how much each robot learnt at last."""
    video, labels = make_clip(folder, round(options.fps * (options.minutes * 60 + 300)))
    fill_library(folder / 'state')
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    robots = [f'robot{number}' for number in range(options.robots)]
    with ExitStack() as stack:
        domain = stack.enter_context(own_domain())
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain), 'PYTHONUNBUFFERED': '1'}

        def start(
            name: str, module: str, parameters: Mapping[str, object], **remappings: str,
        ) -> NodeProcess:
            return stack.enter_context(NodeProcess(
                module, parameters, options.logs / f'{name}.log', remappings, environment))
        collectors = [stack.enter_context(Collector(f'/{robot}/student', domain))
                      for robot in robots]
        processes = {'tutor': start('tutor', 'tutor_node', {
            'teacher': 'labels', 'teacher_weights': str(labels), 'labels_fps': options.fps,
            'threads': 1, 'device': 'cpu', 'state_folder': str(folder / 'state')})}
        for robot in robots:
            processes[f'{robot} student'] = start(f'{robot}-student', 'student_node', {
                'tutor': '/tutor', 'stream_id': robot, 'threads': 1,
                'max_stride': 16}, __ns=f'/{robot}')
            processes[f'{robot} camera'] = start(f'{robot}-camera', 'replay_node', {
                'source': str(video), 'stamps': 'media', 'loop': True,
                'fps': options.fps}, __ns=f'/{robot}')
        return _watch(options, processes, collectors)


def _watch(
    options: argparse.Namespace, processes: Mapping[str, NodeProcess],
    collectors: Sequence[Collector],
) -> tuple[list[Verdict], list[int]]:
    usages: dict[str, list[Usage]] = {name: [] for name in processes}
    learnt: list[list[int]] = [[] for _ in collectors]
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < options.minutes * 60:
        for name, process in processes.items():
            process.check()
            usages[name].append(usage_of(process.pid, seconds))
        for collector, updates in zip(collectors, learnt):  # masks are best effort: it gets none
            updates.append(collector.status.updates_applied if collector.status else 0)
        print(f'{seconds:6.0f} s  ' + '  '.join(
            f'{name} {each[-1].memory_mb:.0f} MB' for name, each in usages.items())
            + f'  updates {[updates[-1] for updates in learnt]}', flush=True)
        time.sleep(options.period)
    if options.json is not None:
        replace_json(options.json, {name: [asdict(usage) for usage in each]
                                    for name, each in usages.items()})
    last = len(learnt[0]) * 3 // 4
    return ([judge(name, each, options.warm_up * 60) for name, each in usages.items()],
            [updates[-1] - updates[last] for updates in learnt])


def table(verdicts: Sequence[Verdict]) -> str:
    """Return a Markdown table of the verdicts."""
    lines = ['| process | MB | files | threads | grown |', '|---|---:|---:|---:|---|']
    for verdict in verdicts:
        first, last = verdict.first, verdict.last
        lines.append(f'| {verdict.process} | {first.memory_mb:.0f} to {last.memory_mb:.0f} | '
                     f'{first.files:g} to {last.files:g} | {first.threads:g} to {last.threads:g} '
                     f'| {", ".join(verdict.grown) or "-"} |')
    return '\n'.join(lines)


def main() -> int:
    """Run it and print the table; return the exit status."""
    parser = argparse.ArgumentParser('soak', description=__doc__)
    parser.add_argument('--minutes', type=float, default=30.0)
    parser.add_argument('--warm-up', type=float, default=5.0, help='minutes (default 5)')
    parser.add_argument('--robots', type=int, default=2)
    parser.add_argument('--fps', type=float, default=5.0)
    parser.add_argument('--period', type=float, default=5.0, help='seconds between two looks')
    parser.add_argument('--logs', type=Path, default=Path('benchmark/out/soak'))
    parser.add_argument('--json', type=Path, help='all looks, as JSON')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdicts, learnt = soak(options, Path(folder))
    print(f'\n{table(verdicts)}\n\nupdates in the last quarter: {learnt}')
    return int(any(verdict.grown for verdict in verdicts) or not all(learnt))


if __name__ == '__main__':
    sys.exit(main())
