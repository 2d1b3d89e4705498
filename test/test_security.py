# SPDX-License-Identifier: Apache-2.0
"""The policies for SROS 2 allow what the nodes have, and nothing that they do not have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
import xml.etree.ElementTree as ET

import pytest
import rclpy
from rclpy.action import (
    get_action_client_names_and_types_by_node,
    get_action_server_names_and_types_by_node,
)
from rclpy.context import Context
from rclpy.node import Node
from robots import wait_until
from scene import Scene

from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.share import config_folder

ROLES = ('robot', 'helper', 'tutor', 'dashboard', 'onlooker', 'operator')
NODES = {'robot': ('student', 'student_channel'), 'helper': ('helper', 'helper_channel'),
         'tutor': ('tutor', 'tutor_channel'),
         'dashboard': ('dashboard',)}
# Of the other image transport, of use_sim_time, and of vision_msgs, which need not be installed.
NOT_HERE = {('subscribe', '/camera/image_raw/compressed'), ('subscribe', '/clock'),
            ('publish', '/student/label_info'), ('publish', '/tutor/label_info')}


@dataclass(frozen=True)
class Right:
    """To do something with all names that look like one."""

    what: str  # publish, subscribe, reply, request, call, execute
    name: str

    def allows(self, what: str, name: str) -> bool:
        return what == self.what and fnmatchcase(name, self.name)


def rights_of(role: str) -> set[Right]:
    """Return what a policy allows, by names in full."""
    root = ET.fromstring((config_folder() / 'security' / f'{role}.policy.xml').read_bytes())
    assert root.attrib == {'version': '0.2.0'}
    enclave, = root.iter('enclave')
    assert enclave.attrib == {'path': f'/{role}'}
    rights = set()
    for profile in root.iter('profile'):
        assert profile.attrib['ns'] == '/'
        for rules in profile:
            assert list(rules.attrib.values()) == ['ALLOW']
            what, = rules.attrib
            for name in rules:
                assert name.text is not None
                rights.add(Right(what, name.text.replace('~', f"/{profile.attrib['node']}")))
    return rights


def used_by(looker: Node, node: str) -> set[tuple[str, str]]:
    """Return what a node has on the graph now."""
    where = (node, '/')
    used = {('publish', name) for name, _ in looker.get_publisher_names_and_types_by_node(*where)}
    used |= {('subscribe', name)
             for name, _ in looker.get_subscriber_names_and_types_by_node(*where)}
    used |= {('reply', name) for name, _ in looker.get_service_names_and_types_by_node(*where)}
    used |= {('request', name) for name, _ in looker.get_client_names_and_types_by_node(*where)}
    used = {(what, name) for what, name in used if '/_action/' not in name}
    used |= {('call', name)
             for name, _ in get_action_client_names_and_types_by_node(looker, *where)}
    used |= {('execute', name)
             for name, _ in get_action_server_names_and_types_by_node(looker, *where)}
    return used


@pytest.fixture
def looker(domain_id: int) -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    yield rclpy.create_node('looker', context=context)
    rclpy.shutdown(context=context)


@pytest.mark.ros
def test_the_policies_are_exactly_what_the_nodes_have(
    looker: Node, tmp_path: Path, scene: Scene,
) -> None:
    rights = {role: rights_of(role) for role in NODES}
    unused = {(role, right) for role in NODES for right in rights[role]
              if (right.what, right.name) not in NOT_HERE}

    def all_used() -> bool:
        for role, nodes in NODES.items():
            for node in nodes:
                if node not in looker.get_node_names():
                    continue
                for what, name in used_by(looker, node):
                    found = {right for right in rights[role] if right.allows(what, name)}
                    assert found, f'{role} may not {what} {name}'
                    unused.difference_update((role, right) for right in found)
        return not unused

    with ExitStack() as stack:
        for module, parameters, remappings in (
                ('student_node', {'threads': 1, 'share': 'frames'},
                 {'image': '/camera/image_raw'}),
                ('helper_node', {'threads': 1}, {}),
                ('dashboard_node', {'port': 0}, {})):
            stack.enter_context(NodeProcess(
                module, parameters, tmp_path / f'{module}.log', remappings))
        asks = Right('request', '/tutor/get_student')
        wait_until(lambda: all_used() or ('robot', asks) not in unused, 60.0)
        stack.enter_context(NodeProcess('tutor_node', {
            'teacher': 'labels', 'teacher_weights': str(scene.label_maps), 'threads': 1,
            'device': 'cpu'}, tmp_path / 'tutor.log'))
        # The dashboard hears these only while somebody looks at it.
        for name in ('/*/lessons', '/*/preview/compressed'):
            unused.discard(('dashboard', Right('subscribe', name)))
        try:
            wait_until(all_used, 60.0)
        except AssertionError:
            assert not unused


def test_who_looks_on_changes_nothing() -> None:
    for role in 'dashboard', 'onlooker':
        for right in rights_of(role):
            assert right.what in ('subscribe', 'reply') or right.name in (
                '/rosout', '/parameter_events')


def test_only_the_operator_may_end_or_change_a_tutor() -> None:
    for role in ROLES:
        may = any(right.allows('request', f'/tutor/{service}') for right in rights_of(role)
                  for service in ('change_state', 'set_parameters', 'set_parameters_atomically'))
        assert may == (role == 'operator')


def test_a_robot_hears_no_pieces_but_its_own() -> None:
    rights = rights_of('robot')
    assert any(r.allows('subscribe', '/student/channel/s0123456789abcdef/down') for r in rights)
    for what in 'publish', 'subscribe':
        assert not any(right.allows(what, f'/robot2/student/channel/s1/{way}')
                       for right in rights for way in ('up', 'down'))


def test_no_policy_speaks_in_anothers_name() -> None:
    topics = {'robot': '/student/status', 'tutor': '/tutor/status'}
    for role in ROLES:
        for owner, topic in topics.items():
            may = any(right.allows('publish', topic) for right in rights_of(role))
            assert may == (role == owner)
