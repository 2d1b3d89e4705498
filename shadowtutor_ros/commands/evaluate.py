# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor evaluate``: the paper's tables and figures on any video."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
import os
from pathlib import Path
from typing import TYPE_CHECKING

from shadowtutor_ros.commands.arguments import positive_int

if TYPE_CHECKING:
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.evaluation.clip import Clip
    from shadowtutor_ros.model.student import Student
    from shadowtutor_ros.teacher.protocol import Teacher

# Teachers that are fetched by name; others are teachers of the tutor node.
_FETCHED = ('yolov7-seg', 'yolov5s-seg')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('videos', nargs='+', type=Path, metavar='VIDEO',
                        help='video file, image folder or rosbag')
    parser.add_argument('--teacher', default='yolov7-seg', metavar='NAME',
                        help=f'{", ".join(_FETCHED)} (fetched), or a teacher of tutor_node '
                             '(default %(default)s)')
    parser.add_argument('--teacher-weights', type=Path, metavar='FILE',
                        help='weights of a teacher of tutor_node')
    parser.add_argument('--labels', type=Path, metavar='DIR',
                        help='given label maps instead of a teacher: of the video, or for '
                             'several videos DIR/<name of the video without its suffix>')
    parser.add_argument('--settings', default='paper,naive-jpeg,ours', metavar='A,B,...',
                        help='settings of config/evaluation or YAML files; paper stands for all '
                             'of the paper (default %(default)s)')
    parser.add_argument('--frames', type=positive_int, metavar='N', help='of each video at most')
    parser.add_argument('--out', type=Path, default=Path('evaluation_out'), metavar='DIR',
                        help='results; the same command continues there (default %(default)s)')
    parser.add_argument('--checkpoint', type=Path, metavar='FILE',
                        help='first student (.safetensors, .pth); default: random weights')
    parser.add_argument('--seed', type=int, default=0, help='of the random weights')
    parser.add_argument('--classes', default='lvs8', help='class set (default %(default)s)')
    parser.add_argument('--device', default='auto', help='torch device (default %(default)s)')
    parser.add_argument('--threads', type=positive_int, default=os.cpu_count() or 1,
                        help='torch CPU threads (default %(default)s)')
    parser.add_argument('--ros', action='store_true',
                        help='run the distilling settings over the real nodes and DDS')


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the report and print its tables."""
    import torch

    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.evaluation.clip import Clip
    from shadowtutor_ros.evaluation.evaluate import evaluate, Evaluation
    from shadowtutor_ros.evaluation.report.report import write_report
    from shadowtutor_ros.evaluation.setting import load_settings
    from shadowtutor_ros.model.device import pick_device
    from shadowtutor_ros.share import config_file
    from shadowtutor_ros.video import VideoError

    torch.set_num_threads(arguments.threads)
    classes = ClassSet.load(config_file(arguments.classes, 'classes'))
    settings = load_settings(arguments.settings.split(','))
    clips = [Clip(path, arguments.frames) for path in arguments.videos]
    if len({clip.name for clip in clips}) < len(clips):
        raise VideoError('expected videos of different names, got '
                         + ', '.join(str(clip.path) for clip in clips))
    device = pick_device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = evaluate(Evaluation(
        clips, settings, classes, _first_student(arguments, classes, str(device)),
        _teachers(arguments, classes, str(device), len(clips) > 1), arguments.out,
        _tutor_parameters(arguments, len(clips)) if arguments.ros else None))
    print('\n' + write_report(results))
    print(f'{arguments.out}/: report.html, report.md, summary.json, runs/*/*/frames.csv')
    return 0


def _first_student(
    arguments: argparse.Namespace, classes: ClassSet, device: str,
) -> Student:
    from shadowtutor_ros.model.checkpoint import load_checkpoint
    from shadowtutor_ros.model.student import Student, StudentInfo
    info = StudentInfo(classes.names, classes.colours)
    if arguments.checkpoint is None:
        return Student.random(info, arguments.seed, device)
    return load_checkpoint(arguments.checkpoint, info, device)


def _teachers(
    arguments: argparse.Namespace, classes: ClassSet, device: str, several: bool,
) -> Callable[[Clip], Teacher]:
    """Return what makes the teacher of a clip; a network is loaded once."""
    from shadowtutor_ros.teacher.factory import create_teacher
    if arguments.labels is not None:
        def given(clip: Clip) -> Teacher:
            path = arguments.labels / clip.path.stem if several else arguments.labels
            return create_teacher('labels', classes, weights=str(path), fps=clip.fps)
        return given
    name, weights = _teacher_and_weights(arguments)
    teacher = create_teacher(name, classes, weights=weights, device=device)
    return lambda clip: teacher


def _teacher_and_weights(arguments: argparse.Namespace) -> tuple[str, str]:
    from shadowtutor_ros.assets import teacher_weights
    if arguments.teacher in _FETCHED:
        return 'yolo', str(teacher_weights(f'{arguments.teacher}.pt'))
    return arguments.teacher, str(arguments.teacher_weights or '')


def _tutor_parameters(arguments: argparse.Namespace, clips: int) -> Mapping[str, object]:
    """Return the tutor node's parameters that make it this evaluation's tutor."""
    from shadowtutor_ros.evaluation.run import RunError
    if arguments.labels is not None and clips > 1:
        raise RunError('--ros with --labels: expected one video')
    name, weights = (('labels', str(arguments.labels.resolve())) if arguments.labels is not None
                     else _teacher_and_weights(arguments))
    return {'teacher': name, 'teacher_weights': weights, 'classes': arguments.classes,
            'seed': arguments.seed, 'device': arguments.device,
            **({'checkpoint': str(arguments.checkpoint.resolve())}
               if arguments.checkpoint is not None else {})}
