# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor``: the command line."""

from __future__ import annotations

import argparse
import io
import sys

from shadowtutor_ros import __version__
from shadowtutor_ros.commands import (
    bag,
    bounds,
    demo,
    doctor,
    evaluate,
    pretrain,
    student,
    sweep,
    teacher,
    top,
)
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.interrupts import INTERRUPTED, Interrupts
from shadowtutor_ros.runtime.memory import keep_freed_memory

_COMMANDS = {
    'demo': (demo, 'a robot and a tutor on one video, over DDS'),
    'evaluate': (evaluate, "the paper's tables and figures on any video"),
    'pretrain': (pretrain, 'a first student from videos or annotated pictures'),
    'bounds': (bounds, 'least and largest throughput and traffic, and advice'),
    'sweep': (sweep, 'throughput over bandwidth, between two network namespaces'),
    'teacher': (teacher, 'weights of a teacher for this machine'),
    'student': (student, 'a checkpoint of what a robot has learnt'),
    'bag': (bag, 'rosbags from videos, and videos from rosbags'),
    'doctor': (doctor, 'what is wrong with this machine, and how to fix it'),
    'top': (top, 'all students and tutors on the graph, live'),
}


def command_line() -> argparse.ArgumentParser:
    """Return the parser of all subcommands."""
    parser = argparse.ArgumentParser(
        'shadowtutor', description='A robot segments its video with a small student network, '
                                   'which a tutor keeps expert.')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for name, (module, words) in _COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return its exit status."""
    arguments = command_line().parse_args(argv)
    keep_freed_memory()
    # What a terminal cannot show, as names that are not UTF-8, ends no command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    with Interrupts() as interrupts:
        try:
            return int(arguments.run(arguments))
        except (ShadowTutorError, OSError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        except BaseException as error:
            if not interrupts.came and not isinstance(error, KeyboardInterrupt):
                raise
            print('interrupted', file=sys.stderr)
            return INTERRUPTED


if __name__ == '__main__':
    sys.exit(main())
