# SPDX-License-Identifier: Apache-2.0
"""Architectures by name, and what is said of one that is not there."""

from __future__ import annotations

from typing import Any

import pytest
from small_net import SmallNet

from shadowtutor_ros.model.groups import FULL, parameters_of, PARTIAL
from shadowtutor_ros.model.network import StudentNet
from shadowtutor_ros.model.protocol import SizeLimits
from shadowtutor_ros.model.table import (
    ARCHITECTURES,
    BadConfiguration,
    create_network,
    UnknownArchitecture,
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, 'small', SmallNet)


def test_the_papers_network_is_a_row() -> None:
    network = create_network('shadowtutor', {}, 9)
    assert isinstance(network, StudentNet)
    assert network.classes == 9


def test_the_configuration_goes_to_the_network() -> None:
    network = create_network('small', {'width': 6}, 2)
    shapes = {name: tuple(p.shape) for name, p in parameters_of(network, FULL).items()}
    assert shapes == {'stem.weight': (6, 3, 3, 3), 'stem.bias': (6,),
                      'head.weight': (2, 6, 3, 3), 'head.bias': (2,)}
    assert parameters_of(network, PARTIAL).keys() == {'head.weight', 'head.bias'}


@pytest.mark.parametrize(('name', 'configuration', 'error', 'message'), [
    ('vit', {}, UnknownArchitecture,
     "expected one of shadowtutor, shadowtutor-boxes, small, got 'vit'"),
    ('', {}, UnknownArchitecture, "got ''"),
    ('small', {'width': 1000}, BadConfiguration, "'width': 1000}: width: expected 1 to 64"),
    ('small', {'width': 'wide'}, BadConfiguration, "'small': configuration {'width': 'wide'}"),
    ('small', {'depth': 3}, BadConfiguration, "unexpected keyword argument 'depth'"),
    ('small', {'classes': 3}, BadConfiguration, "multiple values for argument 'classes'"),
    ('shadowtutor', {'width': 4}, BadConfiguration, "unexpected keyword argument 'width'"),
])
def test_what_cannot_be_made_is_named(
    name: str, configuration: dict[str, Any], error: type[Exception], message: str,
) -> None:
    with pytest.raises(error) as raised:
        create_network(name, configuration, 2)
    assert message in str(raised.value)


@pytest.mark.parametrize(('size', 'allowed'), [
    ((8, 8), True), ((8, 12), True), ((4, 8), False), ((8, 4), False), ((8, 10), False),
    ((10, 8), False)])
def test_limits_hold_for_both_sides(size: tuple[int, int], allowed: bool) -> None:
    assert SizeLimits(least=8, multiple=4).allow(*size) == allowed
    assert SizeLimits().allow(*size)
