# SPDX-License-Identifier: Apache-2.0
"""The partial set is the paper's 21.4 %, and the layout hash identifies a network for good."""

from __future__ import annotations

import pytest
import torch

from shadowtutor_ros.model.groups import (
    FULL,
    GROUPS,
    layout_hash,
    parameters_of,
    PARTIAL,
    shapes_of,
)
from shadowtutor_ros.model.network import StudentNet

# What robots and tutors of other releases compute for 9 classes: must never change.
LAYOUT_OF_9_CLASSES = 6022476434905805260


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


def test_layout_hash_is_stable_over_releases(network: StudentNet) -> None:
    assert layout_hash(shapes_of(parameters_of(network, FULL))) == LAYOUT_OF_9_CLASSES


def test_layout_hash_differs_between_class_counts() -> None:
    hashes = {layout_hash(shapes_of(parameters_of(StudentNet(n), FULL))) for n in range(1, 13)}
    assert len(hashes) == 12
    assert all(0 <= h < 1 << 64 for h in hashes)


@pytest.mark.parametrize('other', [
    {'b': (3,), 'a': (1, 2)},
    {'a': (2, 1), 'b': (3,)},
    {'a': (12,), 'b': (3,)},
    {'a': (1, 2), 'c': (3,)},
    {'a': (1, 2)},
    {'a': (1, 2), 'b': (3,), 'c': ()},
], ids=['order', 'shape', 'joined digits', 'name', 'missing', 'extra'])
def test_layout_hash_sees_every_difference(other: dict[str, tuple[int, ...]]) -> None:
    assert layout_hash(other) != layout_hash({'a': (1, 2), 'b': (3,)})
