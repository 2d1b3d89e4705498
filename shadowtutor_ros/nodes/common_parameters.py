# SPDX-License-Identifier: Apache-2.0
"""Parameters that student and tutor share."""

from pathlib import Path

from shadowtutor_ros.nodes.toolkit.parameters import Parameter
from shadowtutor_ros.wire import key_frame

AUTOSTART = Parameter(
    'autostart', True, 'Configure and activate at the start, and end if that fails; false: wait '
    'for ros2 lifecycle or a lifecycle manager.')
STATUS_PERIOD = Parameter(
    'status_period', 1.0, 'Seconds between ~/status messages when nothing happens, and between '
    'those of /diagnostics.', 0.05, 60.0)
ERROR_FAILURES = Parameter(
    'error_failures', 5, 'Failed key frames in a row from which /diagnostics says ERROR.',
    1, 1_000_000, live=True)
MAX_PIXELS = Parameter(
    'max_pixels', key_frame.MAX_PIXELS, 'Pixels of an image at most: a larger one is refused '
    'before it is decoded. 4096x2160 has 8847360.', 1, 1 << 26)

STATE_FOLDER = Parameter(
    'state_folder', '', 'Folder in which what was learnt is kept, so that a node that is started '
    'again goes on from it; empty: none.')


LINK_KEY_FILE = Parameter(
    'link_key_file', '', 'File with the secret that robots and tutor share, 16 bytes or more: '
    'what has no checksum made with it is not taken. Empty: none.')


def path_named(name: str) -> Path | None:
    """Return the file or folder that a parameter names, None for an empty one."""
    return Path(name).expanduser() if name else None
