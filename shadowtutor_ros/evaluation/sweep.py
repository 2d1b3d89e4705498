# SPDX-License-Identifier: Apache-2.0
"""Throughput against bandwidth over the real nodes: the experiment of section 6.4, Fig. 4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from shadowtutor_ros.evaluation.bounds import Limits, Measured
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.points import latencies, measured_point, point, Sweep
from shadowtutor_ros.evaluation.setting import load_setting
from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable
from shadowtutor_ros.harness.trial import Trial, TrialError
from shadowtutor_ros.harness.two_machines import LinkRun, TwoMachines
from shadowtutor_ros.video import VideoError

PAPER_MBPS = (90.0, 80.0, 60.0, 40.0, 20.0, 12.0, 8.0)
_CALIBRATION_FRAMES = 40
_ONCE = {'min_stride': 10_000, 'max_stride': 10_000}  # the first frame is the only key frame
_UNTAUGHT = {'max_updates': 0, 'cold_start_updates': 0}


@dataclass(frozen=True)
class SweepSettings:
    """``labels`` holds the video's label maps, ids of ``classes``; ``mbps`` are 10^6 bit/s."""

    video: Path
    labels: Path
    out: Path
    mbps: tuple[float, ...] = PAPER_MBPS
    frames: int = 120
    naive_frames: int = 12
    classes: str = 'lvs8'
    topic: str = ''  # of a rosbag


def run_sweep(settings: SweepSettings, say: Callable[[str], None] = print) -> Sweep:
    """
    Measure ShadowTutor with the paper's constants and naive offloading at every bandwidth.

    The label maps are the teacher, so that no teacher's time hides the network's. Where no
    NetLab can be made, the points are the equations' alone and ``note`` says why. ``say`` gets
    a line per run. Raise VideoError, TrialError, ProcessDied or SweepError.
    """
    experiment = _Experiment(settings, say)
    try:
        with NetLab() as lab:
            return experiment.sweep(lab)
    except NetLabUnavailable as error:
        note = f'The equations alone, nothing measured at these bandwidths: {error}'
        say(note)
        return replace(experiment.sweep(None), note=note)


class _Experiment:
    """The runs of one sweep."""

    def __init__(self, settings: SweepSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._clip = clip = Clip(settings.video, settings.frames, topic=settings.topic)
        setting = load_setting('partial')
        self._limits = Limits(setting.schedule.min_stride, setting.schedule.max_stride,
                              setting.distill.max_updates)
        teacher: dict[str, object] = {
            'teacher': 'labels', 'teacher_weights': str(settings.labels.resolve()),
            'labels_fps': clip.fps, 'classes': settings.classes}
        frames = clip.expected or settings.frames
        self._trial = Trial(clip.path, clip.fps, frames,
                              {**teacher, **setting.tutor_parameters()},
                              setting.student_parameters(), clip.topic)
        self._offloaded = Trial(clip.path, clip.fps, min(frames, settings.naive_frames), teacher,
                                topic=clip.topic)

    def sweep(self, lab: NetLab | None) -> Sweep:
        """Calibrate without a limit, then measure every point; compute it without a lab."""
        machines = TwoMachines(lab)
        measured, naive = self._calibrate(machines)
        points = []
        for mbps in self._settings.mbps:
            if lab is None:
                points.append(point(mbps, measured, naive, self._limits))
                continue
            lab.shape(mbps)
            shadow = self._shadow(machines, f'{mbps:g}-mbps/shadow', self._trial)
            points.append(measured_point(
                mbps, measured, naive, self._limits, shadow,
                self._naive(machines, f'{mbps:g}-mbps/naive').fps))
        return Sweep(self._clip.name, self._trial.frames, self._offloaded.frames, measured,
                     naive, self._limits, tuple(points))

    def _calibrate(self, machines: TwoMachines) -> tuple[Measured, Measured]:
        """Return the latencies of ShadowTutor and of naive offloading."""
        trial = replace(self._trial, frames=min(self._trial.frames, _CALIBRATION_FRAMES))
        quiet = self._shadow(machines, 'calibration/quiet', replace(
            trial, tutor={**trial.tutor, **_UNTAUGHT}, student={**trial.student, **_ONCE}))
        times = quiet.seen.times[len(quiet.seen.times) // 4:]  # the only key frame is over
        taught = self._shadow(machines, 'calibration/shadow', trial)
        measured = latencies(taught.seen.statuses, (times[-1] - times[0]) / (len(times) - 1))
        cycle = 1 / self._naive(machines, 'calibration/naive').fps
        return measured, replace(
            measured, t_net=max(0.0, cycle - measured.t_ti), s_net=self._naive_bytes())

    def _naive_bytes(self) -> int:
        """Return the bytes of one raw frame up and one mask down."""
        frame = next(iter(self._clip), None)
        if frame is None:
            raise VideoError(f'{self._clip.path}: expected frames, there are none')
        height, width, channels = frame.shape
        return height * width * (channels + 1)

    def _shadow(self, machines: TwoMachines, name: str, trial: Trial) -> LinkRun:
        run = machines.shadow(trial, self._logs(name))
        if failures := run.seen.statuses[-1]['failures']:
            raise TrialError(f'{name}: {failures:g} key frames failed, expected none; '
                              f'see {self._logs(name)}')
        self._say(f'{name}: {run.fps:.2f} FPS')
        return run

    def _naive(self, machines: TwoMachines, name: str) -> LinkRun:
        run = machines.naive(self._offloaded, self._logs(name))
        self._say(f'{name}: {run.fps:.2f} FPS')
        return run

    def _logs(self, name: str) -> Path:
        return self._settings.out / 'logs' / name
