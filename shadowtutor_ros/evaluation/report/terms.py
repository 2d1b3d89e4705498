# SPDX-License-Identifier: Apache-2.0
"""What the figures of a task are called in a report."""

from __future__ import annotations

from dataclasses import dataclass

from shadowtutor_ros.tasks.table import DETECTION, SEGMENTATION


@dataclass(frozen=True)
class Terms:
    """
    ``metric`` is what the task's metric is called, ``of_class`` a class' score.

    ``meaning`` and ``of_class_meaning`` say in a sentence each what they are; ``papers`` whether
    the paper has figures of that metric.
    """

    metric: str
    of_class: str
    meaning: str
    of_class_meaning: str
    papers: bool = False


_PLAIN = Terms('metric', 'Score', "The task's own.", 'Mean over the frames that have the class.')

_TERMS = {
    SEGMENTATION: Terms(
        'mIoU', 'IoU',
        'Each frame over the classes that the label or the mask has, background included.',
        'Mean over the frames where the label or the mask has the class: a class that only the '
        'mask has counts as 0.', papers=True),
    DETECTION: Terms(
        'box quality', 'Box quality',
        'Each frame over the classes of which the teacher or the student has a box: how many '
        'objects both have, and how well their boxes agree.',
        'Mean over the frames where the teacher or the student has a box of the class: a class '
        'that only the student has counts as 0.'),
}


def terms_of(task: str) -> Terms:
    """Return the terms of a task, plain ones for a task from elsewhere."""
    return _TERMS.get(task, _PLAIN)
