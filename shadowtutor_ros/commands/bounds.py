# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor bounds``: throughput and traffic by equations 2-15, and advice."""

from __future__ import annotations

import argparse
from dataclasses import asdict
import json
import os
from pathlib import Path

from shadowtutor_ros.commands.arguments import add_topic, not_negative, positive, positive_int
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.evaluation import bounds
from shadowtutor_ros.evaluation.bounds import Limits, Measured


class BoundsError(ShadowTutorError):
    """The bounds cannot be computed from what is given."""


_GIVEN = {
    't_si': 'student inference of one frame, seconds',
    't_sd': 'one distillation step, seconds',
    't_ti': 'teacher inference, seconds',
    't_net': 'network time of one key frame in both directions, seconds',
    's_net': 'bytes of one key frame in both directions',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    for name, words in _GIVEN.items():
        parser.add_argument(f'--{name.replace("_", "-")}', type=not_negative, help=words)
    parser.add_argument('--min-stride', type=positive_int, default=8)
    parser.add_argument('--max-stride', type=positive_int, default=64)
    parser.add_argument('--max-updates', type=positive_int, default=8)
    parser.add_argument('--fps', type=positive, help='throughput that is wanted for certain')
    parser.add_argument('--mbps', type=positive,
                        help='bandwidth: gives t_net where that is not given, and advice')
    parser.add_argument('--measure', action='store_true',
                        help='measure on this machine what is not given, but t_net')
    parser.add_argument('--video', type=Path, help='--measure: takes its first frame; default: '
                                                   'the fetched clip')
    add_topic(parser)
    parser.add_argument('--teacher-weights', type=Path,
                        help='--measure: YOLO .pt file; default: yolov7-seg, fetched')
    parser.add_argument('--setting', default='partial',
                        help='--measure: setting of config/evaluation (default %(default)s)')
    parser.add_argument('--threads', type=positive_int, default=os.cpu_count() or 1,
                        help='--measure: torch CPU threads (default %(default)s)')
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(arguments: argparse.Namespace) -> int:
    """Print the bounds."""
    try:
        limits = Limits(arguments.min_stride, arguments.max_stride, arguments.max_updates)
        measured = _measured(arguments)
    except ValueError as error:
        raise BoundsError(str(error)) from error
    fps, mbps = bounds.throughput_fps(measured, limits), bounds.traffic_mbps(measured, limits)
    advice = _advice(arguments, measured, limits)
    if arguments.json:
        print(json.dumps({**asdict(measured), **asdict(limits), 'throughput_fps': fps,
                          'traffic_mbps': mbps, 'advice': advice}, indent=2))
        return 0
    for name, words in _GIVEN.items():
        print(f'{name:6} {getattr(measured, name):<12.6g} {words}')
    print(f'\nMIN_STRIDE {limits.min_stride}, MAX_STRIDE {limits.max_stride}, '
          f'MAX_UPDATES {limits.max_updates}\n'
          f'throughput  {fps[0]:.2f} to {fps[1]:.2f} frames per second (equations 14, 15)\n'
          f'traffic     {mbps[0]:.2f} to {mbps[1]:.2f} Mbps (equations 8, 12)')
    for sentence in advice:
        print(f'\n{sentence}')
    return 0


def _measured(arguments: argparse.Namespace) -> Measured:
    given = {name: getattr(arguments, name) for name in _GIVEN
             if getattr(arguments, name) is not None}
    if arguments.measure:
        given = {**asdict(_measure(arguments)), **given}
        if arguments.t_net is None:
            del given['t_net']
    if arguments.mbps is not None and 's_net' in given:
        given.setdefault('t_net', bounds.network_seconds(given['s_net'], arguments.mbps))
    if missing := [name for name in _GIVEN if name not in given]:
        options = ', '.join('--' + name.replace('_', '-') for name in missing)
        raise BoundsError(f'expected {options}; --measure measures on this machine, '
                          '--mbps gives the network time')
    return Measured(**given)


def _measure(arguments: argparse.Namespace) -> Measured:
    import torch

    from shadowtutor_ros.assets import clip, teacher_weights
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.evaluation.latencies import measure
    from shadowtutor_ros.evaluation.setting import load_setting
    from shadowtutor_ros.model.device import pick_device
    from shadowtutor_ros.model.student import Student, StudentInfo
    from shadowtutor_ros.share import config_file
    from shadowtutor_ros.sources import open_source
    from shadowtutor_ros.teacher.factory import create_teacher
    from shadowtutor_ros.video import VideoError

    torch.set_num_threads(arguments.threads)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    device = str(pick_device('auto'))
    video = arguments.video or clip()
    frame = next(iter(open_source(str(video), arguments.topic)), None)
    if frame is None:
        raise VideoError(f'{video}: the video has no frames')
    weights = arguments.teacher_weights or teacher_weights()
    first = Student.random(StudentInfo(classes.names, classes.colours), 0, device)
    teacher = create_teacher('yolo', classes, weights=str(weights), device=device)
    return measure(load_setting(arguments.setting), first, teacher, frame)


def _advice(arguments: argparse.Namespace, measured: Measured, limits: Limits) -> list[str]:
    sentences = []
    if arguments.fps is not None:
        stride = bounds.least_min_stride_for_fps(measured, limits, arguments.fps)
        updates = (None if measured.t_sd == 0
                   else bounds.largest_max_updates(measured, limits, arguments.fps))
        if updates is not None:
            sentences.append(f'{arguments.fps:g} FPS for certain with MIN_STRIDE '
                             f'{limits.min_stride}: MAX_UPDATES {updates} at most.')
        if stride is None:
            sentences.append(f'{arguments.fps:g} FPS are out of reach: the student alone takes '
                             f'{measured.t_si:.3g} s a frame.')
        else:
            sentences.append(f'{arguments.fps:g} FPS for certain with MAX_UPDATES '
                             f'{limits.max_updates}: MIN_STRIDE {stride} or more, MAX_STRIDE '
                             'not below it.')
    if arguments.mbps is not None:
        stride = bounds.least_min_stride_for_mbps(measured, arguments.mbps)
        sentences.append(f'Never above {arguments.mbps:g} Mbps: MIN_STRIDE {stride} or more, '
                         'MAX_STRIDE not below it.')
    return sentences
