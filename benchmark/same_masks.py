# SPDX-License-Identifier: Apache-2.0
"""
The mIoU of a whole run, by the product and by the paper's network, plainly written.

    scripts/in_env.sh python benchmark/same_masks.py VIDEO ... [--frames 300] [--setting ours]

Every frame is segmented by both with the weights that the student has just then. Two runs in
which each also learns by itself say less: training amplifies rounding, so they part after a few
key frames, in either direction.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from reference import Reference
import torch
from tqdm import tqdm

from shadowtutor_ros.assets import teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelledClip
from shadowtutor_ros.evaluation.run import local_loop
from shadowtutor_ros.evaluation.setting import load_setting, Setting
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.factory import create_teacher


def compare(labelled: LabelledClip, setting: Setting, first: Student) -> dict[str, float]:
    """Return both mIoU in percent, and the share of equal pixels over all frames and at worst."""
    loop = local_loop(setting, first, labelled.labels)
    classes = len(first.info.class_names)
    ours, theirs, equal = [], [], []
    version, reference = -1, None
    for index, frame in enumerate(tqdm(labelled.clip, total=labelled.count)):
        label = labelled.label(index).class_ids
        if reference is None or loop.version != version:
            version = loop.version
            reference = Reference(
                loop.student.weights(FULL), first.info.mean, first.info.std)
        mask = loop.segment(frame, labelled.clip.stamp(index))
        other = reference.segment(frame)
        loop.settle()
        ours.append(mean_iou_of_masks(mask, label, classes))
        theirs.append(mean_iou_of_masks(other, label, classes))
        equal.append(float((mask == other).mean()))
    return {'miou_product': 100 * float(np.mean(ours)),
            'miou_reference': 100 * float(np.mean(theirs)),
            'equal_pixels': 100 * float(np.mean(equal)),
            'equal_pixels_worst_frame': 100 * min(equal)}


def main() -> None:
    """Compare and print one line of JSON per video."""
    parser = argparse.ArgumentParser(description='the same masks as the plain network')
    parser.add_argument('videos', nargs='+', type=Path, metavar='VIDEO')
    parser.add_argument('--frames', type=int, default=300)
    parser.add_argument('--setting', default='ours')
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    teacher = create_teacher('yolo', classes, weights=str(teacher_weights()))
    setting = load_setting(arguments.setting)
    for video in arguments.videos:
        labelled = label_clip(Clip(video, arguments.frames), teacher, classes)
        first = Student.random(StudentInfo(classes.names, classes.colours), 0)
        print(json.dumps({'video': video.name, **compare(labelled, setting, first)}))


if __name__ == '__main__':
    main()
