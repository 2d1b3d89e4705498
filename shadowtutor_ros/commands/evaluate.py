# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor evaluate``: the paper's tables and figures on any video."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
import os
from pathlib import Path

from shadowtutor_ros.commands.arguments import add_checkpoint, add_topic, positive_int, warn
from shadowtutor_ros.commands.teachers import (
    add_teacher_arguments,
    teacher_and_weights,
    teachers,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('videos', nargs='+', type=Path, metavar='VIDEO',
                        help='video file, image folder or rosbag')
    add_topic(parser)
    add_teacher_arguments(parser)
    parser.add_argument('--settings', default='paper,naive-jpeg,ours', metavar='A,B,...',
                        help='settings of config/evaluation or YAML files; paper stands for all '
                             'of the paper (default %(default)s)')
    parser.add_argument('--frames', type=positive_int, metavar='N', help='of each video at most')
    parser.add_argument('--out', type=Path, default=Path('evaluation_out'), metavar='DIR',
                        help='results; the same command continues there (default %(default)s)')
    add_checkpoint(parser, None, "the setting's: random for the paper's, default for ours")
    parser.add_argument('--task', default='auto', metavar='NAME',
                        help='segmentation or detection (default: that of the checkpoint, '
                             'segmentation without one)')
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
    from shadowtutor_ros.model.first_student import first_student
    from shadowtutor_ros.share import config_file
    from shadowtutor_ros.video import VideoError
    from shadowtutor_ros.whole_file import make_folder

    torch.set_num_threads(arguments.threads)
    classes = ClassSet.load(config_file(arguments.classes, 'classes'))
    settings = load_settings(arguments.settings.split(','))
    clips = [Clip(path, arguments.frames, topic=arguments.topic) for path in arguments.videos]
    if len({clip.name for clip in clips}) < len(clips):
        raise VideoError('expected videos of different names, got '
                         + ', '.join(str(clip.path) for clip in clips))
    device = pick_device(arguments.device)
    make_folder(arguments.out)
    results = evaluate(Evaluation(
        clips, settings, classes,
        lambda setting: first_student(
            setting.checkpoint if arguments.checkpoint is None else arguments.checkpoint, classes,
            arguments.seed, device, arguments.task),
        teachers(arguments, classes, str(device), len(clips) > 1), arguments.out,
        _tutor_parameters(arguments, len(clips)) if arguments.ros else None,
        arguments.checkpoint, arguments.seed))
    print('\n' + write_report(results))
    for clip in clips:
        warn(clip.damage)
    print(f'{arguments.out}/: report.html, report.md, summary.json, runs/*/*/frames.csv')
    return 0


def _tutor_parameters(arguments: argparse.Namespace, clips: int) -> Mapping[str, object]:
    """Return the tutor node's parameters that make it this evaluation's tutor."""
    from shadowtutor_ros.evaluation.run import RunError
    if arguments.labels is not None and clips > 1:
        raise RunError('--ros with --labels: expected one video')
    name, weights = (('labels', str(arguments.labels.resolve())) if arguments.labels is not None
                     else teacher_and_weights(arguments))
    return {'teacher': name, 'teacher_weights': weights, 'classes': arguments.classes,
            'seed': arguments.seed, 'device': arguments.device,
            **({} if arguments.checkpoint is None
               else {'checkpoint': _from_anywhere(arguments.checkpoint)})}


def _from_anywhere(checkpoint: str) -> str:
    from shadowtutor_ros.model.first_student import DEFAULT, RANDOM
    if checkpoint in (DEFAULT, RANDOM):
        return checkpoint
    return str(Path(checkpoint).expanduser().resolve())
