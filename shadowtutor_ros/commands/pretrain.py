# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor pretrain``: a first student from videos or annotated pictures."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from shadowtutor_ros.commands.arguments import (
    add_checkpoint,
    add_topic,
    positive,
    positive_int,
    warn,
)
from shadowtutor_ros.commands.teachers import add_teacher_arguments, teachers

if TYPE_CHECKING:
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.pretrain.footage import Footage
    from shadowtutor_ros.pretrain.training import Pretraining


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('videos', nargs='*', type=Path, metavar='VIDEO',
                        help='video file, image folder or rosbag')
    parser.add_argument('--coco', nargs=2, action='append', default=[], type=Path,
                        metavar=('IMAGES', 'ANNOTATIONS'),
                        help='a folder of pictures and their annotations in COCO format (.json); '
                             'may be given several times')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE',
                        help='the student (.safetensors); the same command goes on where it was')
    add_topic(parser)
    add_teacher_arguments(parser)
    parser.add_argument('--every', type=positive_int, default=5, metavar='N',
                        help='of the videos each N-th frame (default %(default)s)')
    parser.add_argument('--frames', type=positive_int, metavar='N',
                        help='of each video the first N at most, before --every')
    parser.add_argument('--hold-out', action='append', default=[], metavar='NAME',
                        help='a video (its file name) or annotations (without .json) to judge by '
                             'and not to train on; may be given several times; default: every '
                             'fifth from the last back')
    parser.add_argument('--steps', type=positive_int, default=4000,
                        help='training steps (default %(default)s)')
    parser.add_argument('--batch', type=positive_int, default=8,
                        help='crops of a step (default %(default)s)')
    parser.add_argument('--learning-rate', type=positive, default=0.002,
                        help="AdamW's largest step size (default %(default)s)")
    parser.add_argument('--judge-every', type=positive_int, default=250, metavar='N',
                        help='steps between looks at the clips held out (default %(default)s)')
    parser.add_argument('--fp32', action='store_true', help='keep fp32 weights; default: fp16')
    add_checkpoint(parser, 'random')
    parser.add_argument('--classes', default='lvs8', help='class set (default %(default)s)')
    parser.add_argument('--device', default='auto', help='torch device (default %(default)s)')
    parser.add_argument('--threads', type=positive_int, default=os.cpu_count() or 1,
                        help='torch CPU threads (default %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Label, train and say how good the best student is."""
    import torch

    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.model.device import pick_device
    from shadowtutor_ros.model.first_student import first_student
    from shadowtutor_ros.pretrain.footage import hold_out
    from shadowtutor_ros.pretrain.training import PretrainError, Pretraining, PretrainSettings
    from shadowtutor_ros.share import config_file
    from shadowtutor_ros.whole_file import make_folder

    if arguments.out.suffix != '.safetensors':
        raise PretrainError(f'--out: expected a .safetensors file, got {arguments.out}')
    torch.set_num_threads(arguments.threads)
    classes = ClassSet.load(config_file(arguments.classes, 'classes'))
    device = str(pick_device(arguments.device))
    trained, held_out = hold_out(_footage(arguments, classes, device), arguments.hold_out)
    print(f'{sum(len(each.samples) for each in trained)} pictures of {len(trained)} clips to '
          f'train on; held out: {", ".join(each.name for each in held_out)}')
    make_folder(arguments.out.parent)
    training = Pretraining(
        first_student(arguments.checkpoint, classes, arguments.seed, device), trained, held_out,
        PretrainSettings(steps=arguments.steps, batch=arguments.batch,
                         learning_rate=arguments.learning_rate,
                         judge_every=arguments.judge_every, seed=arguments.seed),
        arguments.out, torch.float32 if arguments.fp32 else torch.float16)
    _train(training, arguments.out)
    return 0


def _footage(arguments: argparse.Namespace, classes: ClassSet, device: str) -> list[Footage]:
    from shadowtutor_ros.evaluation.clip import Clip
    from shadowtutor_ros.pretrain.coco import read_coco
    from shadowtutor_ros.pretrain.footage import label_footage
    footage = [read_coco(images, annotations, classes) for images, annotations in arguments.coco]
    clips = [Clip(path, arguments.frames, arguments.every, arguments.topic)
             for path in arguments.videos]
    if clips:
        teacher_of = teachers(arguments, classes, device, len(clips) > 1)
        footage = [label_footage(clip, teacher_of(clip), classes) for clip in clips] + footage
        for clip in clips:
            warn(clip.damage)
    return footage


def _train(training: Pretraining, out: Path) -> None:
    from tqdm import tqdm
    with tqdm(total=training.settings.steps, initial=training.step, desc='training', disable=None,
              unit='step') as bar:
        def on_judged(step: int, metric: float, best: bool) -> None:
            bar.write(f'step {step}: mIoU {100 * metric:.1f} % on the clips held out'
                      + (', the best so far' if best else ''))

        def on_step(step: int, loss: float) -> None:
            bar.set_postfix(loss=f'{loss:.3f}', refresh=False)
            bar.update()
        try:
            best = training.run(on_step, on_judged)
        except KeyboardInterrupt:
            bar.write(f'{out}: the best so far' if out.is_file() else f'{out}: not yet there')
            raise
    print(f'{out}: mIoU {100 * best:.1f} % on the clips held out')
