# SPDX-License-Identifier: Apache-2.0
"""
Frames per second, latency and CPU time of a robot's frames over one to six weak devices.

Each device is a process that may use a part of one CPU. The robot is one side of the link
laboratory, its helpers are the other (as root, with iproute2 and nftables); --no-lab: no link.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, ExitStack
import itertools
import json
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from shadowtutor_ros.dds import profile_environment
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.netlab import NetLab, ROBOT, SERVER
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.harness.usage import usage_of
from shadowtutor_ros.share import config_folder

_CGROUPS = Path('/sys/fs/cgroup')
_PERIOD = 40_000  # microseconds: in shorter ones caches get lost, in longer ones devices rest
_CAMERA = Path(__file__).with_name('chair_camera.py')
_STUDENT = config_folder() / 'students' / 'lvs8.safetensors'
_UNIQUE = itertools.count()
_STARTS = 20.0  # seconds in which a helper has started again, on a weak device
_OVERLOAD = 1.05  # the camera's rate over what all devices together should do


@contextmanager
def quota(share: float) -> Iterator[tuple[str, ...]]:
    """Give what is put before a command so that it has ``share`` of one CPU; 0: all of it."""
    if share <= 0:
        yield ()
        return
    name = f'shadowtutor-{os.getpid()}-{next(_UNIQUE)}'
    allowed = round(share * _PERIOD)
    if (_CGROUPS / 'cgroup.controllers').exists():
        group = _CGROUPS / name
        files = {'cpu.max': f'{allowed} {_PERIOD}'}
    else:
        group = _CGROUPS / 'cpu' / name
        files = {'cpu.cfs_period_us': str(_PERIOD), 'cpu.cfs_quota_us': str(allowed)}
    group.mkdir()
    try:
        for file, text in files.items():
            (group / file).write_text(text)
        yield 'sh', '-c', f'echo $$ > {group}/cgroup.procs && exec "$@"', 'sh'
    finally:
        for _ in range(50):  # the kernel lets go of ended processes a moment later
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)


class Chair:
    """One robot and its helpers, on both sides of ``lab`` or on none."""

    def __init__(
        self, options: argparse.Namespace, lab: NetLab | None, stack: ExitStack, logs: Path,
    ) -> None:
        self._options = options
        self._lab = lab
        self._stack = stack
        self._logs = logs
        domain = stack.enter_context(own_domain())
        self._environment = {
            **os.environ, 'ROS_DOMAIN_ID': str(domain), 'PYTHONUNBUFFERED': '1',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET' if lab else 'LOCALHOST',
            **profile_environment('fastdds')}
        self.processes: dict[str, NodeProcess] = {}

    def robot(self, share: str) -> None:
        """Start the student node."""
        self._start('student_node', 'student', ROBOT, {
            'checkpoint': str(_STUDENT), 'share': share, 'threads': 1, 'device': 'cpu',
            'precision': self._options.precision, 'image_transport': 'compressed',
            'min_stride': 10_000, 'max_stride': 100_000, 'key_frame_format': 'jpeg',
            'share_quality': self._options.quality}, {'image': '/camera'})

    def helper(self, name: str) -> None:
        """Start a helper node."""
        self._start('helper_node', name, SERVER, {'threads': 1, 'device': 'cpu'},
                    {'__node': name})

    def measure(self, devices: int, rate: float, seconds: float) -> Measuring:
        """Begin to send frames."""
        command = [*self._on(ROBOT), sys.executable, str(_CAMERA), str(self._options.video),
                   '--size', *map(str, self._options.size), '--rate', str(rate),
                   '--devices', str(devices), '--seconds', str(seconds)]
        process = self._stack.enter_context(subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, text=True))
        self._stack.callback(process.terminate)
        return Measuring(process, self.processes)

    def _start(
        self, module: str, name: str, side: str, parameters: Mapping[str, object],
        remappings: Mapping[str, str],
    ) -> None:
        prefix = self._stack.enter_context(quota(self._options.share_of_a_cpu))
        process = NodeProcess(module, parameters, self._logs / f'{name}.log', remappings,
                              self._environment, (*prefix, *self._on(side)))
        self.processes[name] = self._stack.enter_context(process)

    def _on(self, side: str) -> tuple[str, ...]:
        return self._lab.command(side) if self._lab else ()


class Measuring:
    """What a camera sees while it measures, and what the nodes take meanwhile."""

    def __init__(self, process: subprocess.Popen[str], nodes: Mapping[str, NodeProcess]) -> None:
        self._process = process
        self._nodes = nodes
        self._line()
        self._before = self._cpu()

    def result(self) -> dict[str, Any]:
        """Return what was seen, with the CPU seconds of all nodes."""
        seen = json.loads(self._line())
        after = self._cpu()
        seen['cpu'] = {name: after[name] - self._before[name]
                       for name in after if name in self._before}
        return seen

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit('the camera has ended')
        return line

    def _cpu(self) -> dict[str, float]:
        return {name: usage_of(node.pid).cpu_seconds
                for name, node in self._nodes.items() if node.running}


def row_of(seen: Mapping[str, Any], mode: str, devices: int, loss: float) -> dict[str, Any]:
    """Return a row of the table."""
    seconds = seen['ended'] - seen['started']
    latencies = [1e3 * (arrived - stamp) for stamp, arrived in seen['seen']]
    stamps = [stamp for stamp, _ in seen['seen']]
    frames = len(stamps)
    return {
        'mode': mode, 'devices': devices, 'loss_percent': loss, 'fps': frames / seconds,
        'latency_ms_p50': float(np.percentile(latencies, 50)) if latencies else None,
        'latency_ms_p95': float(np.percentile(latencies, 95)) if latencies else None,
        'cpu_s_per_frame': sum(seen['cpu'].values()) / max(1, frames),
        'robot_cpu_s_per_frame': seen['cpu']['student'] / max(1, frames),
        'longest_pause_ms': 1e3 * max(np.diff([arrived for _, arrived in seen['seen']]),
                                      default=float('nan')),
        'in_order': stamps == sorted(stamps), 'works': seen['works'], 'did': seen['share']}


def rows(options: argparse.Namespace, lab: NetLab | None, logs: Path) -> Iterator[dict[str, Any]]:
    """Measure everything that is asked for."""
    single = None
    for loss in options.loss:
        if lab is not None:
            lab.lose(loss)
        for devices in options.devices:
            for mode in options.modes if devices > 1 else ('off',):
                with ExitStack() as stack:
                    chair = Chair(options, lab, stack, logs)
                    for number in range(1, devices):
                        chair.helper(f'helper{number}')
                    chair.robot(mode)
                    rate = options.rate or (
                        _OVERLOAD * devices * single if single else options.first_rate)
                    measuring = chair.measure(devices, rate, options.seconds)
                    row = row_of(measuring.result(), mode, devices, loss)
                single = single or row['fps']
                row['rate'] = rate
                yield row


def one_leaves(
    options: argparse.Namespace, lab: NetLab | None, logs: Path, rate: float,
) -> dict[str, Any]:
    """Kill one of the helpers, start it again at once, and say how masks came meanwhile."""
    devices = max(options.devices)
    before, after = options.seconds, _STARTS + options.seconds
    with ExitStack() as stack:
        chair = Chair(options, lab, stack, logs)
        for number in range(1, devices):
            chair.helper(f'helper{number}')
        chair.robot('frames')
        measuring = chair.measure(devices, rate, before + after)
        time.sleep(before)
        killed = time.time()
        chair.processes['helper1'].stop(signal.SIGKILL)
        chair.helper('helper1')
        seen = measuring.result()
        joined = joinings(logs / 'student.log', 'helper1')
    arrivals = np.array([arrived for _, arrived in seen['seen']])
    stamps = [stamp for stamp, _ in seen['seen']]
    begin = seen['started']
    counts, _ = np.histogram(arrivals - begin, np.arange(0, before + after + 1))
    return {'devices': devices, 'killed_at_s': killed - begin,
            'back_at_s': [at - begin for at in joined if at > killed],
            'masks_in_each_second': counts.tolist(), 'in_order': stamps == sorted(stamps),
            'longest_pause_ms': 1e3 * float(np.diff(arrivals).max())}


def joinings(log: Path, helper: str) -> list[float]:
    """Return when a student node's log says that a helper helps, in seconds of the epoch."""
    return [float(stamp) for stamp in re.findall(
        rf'\[(\d+\.\d+)\] \[student\]: /{helper} helps$', log.read_text(), re.MULTILINE)]


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw frames per second and latency over devices, a line for each mode and loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout='constrained')
    axes = figure.subplots(1, 2)
    alone = {row['loss_percent']: row for row in rows if row['devices'] == 1}
    for mode, loss in sorted({(row['mode'], row['loss_percent']) for row in rows} - {
            ('off', loss) for loss in alone}):
        line = sorted((row for row in rows if row['loss_percent'] == loss
                       and (row['mode'] == mode or row is alone.get(loss))),
                      key=lambda row: row['devices'])
        for axis, name in zip(axes, ('fps', 'latency_ms_p50')):
            axis.plot([row['devices'] for row in line], [row[name] for row in line],
                      'o:' if loss else 'o-', label=f'{mode}, {loss:g} % loss')
    for axis, title in zip(axes, ('frames per second', 'latency p50, ms')):
        axis.set(xlabel='devices', title=title, ylim=(0, None))
    axes[1].set(yscale='log', ylim=(100, None))
    axes[0].legend(fontsize='small')
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser('musical_chair', description=__doc__)
    parser.add_argument('video', type=Path)
    parser.add_argument('--devices', type=int, nargs='+', default=[1, 2, 3, 4, 5, 6])
    parser.add_argument('--modes', nargs='+', default=['frames', 'pipeline', 'auto'])
    parser.add_argument('--loss', type=float, nargs='+', default=[0.0, 5.0], help='percent')
    parser.add_argument('--mbps', type=float, help='limit of the link')
    parser.add_argument('--size', type=int, nargs=2, default=(640, 480))
    parser.add_argument('--quality', type=int, default=80, help='of the JPEGs for helpers')
    parser.add_argument('--precision', default='fp32', help='weak devices have no bf16')
    parser.add_argument('--share-of-a-cpu', type=float, default=0.25, help='0: all of it')
    parser.add_argument('--seconds', type=float, default=10.0, help='of each row')
    parser.add_argument('--rate', type=float, help="the camera's, in every row")
    parser.add_argument('--first-rate', type=float, default=8.0, help='before one is measured')
    parser.add_argument('--plot', type=Path, help='a picture of the table')
    parser.add_argument('--logs', type=Path, help='folder that is kept')
    parser.add_argument('--no-lab', action='store_true')
    parser.add_argument('--no-leaving', action='store_true')
    parser.add_argument('--json', type=Path, default=Path('musical_chair.json'))
    options = parser.parse_args()
    with ExitStack() as stack:
        logs = options.logs or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = None if options.no_lab else stack.enter_context(NetLab())
        if lab is not None and options.mbps:
            lab.shape(options.mbps)
        found: dict[str, Any] = {'rows': []}
        for row in rows(options, lab, logs):
            found['rows'].append(row)
            options.json.write_text(json.dumps(found, indent=1))
            print(' '.join(f'{name} {value:.1f}' if isinstance(value, float) and value > 1
                           else f'{name} {value}' for name, value in row.items()), flush=True)
        if not options.no_leaving:
            if lab is not None:
                lab.lose(0.0)
            best = max((row['fps'] for row in found['rows']), default=options.first_rate)
            found['one_leaves'] = one_leaves(options, lab, logs, _OVERLOAD * best)
            options.json.write_text(json.dumps(found, indent=1))
            print(found['one_leaves'])
    if options.plot:
        plot(found['rows'], options.plot)


if __name__ == '__main__':
    main()
