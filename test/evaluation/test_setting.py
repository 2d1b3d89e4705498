# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import yaml

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.evaluation.setting import (
    load_setting,
    load_settings,
    PAPER,
    SettingError,
    shipped_settings,
)
from shadowtutor_ros.runtime.library import LIBRARY
from shadowtutor_ros.runtime.student import KeyFrameSettings
from shadowtutor_ros.schedule.scheduler import ScheduleSettings
from shadowtutor_ros.share import config_folder
from shadowtutor_ros.wire.encoder import WeightSettings


def test_every_shipped_setting_loads() -> None:
    names = shipped_settings()
    assert set(PAPER) | {'ours', 'naive-jpeg'} <= set(names)
    assert [setting.name for setting in load_settings(names)] == names


def test_paper_stands_for_all_of_the_papers() -> None:
    names = [setting.name for setting in load_settings(['ours', 'paper', 'wild'])]
    assert names == ['ours', *PAPER]


def test_the_papers_are_the_papers() -> None:
    for name, delay, group in (('partial-1', 1, 'partial'), ('partial-8', 8, 'partial'),
                               ('full-1', 1, 'full')):
        setting = load_setting(name)
        assert setting.distill == DistillSettings.paper(group)
        assert (setting.schedule.min_stride, setting.schedule.max_stride) == (8, 64)
        assert setting.schedule.update_delay == delay
        assert (setting.key_frames.format, setting.weights.encoding) == ('raw', 'fp32')
        assert (setting.library, setting.checkpoint) == (0, 'random')


def test_ours_are_the_products_defaults() -> None:
    setting = load_setting('ours')
    assert setting.distill == DistillSettings()
    assert setting.schedule == ScheduleSettings()
    assert setting.key_frames == KeyFrameSettings()
    assert (setting.library, setting.checkpoint) == (LIBRARY, 'default')
    for node, parameters in (('student', setting.student_parameters()),
                             ('tutor', setting.tutor_parameters())):
        shipped = yaml.safe_load((config_folder() / f'{node}.yaml').read_text())
        ((_, values),) = shipped.items()
        assert parameters.items() <= values['ros__parameters'].items()


def test_a_users_own_setting(tmp_path: Path) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text('kind: distill\npreset: paper\nmax_updates: 3\nkey_frame_quality: 70\n'
                    'key_frame_format: jpeg\nweight_encoding: fp16\nresample_fps: 5\n'
                    'update_density: 0.1\nintra_period: 5\n'
                    'policy: paced\nthreshold: 0.7\n')
    (setting,) = load_settings([str(path)])
    assert (setting.name, setting.title, setting.resample_fps) == ('mine', 'mine', 5.0)
    assert setting.distill.max_updates == 3
    assert setting.distill.threshold == setting.schedule.threshold == 0.7
    assert setting.key_frames == KeyFrameSettings('jpeg', 70)
    assert setting.weights == WeightSettings('fp16', 0.1, 5)


def test_the_strides_threshold_may_be_another(tmp_path: Path) -> None:
    path = tmp_path / 'two.yaml'
    path.write_text('threshold: 0.7\nstride_threshold: 0.6\n')
    setting = load_setting(str(path))
    assert (setting.distill.threshold, setting.schedule.threshold) == (0.7, 0.6)
    path.write_text('stride_threshold: 0.6\n')
    setting = load_setting(str(path))
    assert (setting.distill.threshold, setting.schedule.threshold) == (
        DistillSettings().threshold, 0.6)


@pytest.mark.parametrize(('text', 'message'), [
    ('stride_threshold: 2', r'threshold: expected a number in \(0, 1\), got 2'),
    ('kind: tame', "kind: expected one of wild, distill, naive, got 'tame'"),
    ('preset: x', 'preset: expected one of paper, defaults'),
    ('max_update: 3', 'unknown max_update: expected .*max_updates'),
    ('max_updates: -3', 'max_updates: expected 0 or more, got -3'),
    ('max_updates: many', "'<' not supported"),
    ('threshold: 2', r'threshold: expected a number in \(0, 1\), got 2'),
    ('resample_fps: -1', 'resample_fps: expected a number of 0 or more'),
    ('weight_encoding: int8',
     "weight_encoding: expected one of fp32, fp16, delta, delta-dct, got 'int8'"),
    ('update_density: 0', r'update_density: expected a number in \(0, 1\], got 0'),
    ('intra_period: -1', 'intra_period: expected 0 or more, got -1'),
    ('key_frame_format: gif', "key_frame_format: expected .* got 'gif'"),
    ('- a', 'expected keys and values, got list'), ('a: [', 'cannot be read')])
def test_a_bad_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises(SettingError, match=message) as error:
        load_setting(str(path))
    assert 'mine.yaml' in str(error.value)


def test_an_unknown_setting_names_the_known() -> None:
    with pytest.raises(SettingError, match=r"'partial-9': expected a file or one of .*ours"):
        load_settings(['partial-9'])
