# SPDX-License-Identifier: Apache-2.0
"""Parameter groups: which part of the student is trained and crosses the wire (section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn, Tensor

from shadowtutor_ros.model.protocol import Network

PARTIAL = 'partial'
FULL = 'full'
GROUPS = (PARTIAL, FULL)

Shapes = Mapping[str, tuple[int, ...]]


def parameters_of(network: Network, group: str) -> dict[str, nn.Parameter]:
    """
    Return the group's parameters by name, in network order.

    Raise ValueError when ``group`` is neither ``partial`` nor ``full``.
    """
    if group not in GROUPS:
        raise ValueError(f'unknown parameter group {group!r}, expected one of {GROUPS}')
    return {name: parameter for name, parameter in network.named_parameters()
            if group == FULL or name.split('.', 1)[0] in network.BACK}


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return each tensor's shape by name, keeping the order."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
