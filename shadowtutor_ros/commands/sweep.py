# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor sweep``: throughput against bandwidth, measured beside the equations (Fig. 4)."""

from __future__ import annotations

import argparse
from pathlib import Path
import signal

from shadowtutor_ros.commands.arguments import add_topic, positive, positive_int

_PAPER_MBPS = '90,80,60,40,20,12,8'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('video', type=Path, help='video file, image folder or rosbag')
    add_topic(parser)
    parser.add_argument('--labels', type=Path, required=True, metavar='DIR',
                        help='its label maps: folder of PNGs, .npz or .h5')
    parser.add_argument('--mbps', type=_list_of_mbps, default=_PAPER_MBPS, metavar='A,B,...',
                        help='bandwidths of each direction (default %(default)s)')
    parser.add_argument('--frames', type=_two_or_more, default=120, metavar='N',
                        help='of the video with ShadowTutor (default %(default)s)')
    parser.add_argument('--naive-frames', type=_two_or_more, default=12, metavar='N',
                        help='offloaded naively (default %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('sweep_out'), metavar='DIR',
                        help='sweep.json and the logs of all nodes (default %(default)s)')
    parser.add_argument('--classes', default='lvs8', help='class set (default %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Run the sweep, write ``sweep.json`` and print the table."""
    from shadowtutor_ros.evaluation.sweep import run_sweep, SweepSettings
    from shadowtutor_ros.whole_file import make_folder

    # Ended from outside, it must still take its namespaces down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    make_folder(arguments.out)
    sweep = run_sweep(SweepSettings(
        arguments.video, arguments.labels, arguments.out, arguments.mbps, arguments.frames,
        arguments.naive_frames, arguments.classes, arguments.topic),
        lambda line: print(line, flush=True))
    sweep.write(arguments.out / 'sweep.json')
    print(f'\n{sweep.table()}\n')
    if sweep.note:
        print(sweep.note)
    outside = [f'{p.mbps:g}' for p in sweep.points if p.inside is False]
    if outside:
        print(f'Outside its bounds at {", ".join(outside)} Mbps.')
    print(f'{arguments.out}/: sweep.json, logs/')
    return 0


def _list_of_mbps(text: str) -> tuple[float, ...]:
    return tuple(positive(part) for part in text.split(','))


def _two_or_more(text: str) -> int:
    """Return a number of frames that has an interval between them."""
    if positive_int(text) < 2:
        raise argparse.ArgumentTypeError(f'expected 2 frames or more, got {text}')
    return int(text)
