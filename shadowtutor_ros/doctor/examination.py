# SPDX-License-Identifier: Apache-2.0
"""All checks, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
import os

from shadowtutor_ros.dds import active_profile, FASTDDS
from shadowtutor_ros.doctor import (
    buffers,
    compute,
    dds,
    discovery,
    graph,
    machine,
    network,
    ros,
    security,
    shared_memory,
    teacher,
)
from shadowtutor_ros.doctor.finding import Finding, guarded, ROBOT, SERVER, SKIPPED


def examine(
    role: str, weights: str = '', name: str = '', seconds: float | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Finding]:
    """
    Yield the findings as they come; ``role`` is one of ROLES. Raise nothing.

    ``weights`` are to be tried as those of the teacher ``name``, empty where their suffix says
    it; with ``seconds`` the live graph is looked at, too.
    """
    loaded = ros.load(environment)
    rmw = loaded.rmw or environment.get('RMW_IMPLEMENTATION') or FASTDDS
    yield from guarded('computing', partial(_computing, role))
    if role != ROBOT:
        yield from guarded(teacher.TEACHER, partial(_teachers, weights, name, role))
    yield from guarded(ros.ROS, partial(ros.ros, loaded, environment))
    yield from guarded(ros.RMW, partial(ros.rmw, loaded, environment))
    yield from guarded(ros.MESSAGES, partial(ros.messages, loaded))
    yield from guarded(discovery.DOMAIN, partial(discovery.domain, environment))
    yield from guarded(discovery.RANGE, partial(discovery.reach, rmw, role, environment))
    yield from guarded('network', partial(_network, role, rmw, environment))
    if seconds is not None:
        yield from guarded('graph', partial(_graph, loaded, seconds, role))


def _computing(role: str) -> Iterator[Finding]:
    yield from guarded(machine.PROCESSOR, machine.processor)
    yield from guarded(machine.PYTHON, machine.python)
    yield from guarded(machine.PACKAGES, machine.packages)
    torch, hardware = compute.read_torch(), compute.hardware()
    yield from guarded(compute.TORCH, partial(compute.judge_torch, torch, hardware))
    yield from guarded(compute.GPU, partial(compute.judge_gpu, torch, hardware, role))
    if role != SERVER:
        yield from guarded(compute.STUDENT, partial(compute.student, torch))


def _teachers(weights: str, name: str, role: str) -> Iterator[Finding]:
    try:
        from shadowtutor_ros.assets import weights_at_hand
        from shadowtutor_ros.teacher.factory import TEACHERS
    except ImportError as error:  # of a package that machine.packages names
        yield Finding(SKIPPED, teacher.TEACHER, f'cannot be looked for: {error}')
        return
    if not weights and (weights := weights_at_hand('yolo')):
        name = 'yolo'
    checks = [(row, partial(teacher.package, row, known.modules))
              for row, known in TEACHERS.items() if known.modules]
    checks.append(('weights', partial(teacher.weights, weights, name)))
    found = [finding for what, check in checks
             for finding in guarded(f'{teacher.TEACHER} {what}', check)]
    yield from found
    yield teacher.teacher(found, weights, name, role)


def _network(role: str, rmw: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    profile = active_profile(rmw, environment)
    yield from guarded(dds.PROFILE, partial(dds.judge_profile, profile))
    yield from guarded(dds.VERSION, partial(dds.version, rmw, environment))
    yield from guarded(shared_memory.SHARED_MEMORY, shared_memory.shared_memory)
    yield from guarded(security.SECURITY, partial(security.security, rmw, environment))
    yield from guarded(network.INTERFACES, partial(network.interfaces, role))
    yield from guarded(network.MULTICAST, partial(
        network.multicast, discovery.needs_multicast(rmw, environment), role))
    for what in (buffers.RECEIVE, buffers.SEND):
        yield from guarded(what, partial(buffers.buffer, what, profile))
    yield from guarded(buffers.FRAGMENTS, partial(buffers.fragments, profile))


def _graph(loaded: ros.Loaded, seconds: float, role: str) -> Iterator[Finding]:
    """Look at the graph; a server does not listen to images over the network."""
    if not loaded.rmw:
        yield Finding(SKIPPED, 'graph', 'rclpy cannot be imported')
        return
    from shadowtutor_ros.doctor.observer import observe
    yield from graph.judge_graph(observe(seconds, listen=role != SERVER), role)
