# SPDX-License-Identifier: Apache-2.0
"""Run settings on videos and keep what came out; finished parts are not run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import hashlib
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from shadowtutor_ros import __version__
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelledClip
from shadowtutor_ros.evaluation.run import OnFrame, Run, run_in_process, RunError
from shadowtutor_ros.evaluation.setting import DISTILL, NAIVE, Setting
from shadowtutor_ros.evaluation.store import RunStore
from shadowtutor_ros.evaluation.summary import Summaries, summarise, write_summary
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.tasks.table import SEGMENTATION
from shadowtutor_ros.teacher.protocol import Teacher
from shadowtutor_ros.wire.key_frame import RAW

EXAMPLES = 3  # frames of each video that are shown


@dataclass(frozen=True)
class Evaluation:
    """
    What is run: every setting on every clip.

    ``teacher_of(clip)`` gives the labels, ``first_of(setting)`` the student that runs begin with.
    ``nodes`` are the tutor node's parameters for runs over ROS, None for runs in one process.
    ``checkpoint`` and ``seed`` are what those students are, for the report; None: the settings'.
    """

    clips: Sequence[Clip]
    settings: Sequence[Setting]
    classes: ClassSet
    first_of: Callable[[Setting], Student]
    teacher_of: Callable[[Clip], Teacher]
    out: Path
    nodes: Mapping[str, object] | None = None
    checkpoint: str | None = None
    seed: int = 0

    @property
    def task(self) -> str:
        """The task of all students."""
        return self.first_of(self.settings[0]).info.task


@dataclass(frozen=True)
class Results:
    """The runs by video and setting, and their figures."""

    evaluation: Evaluation
    labelled: dict[str, LabelledClip]
    runs: dict[str, dict[str, Run]]
    summaries: Summaries


def evaluate(evaluation: Evaluation) -> Results:
    """
    Label all clips, run all settings and write ``summary.json`` and ``runs/``.

    Raise VideoError, TeacherError or RunError, and over ROS TrialError or ProcessDied.
    """
    store = RunStore(evaluation.out / 'runs', evaluation.classes.names)
    labelled = {clip.name: label_clip(clip, evaluation.teacher_of(clip), evaluation.classes)
                for clip in evaluation.clips}
    runs: dict[str, dict[str, Run]] = {name: {} for name in labelled}
    todo = [(clip, setting) for clip in labelled.values() for setting in evaluation.settings]
    for number, (clip, setting) in enumerate(todo, 1):
        video = clip.clip.name
        identity = _identity(evaluation, clip, setting)
        run = store.load(video, setting.name, identity)
        if run is None:
            with tqdm(total=clip.count, unit='frame', disable=None,
                      desc=f'[{number}/{len(todo)}] {video}: {setting.name}') as bar:
                run = _run(evaluation, clip, setting, lambda index: bar.update())
            store.save(video, setting.name, identity, run)
        runs[video][setting.name] = run
    summaries = {
        name: {s.name: summarise(runs[name][s.name], evaluation.classes.names,
                                 min(s.resample_fps or clip.clip.fps, clip.clip.fps))
               for s in evaluation.settings}
        for name, clip in labelled.items()}
    write_summary(evaluation.out / 'summary.json', summaries, _about(evaluation, labelled))
    return Results(evaluation, labelled, runs, summaries)


def examples_of(count: int) -> list[int]:
    """Return the frames that are shown, spread over the video."""
    return sorted({(2 * i + 1) * count // (2 * EXAMPLES) for i in range(EXAMPLES)})


def _run(
    evaluation: Evaluation, clip: LabelledClip, setting: Setting, on_frame: OnFrame,
) -> Run:
    examples = examples_of(clip.count)
    if evaluation.nodes is not None and evaluation.task != SEGMENTATION:
        raise RunError(f'over ROS: expected the task {SEGMENTATION}, got {evaluation.task}')
    logs = evaluation.out / 'logs' / clip.clip.name / setting.name
    over_ros = _over_ros(evaluation, setting)
    if over_ros and setting.kind == DISTILL:
        from shadowtutor_ros.evaluation.over_ros import Nodes, run_over_ros
        return run_over_ros(clip, setting, Nodes(evaluation.nodes or {}, logs),
                            evaluation.first_of(setting).info, examples, on_frame)
    run = run_in_process(clip, setting, evaluation.first_of(setting), examples, on_frame)
    if over_ros:
        from shadowtutor_ros.evaluation.over_ros import naive_seconds, Nodes
        run.seconds = naive_seconds(clip, Nodes(evaluation.nodes or {}, logs))
    return run


def _over_ros(evaluation: Evaluation, setting: Setting) -> bool:
    """Say whether the nodes have a part in it: they offload raw frames only."""
    return (evaluation.nodes is not None and not setting.resample_fps and (
        setting.kind == DISTILL or (setting.kind == NAIVE and setting.key_frames.format == RAW)))


def _identity(evaluation: Evaluation, clip: LabelledClip, setting: Setting) -> dict[str, Any]:
    """Return all that the accuracy of a run depends on."""
    first = evaluation.first_of(setting)
    return {'version': __version__, 'clip': clip.key, 'frames': clip.count,
            'setting': setting.identity(), 'first': _digest(first),
            'over_ros': dict(evaluation.nodes or {}) if _over_ros(evaluation, setting) else None,
            'device': str(first.device), 'threads': torch.get_num_threads()}


def _about(evaluation: Evaluation, labelled: Mapping[str, LabelledClip]) -> dict[str, Any]:
    return {
        'version': __version__, 'mode': 'ros' if evaluation.nodes is not None else 'in-process',
        'first_students': {setting.name: _digest(evaluation.first_of(setting))
                           for setting in evaluation.settings},
        'threads': torch.get_num_threads(),
        'task': evaluation.task, 'classes': evaluation.classes.name,
        'teachers': {name: clip.teacher for name, clip in labelled.items()},
        'settings': {setting.name: setting.identity() for setting in evaluation.settings}}


def _digest(student: Student) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(student.weights(FULL).items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
