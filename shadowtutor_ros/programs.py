# SPDX-License-Identifier: Apache-2.0
"""The programs of this package, which end quietly while they are still being imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from shadowtutor_ros.interrupts import ending_at_once, INTERRUPTED

_PACKAGE = 'shadowtutor_ros'


def shadowtutor() -> Any:
    """Run the command line."""
    return _run('cli', INTERRUPTED)


def student_node() -> Any:
    """Run the student node."""
    return _run('nodes.student_node')


def tutor_node() -> Any:
    """Run the tutor node."""
    return _run('nodes.tutor_node')


def teacher_node() -> Any:
    """Run the teacher node."""
    return _run('nodes.teacher_node')


def helper_node() -> Any:
    """Run the helper node."""
    return _run('nodes.helper_node')


def replay_node() -> Any:
    """Run the replay node."""
    return _run('nodes.replay_node')


def dashboard_node() -> Any:
    """Run the dashboard node."""
    return _run('nodes.dashboard_node')


def _run(name: str, status: int = 0) -> Any:
    """
    Run a module's ``main``.

    torch and ROS take seconds to import; Ctrl-C then ends the process with ``status``.
    """
    with ending_at_once(status):
        module = import_module(f'{_PACKAGE}.{name}')
    return module.main()
