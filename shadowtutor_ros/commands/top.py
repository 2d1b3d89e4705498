# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor top``: all students and tutors on the graph, live."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from shadowtutor_ros.commands.arguments import positive

if TYPE_CHECKING:
    from shadowtutor_ros.monitor.fleet import Fleet

_PERIOD = 0.5  # seconds between pictures
_PIPE_WIDTH = 160  # characters: all columns where no terminal limits them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--once', type=positive, metavar='SECONDS',
                        help='watch for so long, print one table and exit; with status 1 if '
                             'nobody was seen')


def run(arguments: argparse.Namespace) -> int:
    """Show the fleet until interrupted, or once."""
    from shadowtutor_ros.monitor.fleet import Fleet
    from shadowtutor_ros.nodes.fleet_watch import watching

    fleet = Fleet()
    with watching(fleet):
        if arguments.once is None:
            return _live(fleet)
        time.sleep(arguments.once)
        return _print(fleet)


def _print(fleet: Fleet) -> int:
    from rich.console import Console

    from shadowtutor_ros.monitor.terminal import FleetTables

    console = Console()
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    view = fleet.view(time.monotonic())
    console.print(FleetTables(view))
    return int(view.empty)


def _live(fleet: Fleet) -> int:
    from rich.live import Live

    from shadowtutor_ros.monitor.terminal import FleetTables

    try:
        with Live(screen=True, auto_refresh=False) as live:
            while True:
                live.update(FleetTables(fleet.view(time.monotonic())), refresh=True)
                time.sleep(_PERIOD)
    except KeyboardInterrupt:  # how one leaves it
        return 0
