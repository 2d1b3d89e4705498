# SPDX-License-Identifier: Apache-2.0
"""One run: the real nodes on both sides of a link that is as bad as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
import tempfile
import time

import cv2
from link_figures import ended, fill_in, held_miou, Row, Status
from link_grid import Ask, BURST, BURST_LENGTH, MIOU, OUTAGE, OUTAGE_SECONDS
import numpy as np
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.assets import teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelledClip
from shadowtutor_ros.harness.netlab import NetLab, SIDES
from shadowtutor_ros.harness.processes import ProcessDied
from shadowtutor_ros.harness.trial import Trial, TrialError
from shadowtutor_ros.harness.two_machines import Live, TwoMachines
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.video import VideoError

CLASSES = 'lvs8'
_BEFORE_THE_OUTAGE = 3  # updates
_VIDEO_IS_OVER = 5.0  # seconds without a frame
# A small picture sent raw is as many bytes as the JPEG of a large one, and tutor and student are
# quick with it: one step takes a short time, always the same. Every frame is a key frame that
# finds none under way.
# One step seldom makes a student better, and no difference takes no bytes: every weight is sent.
_ONE_STEP = {'max_updates': 1, 'cold_start_updates': 1, 'cold_start_group': 'partial',
             'weight_encoding': 'fp16'}
_SMALL_FRAMES = 100
_DENSE = {'min_stride': 1, 'max_stride': 1, 'key_frame_format': 'raw'}
_PRODUCT = {'goal_timeout': 10.0}  # the harness would wait longer


@dataclass(frozen=True)
class Settings:
    """
    What all runs share.

    ``profiles`` are environment variables by profile name. ``fps`` is the camera's rate in the
    runs that count key frames of ``key_frame_bytes``, ``miou_fps`` (0: the video's own) in those
    that measure accuracy over ``miou_frames``. ``student`` are further parameters of the student
    node. A student that has no weights within ``start_seconds`` gets them over a healed link.
    """

    video: Path
    out: Path
    profiles: Mapping[str, Mapping[str, str]]
    student: Mapping[str, object] = field(default_factory=dict)
    fps: float = 10.0
    key_frame_bytes: int = 110_000
    miou_fps: float = 0.0
    miou_frames: int = 300
    start_seconds: float = 60.0


def measure(ask: Ask, settings: Settings, logs: Path) -> Row:
    """
    Return the row of one run; what went wrong with the nodes stands in its note.

    Raise NetLabUnavailable where such a link cannot be made.
    """
    row = Row(ask.kind, ask.loss, ask.rate, ask.profile, dict(settings.student), ask.queue,
              BURST_LENGTH if ask.kind == BURST else None)
    try:
        with NetLab() as lab, tempfile.TemporaryDirectory() as scratch:
            lab.shape(ask.rate, ask.queue)
            run = _Run(ask, settings, row, lab, logs, Path(scratch))
            if ask.kind == MIOU:
                run.watch_the_video()
            elif ask.kind == OUTAGE:
                run.go_through_an_outage()
            else:
                run.send_key_frames()
    except (TrialError, ProcessDied) as error:
        row.note = ' '.join(f'{row.note} {error}'.split())
    return row


@dataclass(frozen=True)
class _Run:
    """A run under way, which fills ``row`` in."""

    ask: Ask
    settings: Settings
    row: Row
    lab: NetLab
    logs: Path
    scratch: Path

    def send_key_frames(self) -> None:
        """Send one key frame after the other."""
        with self._student(self._dense(), None) as live:
            live.wait_for(lambda status: ended(status) >= self.ask.key_frames, self.ask.seconds)

    def go_through_an_outage(self) -> None:
        """Cut the link under a steady stream of key frames and see when it goes on."""
        self.row.outage_s = OUTAGE_SECONDS
        with self._student(self._dense(), None) as live:
            if live.wait_for(lambda status: status['updates_applied'] >= _BEFORE_THE_OUTAGE,
                             self.ask.seconds) is None:
                raise TrialError(f'no {_BEFORE_THE_OUTAGE} updates before the outage')
            self.lab.cut()
            live.wait_for(lambda status: False, OUTAGE_SECONDS)
            healed = self._spoil()
            before = live.statuses[-1]['updates_applied']
            update = live.wait_for(
                lambda status: status['updates_applied'] > before, self.ask.seconds)
            if update is not None:
                self.row.recovery_s = update['time'] - healed

    def watch_the_video(self) -> None:
        """Let a student with the product's defaults learn from real labels; judge its masks."""
        labelled = _labels(self.settings)
        fps = self.settings.miou_fps or labelled.clip.fps
        masks = self.scratch / 'masks'
        masks.mkdir()
        trial = Trial(
            labelled.clip.path, fps, labelled.count,
            {'teacher': 'labels', 'teacher_weights': labelled.labels.version, 'labels_fps': fps,
             'classes': CLASSES}, {**_PRODUCT, **self.settings.student})
        with self._student(trial, masks) as live:
            live.wait_for(_standstill(_VIDEO_IS_OVER + 2 / fps), self.ask.seconds)
        shown = {round(int(path.stem) * fps * 1e-9): path for path in masks.glob('*.png')}
        self.row.frames = labelled.count
        segmented = f'{len(shown)} of {labelled.count} frames segmented'
        self.row.note = f'{self.row.note} {segmented}'.strip()
        self.row.miou = held_miou(
            {index: np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
             for index, path in shown.items()},
            lambda index: labelled.label(index).class_ids, labelled.count, _background())

    @contextmanager
    def _student(self, trial: Trial, masks: Path | None) -> Iterator[Live]:
        """Start everything over the bad link; count what happens once the camera runs."""
        self._spoil()
        machines = TwoMachines(self.lab, self.settings.profiles[self.ask.profile])
        with machines.live(trial, self.logs, masks) as live:
            self._start(live)
            before, first = self._bytes_sent(), len(live.statuses) - 1
            live.start_camera()
            try:
                yield live
            finally:
                fill_in(self.row, live.statuses[first:], self._bytes_sent() - before)
                self.row.packets_lost = sum(self.lab.lost(side) for side in SIDES)
                self.row.packets_dropped = sum(self.lab.drops(side) for side in SIDES)

    def _start(self, live: Live) -> None:
        seconds = self.settings.start_seconds
        status = live.wait_for(_runs, seconds)
        if status is not None:
            self.row.discovery_s = status['time'] - live.entered_ros
            return
        self.row.note = f'no weights within {seconds:g} s, got them over a healed link'
        self.lab.lose(0)
        if live.wait_for(_runs, seconds) is None:
            raise TrialError(f'and not there within {seconds:g} s; see {self.logs}')
        self._spoil()

    def _spoil(self) -> float:
        """Make the link lose what is asked; return when."""
        if self.ask.kind == BURST:
            self.lab.lose_in_bursts(self.ask.loss, BURST_LENGTH)
        else:
            self.lab.lose(self.ask.loss)
        return time.monotonic()

    def _bytes_sent(self) -> int:
        return sum(self.lab.bytes_sent(side) for side in SIDES)

    def _dense(self) -> Trial:
        """Return the small video, with key frames as close as they can be."""
        video, label = small_video(
            self.settings.video, self.settings.key_frame_bytes, self.scratch)
        return Trial(
            video, self.settings.fps, 0,
            {'teacher': 'labels', 'teacher_weights': str(label), 'labels_fps': 0.001,
             'classes': CLASSES, **_ONE_STEP}, {**_PRODUCT, **_DENSE, **self.settings.student})


def small_video(video: Path, size: int, folder: Path) -> tuple[Path, Path]:
    """
    Write the first frames of ``video`` as pictures of about ``size`` bytes, and a label map.

    The one made-up label map serves for all frames of the first 500 s, at 0.001 maps per
    second: the link does not care what is learnt. Raise VideoError for a video without frames.
    """
    height = round((size / 3 * 3 / 4) ** 0.5)
    width = round(size / 3 / height)
    frames, labels = folder / 'frames', folder / 'labels'
    frames.mkdir()
    labels.mkdir()
    clip = Clip(video, _SMALL_FRAMES)
    for index, frame in enumerate(clip):
        cv2.imwrite(str(frames / f'{index:03}.png'),
                    cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
    if not any(frames.iterdir()):
        raise VideoError(f'{video}: expected frames, there are none')
    label = np.full((height, width), _background(), np.uint8)
    label[height // 4:height // 2, width // 4:width // 2] = 0
    cv2.imwrite(str(labels / '0.png'), label)
    return frames, labels


def _background() -> int:
    return ClassSet.load(config_file(CLASSES, 'classes')).background


def _labels(settings: Settings) -> LabelledClip:
    """Return the video with YOLOv7-seg's labels, from the cache where they are there."""
    classes = ClassSet.load(config_file(CLASSES, 'classes'))
    teacher = create_teacher('yolo', classes, weights=str(teacher_weights()))
    return label_clip(Clip(settings.video, settings.miou_frames), teacher, classes)


def _runs(status: Status) -> bool:
    return bool(status['state'] == StudentStatus.RUNNING)


def _standstill(seconds: float) -> Callable[[Status], bool]:
    """Return what says whether frames came, but none for ``seconds``."""
    newest = {'frames_processed': 0.0, 'time': 0.0}

    def stands(status: Status) -> bool:
        if status['frames_processed'] > newest['frames_processed']:
            newest.update(status)
        return bool(newest['time']) and status['time'] - newest['time'] > seconds
    return stands
