# SPDX-License-Identifier: Apache-2.0
"""The partial set is the paper's 21.4 %, the full set everything."""

from __future__ import annotations

import pytest
import torch

from shadowtutor_ros.model.groups import FULL, GROUPS, parameters_of, PARTIAL, shapes_of
from shadowtutor_ros.model.network import StudentNet


@pytest.fixture(scope='module')
def network() -> StudentNet:
    return StudentNet(9)


def test_partial_group_is_the_papers(network: StudentNet) -> None:
    partial = parameters_of(network, PARTIAL)
    count = sum(p.numel() for p in partial.values())
    assert len(partial) == 26
    assert count == 103_465
    assert sum(p.numel() * p.element_size() for p in partial.values()) == 413_860
    assert round(100 * count / 483_873, 2) == 21.38
    assert {name.split('.')[0] for name in partial} == {
        'sb5', 'sb6', 'out_conv1', 'out_conv2', 'out_conv3'}


def test_groups_keep_the_networks_order_and_objects(network: StudentNet) -> None:
    everything = dict(network.named_parameters())
    full, partial = parameters_of(network, FULL), parameters_of(network, PARTIAL)
    assert list(full) == list(everything)
    assert list(partial) == [name for name in everything if name in partial]
    assert all(full[name] is everything[name] for name in full)
    assert all(partial[name] is everything[name] for name in partial)


@pytest.mark.parametrize('group', ['', 'FULL', 'front'])
def test_unknown_group_is_refused(network: StudentNet, group: str) -> None:
    assert group not in GROUPS
    with pytest.raises(ValueError, match='unknown parameter group'):
        parameters_of(network, group)


def test_shapes_are_plain_tuples_in_order() -> None:
    shapes = shapes_of({'b': torch.zeros(2, 3), 'a': torch.zeros(())})
    assert list(shapes.items()) == [('b', (2, 3)), ('a', ())]
    assert type(shapes['b']) is tuple
