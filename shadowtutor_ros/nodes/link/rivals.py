# SPDX-License-Identifier: Apache-2.0
"""More than one node that answers to a tutor's name."""

from __future__ import annotations

from rclpy.node import Node

# Seconds in which a second tutor that is listed would have answered: one that is not heard then
# was killed, and nobody has noticed yet.
SECOND_ANSWER = 1.0


def count_tutors(node: Node, action: str, lost: int = 0) -> int:
    """
    Return how many nodes offer the ``action``.

    The graph remembers one that was killed for a while: ``lost`` are known to be such.
    """
    action = node.resolve_service_name(action)
    offered = node.count_publishers(f'{action}/_action/feedback')
    if hasattr(node, 'count_services'):  # not in Humble
        offered = max(offered, node.count_services(f'{action}/_action/send_goal'),
                      node.count_services(f'{action}/_action/get_result'))
    return max(0, offered - lost)


def crowd(node: Node, action: str, lost: int = 0) -> str:
    """Say how many nodes offer the ``action``, if it is more than one."""
    if (count := count_tutors(node, action, lost)) < 2:
        return ''
    return (f'{count} nodes offer {action}: another tutor of this name, or one that was killed a '
            'moment ago')


def rivalry(action: str) -> str:
    """Say what is wrong when two answer."""
    return (f'more than one node answers as {action}: without link_key_file nothing is taken from '
            'any of them')
