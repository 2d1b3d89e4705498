# SPDX-License-Identifier: Apache-2.0
"""The package as it would be installed, for whoever asks the ament index."""

from pathlib import Path
import sys

NODES = ('dashboard_node', 'helper_node', 'replay_node', 'student_node', 'tutor_node')
_PROGRAM = '#!/bin/sh\nexec {python} -m shadowtutor_ros.nodes.{node} "$@"\n'


def install(prefix: Path) -> None:
    """Make an installation of this source tree under ``prefix``."""
    index = prefix / 'share/ament_index/resource_index/packages'
    programs = prefix / 'lib/shadowtutor_ros'
    for folder in (index, programs):
        folder.mkdir(parents=True)
    (index / 'shadowtutor_ros').touch()
    (prefix / 'share/shadowtutor_ros').symlink_to(Path(__file__).parents[1])
    for node in NODES:
        program = programs / node
        program.write_text(_PROGRAM.format(python=sys.executable, node=node))
        program.chmod(0o755)
