# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor doctor``: what is wrong with this machine, and how to fix it."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
import json
import os
import sys

from shadowtutor_ros.commands.arguments import positive
from shadowtutor_ros.doctor.finding import BOTH, Finding, OK, PROBLEM, ROLES, SKIPPED, WARNING
from shadowtutor_ros.interrupts import ending_at_once, INTERRUPTED

_COLOURS = {OK: '32', WARNING: '33', PROBLEM: '1;31', SKIPPED: '2'}
_WIDTH = max(map(len, _COLOURS))
_WHAT = 19  # letters, as 'teacher torchvision'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = ('Changes nothing, unless it is told to clear shared memory. Source what the '
                     'nodes will have, then run it on both machines. Exit status 1 if there is a '
                     'problem, else 0.')
    parser.add_argument('--role', choices=ROLES, default=BOTH,
                        help='of this machine: a robot needs no teacher, a server no camera '
                             '(default %(default)s)')
    parser.add_argument('--teacher-weights', default='', metavar='PATH',
                        help='try this weight file, or these label maps')
    parser.add_argument('--teacher', default='', metavar='NAME',
                        help='whose weights they are (default: as their suffix says)')
    parser.add_argument('--graph', type=positive, metavar='SECONDS',
                        help='look at the running nodes, too; unless the role is server it '
                             'listens to the cameras, which costs their bandwidth')
    parser.add_argument('--clear-shared-memory', action='store_true',
                        help='remove what killed processes of Fast DDS have left of it, and end')
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return 1 if one is a problem."""
    if arguments.clear_shared_memory:
        from shadowtutor_ros.doctor.shared_memory import clear
        segments, size = clear()
        print(f'{segments} segments of killed processes removed, {size / 2**20:.1f} MiB')
        return 0
    from shadowtutor_ros.doctor.examination import examine

    colour = sys.stdout.isatty() and 'NO_COLOR' not in os.environ
    findings = []
    with ending_at_once(INTERRUPTED):  # else a library that was not imported is a finding
        for finding in examine(arguments.role, arguments.teacher_weights, arguments.teacher,
                               arguments.graph):
            findings.append(finding)
            if not arguments.json:
                print(_line(finding, colour), flush=True)
    count = Counter(finding.level for finding in findings)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print('\n' + ', '.join(f'{count[level]} {level}' for level in _COLOURS))
    return int(count[PROBLEM] > 0)


def _line(finding: Finding, colour: bool) -> str:
    level = f'{finding.level:{_WIDTH}}'
    if colour:
        level = f'\033[{_COLOURS[finding.level]}m{level}\033[0m'
    fixes = finding.fix.splitlines() if finding.level in (WARNING, PROBLEM) else []
    return '\n'.join([f'{level}  {finding.what:{_WHAT}}  {finding.found}',
                      *(f'{"" if n else "fix:":>{_WIDTH}}  {fix}' for n, fix in enumerate(fixes))])
