# SPDX-License-Identifier: Apache-2.0
"""Parameters that student and tutor share."""

from shadowtutor_ros.nodes.toolkit.parameters import Parameter

AUTOSTART = Parameter(
    'autostart', True, 'Configure and activate at the start, and end if that fails; false: wait '
    'for ros2 lifecycle or a lifecycle manager.')
STATUS_PERIOD = Parameter(
    'status_period', 1.0, 'Seconds between ~/status messages when nothing happens, and between '
    'those of /diagnostics.', 0.05, 60.0)
ERROR_FAILURES = Parameter(
    'error_failures', 5, 'Failed key frames in a row from which /diagnostics says ERROR.',
    1, 1_000_000, live=True)
