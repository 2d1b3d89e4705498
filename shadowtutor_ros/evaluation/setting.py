# SPDX-License-Identifier: Apache-2.0
"""What is compared: named settings of the whole system, each a small YAML file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
import math
from pathlib import Path
from typing import Any

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.first_student import DEFAULT, RANDOM
from shadowtutor_ros.runtime.library import LIBRARY
from shadowtutor_ros.runtime.student import KeyFrameSettings
from shadowtutor_ros.schedule.scheduler import PACED, ScheduleSettings
from shadowtutor_ros.share import config_file, config_folder
from shadowtutor_ros.untrusted.yaml_file import BadYaml, read_yaml
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.key_frame import FRAME_FORMATS, RAW
from shadowtutor_ros.wire.weights import FP32

WILD = 'wild'
DISTILL = 'distill'
NAIVE = 'naive'
KINDS = (WILD, DISTILL, NAIVE)

PRESETS = ('paper', 'defaults')
PAPER = ('wild', 'partial-1', 'partial-8', 'full-1', 'naive', 'partial-1-7fps',
         'partial-8-7fps')


class SettingError(ShadowTutorError):
    """A setting's file is missing, unreadable or contradicts itself."""


@dataclass(frozen=True)
class Setting:
    """
    One way to segment a video.

    ``kind`` wild: the student alone; distill: ShadowTutor; naive: every frame to the teacher.
    ``resample_fps`` (0: not) takes frames away until that many per second are left (Table 7);
    the tutor keeps ``library`` students of the past. ``checkpoint`` is the first student where
    nobody says another: ``random`` for the paper's, ``default`` (the shipped one) for ours.
    """

    name: str
    title: str
    kind: str
    schedule: ScheduleSettings
    distill: DistillSettings
    key_frames: KeyFrameSettings
    weights: WeightSettings
    resample_fps: float = 0.0
    library: int = 0
    checkpoint: str = RANDOM

    def identity(self) -> dict[str, Any]:
        """Return all that a result depends on."""
        return asdict(self)

    def student_parameters(self) -> dict[str, object]:
        """
        Return the parameters of student_node.

        Raw frames, which are for comparison only, do not go in pieces: thousands of them would
        be measured and not the link.
        """
        schedule, key_frames = self.schedule, self.key_frames
        return {'policy': schedule.policy, 'min_stride': schedule.min_stride,
                'max_stride': schedule.max_stride, 'threshold': schedule.threshold,
                'update_delay': schedule.update_delay, 'key_frame_format': key_frames.format,
                'key_frame_quality': key_frames.quality,
                'transfer': 'action' if key_frames.format == RAW else 'pieces'}

    def tutor_parameters(self) -> dict[str, object]:
        """Return the parameters of tutor_node."""
        distill = self.distill
        return {'threshold': distill.threshold, 'max_updates': distill.max_updates,
                'min_updates': distill.min_updates, 'practice': distill.practice,
                'replay': distill.replay, 'learning_rate': distill.learning_rate,
                'group': distill.group,
                'cold_start_updates': distill.cold_start_updates,
                'cold_start_group': distill.cold_start_group,
                'cold_start_key_frames': distill.cold_start_key_frames,
                'weight_encoding': self.weights.encoding, 'update_density': self.weights.density,
                'intra_period': self.weights.intra_period, 'library': self.library,
                'checkpoint': self.checkpoint}


def load_settings(names: Iterable[str]) -> list[Setting]:
    """
    Return the settings in order; ``paper`` stands for all of the paper's.

    A name is a file's path or one of ``config/evaluation``. Raise SettingError.
    """
    wanted: list[str] = []
    for name in names:
        wanted += [n for n in (PAPER if name == 'paper' else (name,)) if n not in wanted]
    return [load_setting(name) for name in wanted]


