# SPDX-License-Identifier: Apache-2.0
"""Student architectures by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.box_network import BoxNet
from shadowtutor_ros.model.network import StudentNet
from shadowtutor_ros.model.protocol import Network
from shadowtutor_ros.tasks.table import DETECTION, SEGMENTATION

SHADOWTUTOR = 'shadowtutor'
BOXES = 'shadowtutor-boxes'

# Each is called with the number of classes and, as keywords, the configuration. That may have come
# from a tutor: a TypeError or ValueError must meet what is unknown, impossible or too large.
ARCHITECTURES: dict[str, Callable[..., Network]] = {
    SHADOWTUTOR: StudentNet, BOXES: BoxNet}


# The one that a student of a task has where nobody names another.
OF_TASK = {SEGMENTATION: SHADOWTUTOR, DETECTION: BOXES}


class UnknownArchitecture(ShadowTutorError):
    """A student has a network that this release does not have."""


class BadConfiguration(ShadowTutorError):
    """An architecture cannot be made with a configuration."""


def create_network(
    architecture: str, configuration: Mapping[str, Any], classes: int,
) -> Network:
    """Return a network with random weights; raise UnknownArchitecture or BadConfiguration."""
    if architecture not in ARCHITECTURES:
        raise UnknownArchitecture(
            f'architecture: expected one of {", ".join(ARCHITECTURES)}, got {architecture!r}')
    try:
        return ARCHITECTURES[architecture](classes, **configuration)
    except (TypeError, ValueError) as error:
        raise BadConfiguration(
            f'architecture {architecture!r}: configuration {dict(configuration)}: {error}',
        ) from error
