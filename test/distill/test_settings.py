# SPDX-License-Identifier: Apache-2.0
"""The paper's constants, and refusal of settings that cannot train."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, GROUPS, PARTIAL


@pytest.mark.parametrize('group', GROUPS)
def test_paper_holds_the_constants_of_sections_5_2_and_5_3(group: str) -> None:
    assert asdict(DistillSettings.paper(group)) == {
        'threshold': 0.8, 'max_updates': 8, 'learning_rate': 0.01, 'group': group,
        'cold_start_updates': 8, 'cold_start_group': group, 'cold_start_key_frames': 0,
        'object_weight': 5.0, 'box_margin': 0.075,
        'min_updates': 0, 'practice': 'none', 'replay': 0}


def test_paper_is_partial_unless_told() -> None:
    assert DistillSettings.paper() == DistillSettings.paper(PARTIAL) != DistillSettings.paper(FULL)


@pytest.mark.parametrize(('name', 'value'), [
    ('group', 'front'), ('cold_start_group', ''),
    ('threshold', 0.0), ('threshold', 1.0), ('threshold', -0.1), ('threshold', 80.0),
    ('threshold', float('nan')),
    ('max_updates', -1), ('cold_start_updates', -1), ('cold_start_key_frames', -1),
    ('min_updates', -1), ('replay', -1), ('practice', 'often'),
    ('learning_rate', 0.0), ('learning_rate', -0.01), ('learning_rate', float('nan')),
    ('learning_rate', float('inf')),
    ('object_weight', 0.0), ('object_weight', -5.0), ('object_weight', float('nan')),
    ('object_weight', float('inf')),
    ('box_margin', -0.1), ('box_margin', float('nan')), ('box_margin', float('inf')),
])
def test_impossible_settings_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f'^{name}: expected'):
        DistillSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(('name', 'value'), [
    ('max_updates', 0), ('cold_start_updates', 0), ('box_margin', 0.0), ('group', FULL)])
def test_limits_are_allowed(name: str, value: object) -> None:
    assert getattr(DistillSettings(**{name: value}), name) == value  # type: ignore[arg-type]