def load_setting(name: str) -> Setting:
    """
    Read one setting. Raise SettingError naming the file, what was expected and what was found.

    Its keys are ``title``, ``kind``, ``preset`` (paper: the paper's constants; defaults: the
    product's), ``resample_fps``, and any parameter of student_node and tutor_node that the
    preset has; ``threshold`` is both Algorithm 1's and, without ``stride_threshold``,
    Algorithm 2's.
    """
    try:
        path = config_file(name, 'evaluation')
        data = read_yaml(path)
    except FileNotFoundError:
        raise SettingError(f'setting {name!r}: expected a file or one of '
                           f'{", ".join(("paper", *shipped_settings()))}') from None
    except BadYaml as error:
        raise SettingError(f'{name}: {error}') from error
    try:
        return _parse(path, data)
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingError(f'{path}: {error}') from error


def shipped_settings() -> list[str]:
    """Return the names of the settings in ``config/evaluation``."""
    return sorted(path.stem for path in (config_folder() / 'evaluation').glob('*.yaml'))


def _parse(path: Path, data: Any) -> Setting:
    if not isinstance(data, dict):
        raise ValueError(f'expected keys and values, got {type(data).__name__}')
    values = dict(data)
    kind = values.pop('kind', DISTILL)
    preset = values.pop('preset', 'defaults')
    for key, value, allowed in (('kind', kind, KINDS), ('preset', preset, PRESETS)):
        if value not in allowed:
            raise ValueError(f'{key}: expected one of {", ".join(allowed)}, got {value!r}')
    setting = _preset(path.stem, str(values.pop('title', path.stem)), kind, preset)
    setting = replace(setting, resample_fps=_number('resample_fps', values.pop(
        'resample_fps', 0.0)), weights=_weights(setting.weights, values),
        library=int(_number('library', values.pop('library', setting.library))),
        checkpoint=str(values.pop('checkpoint', setting.checkpoint)))
    key_frames = KeyFrameSettings(values.pop('key_frame_format', setting.key_frames.format),
                                  values.pop('key_frame_quality', setting.key_frames.quality))
    if key_frames.format not in FRAME_FORMATS:
        raise ValueError(f'key_frame_format: expected one of {", ".join(FRAME_FORMATS)}, '
                         f'got {key_frames.format!r}')
    stride_threshold = values.pop('stride_threshold', None)
    of_schedule = {f.name for f in fields(ScheduleSettings)}
    of_distill = {f.name for f in fields(DistillSettings)}
    if unknown := sorted(map(str, values.keys() - of_schedule - of_distill)):
        known = sorted(of_schedule | of_distill | {
            'title', 'kind', 'preset', 'resample_fps', 'stride_threshold', 'library', 'checkpoint',
            'weight_encoding', 'update_density', 'intra_period', 'key_frame_format',
            'key_frame_quality'})
        raise ValueError(f'unknown {", ".join(unknown)}: expected {", ".join(known)}')
    schedule = replace(setting.schedule, **{k: values[k] for k in values.keys() & of_schedule})
    if stride_threshold is not None:
        schedule = replace(schedule, threshold=stride_threshold)
    return replace(
        setting, key_frames=key_frames, schedule=schedule,
        distill=replace(setting.distill, **{k: values[k] for k in values.keys() & of_distill}))


def _preset(name: str, title: str, kind: str, preset: str) -> Setting:
    if preset == 'paper':
        return Setting(name, title, kind, ScheduleSettings(threshold=0.8, policy=PACED),
                       DistillSettings.paper(), KeyFrameSettings(RAW),
                       WeightSettings(FP32))
    return Setting(name, title, kind, ScheduleSettings(), DistillSettings(), KeyFrameSettings(),
                   WeightSettings(), library=LIBRARY, checkpoint=DEFAULT)


def _weights(preset: WeightSettings, values: dict[str, Any]) -> WeightSettings:
    """Take the weights' keys out of ``values``."""
    return WeightSettings(values.pop('weight_encoding', preset.encoding),
                          values.pop('update_density', preset.density),
                          values.pop('intra_period', preset.intra_period))


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
            0 <= value < math.inf):
        raise ValueError(f'{key}: expected a number of 0 or more, got {value!r}')
    return float(value)
