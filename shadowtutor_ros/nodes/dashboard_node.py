# SPDX-License-Identifier: Apache-2.0
"""The dashboard node: a web page of all students and tutors on the graph."""

from __future__ import annotations

from typing import Any

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.monitor.fleet import Fleet
from shadowtutor_ros.nodes.fleet_watch import FleetWatch
from shadowtutor_ros.nodes.toolkit.parameters import declare, Parameter
from shadowtutor_ros.nodes.toolkit.spin import run, WorkingNode

DASHBOARD_PARAMETERS = (
    Parameter('host', '127.0.0.1', 'Address to listen on. Whoever reaches it sees the pictures: '
              'there is no password.'),
    Parameter('port', 8080, 'TCP port to listen on; 0: any that is free.', 0, 65535),
)


class NoNiceGui(ShadowTutorError):
    """The optional package that makes the page is missing."""


class DashboardNode(WorkingNode):
    """
    Serves a page that shows what students and tutors publish.

    It subscribes to lessons and previews only while a browser is connected, so that tutors and
    students make no pictures for nobody.
    """

    def __init__(self) -> None:
        super().__init__('dashboard')
        p = declare(self, DASHBOARD_PARAMETERS)
        try:
            from shadowtutor_ros.monitor.page import DashboardServer
        except ModuleNotFoundError as error:
            raise NoNiceGui(
                f'the dashboard needs NiceGUI: pip install nicegui ({error})') from error
        fleet = Fleet()
        self._watch = FleetWatch(self, fleet)
        self._server = DashboardServer(fleet, p['host'], p['port'], self._watch.want_pictures)
        host = f"[{p['host']}]" if ':' in p['host'] else p['host']
        self.get_logger().info(f'the page is at http://{host}:{self._server.port}/')

    def stop(self) -> None:
        self._server.stop()


def main(args: list[str] | None = None) -> Any:
    """Run the dashboard node."""
    return run(DashboardNode, args, threads=2)


if __name__ == '__main__':
    main()
