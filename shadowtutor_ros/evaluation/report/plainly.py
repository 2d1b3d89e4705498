# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found, in sentences."""

from __future__ import annotations

from shadowtutor_ros.evaluation.evaluate import Evaluation, Results
from shadowtutor_ros.evaluation.report.terms import terms_of
from shadowtutor_ros.evaluation.setting import Setting, WILD
from shadowtutor_ros.model.first_student import DEFAULT, RANDOM


def plainly(results: Results) -> list[str]:
    """Return what was compared, with what, from where and how often, and what came out."""
    evaluation = results.evaluation
    settings = evaluation.settings
    teachers = ' and '.join(sorted({clip.teacher for clip in results.labelled.values()}))
    said = [
        f'{_count(len(settings), "setting")} on {_count(len(results.labelled), "video")}, each '
        'run once. Another first student or another clip gives other digits, often by some points'
        + ('.' if evaluation.nodes is None else '; so does the same run over the real nodes.'),
        f'Every frame is judged by what {teachers} says of it. 100 % is that teacher, not the '
        'truth.']
    said += _first_students(evaluation)
    said += [_outcome(results, setting) for setting in settings]
    wild = [setting.name for setting in settings if setting.kind == WILD]
    if wild:
        said.append(f'{" and ".join(wild)} is the first student alone: what a robot has that no '
                    'tutor ever taught.')
    return said


def _first_students(evaluation: Evaluation) -> list[str]:
    began: dict[str, list[str]] = {}
    for setting in evaluation.settings:
        checkpoint = evaluation.checkpoint or setting.checkpoint
        words = {RANDOM: f'random weights (seed {evaluation.seed})',
                 DEFAULT: 'the shipped student of the class set, random weights if it has none'}
        began.setdefault(words.get(checkpoint, checkpoint), []).append(setting.name)
    return [f'{", ".join(names)} began with {first}.' for first, names in began.items()]


def _outcome(results: Results, setting: Setting) -> str:
    runs = [of[setting.name] for of in results.summaries.values()]
    miou = sum(run.miou for run in runs) / len(runs)
    frames = sum(run.frames for run in runs)
    traffic = sum(run.bytes_up + run.bytes_down for run in runs) / frames / 1024
    metric = terms_of(results.evaluation.task).metric
    return f'{setting.name}: {metric} {miou:.1f} %, {traffic:.1f} KiB a frame both ways.'


def _count(number: int, what: str) -> str:
    return f'{number} {what}' + ('' if number == 1 else 's')
