# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor``: the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from shadowtutor_ros import __version__


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return its exit status."""
    parser = argparse.ArgumentParser('shadowtutor', description=__doc__)
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(required=True)

    demo = commands.add_parser('demo', help='a robot and a tutor on one video, over DDS')
    demo.add_argument('--video', type=Path, help='any video file; default: a fetched clip')
    demo.add_argument('--frames', type=int, default=200, help='at most (default %(default)s)')
    demo.add_argument('--teacher-weights', type=Path, help='YOLO .pt file; default: fetched')
    demo.add_argument('--out', type=Path, default=Path('demo_out'),
                      help='folder of the results (default %(default)s)')
    demo.set_defaults(run=_demo)

    arguments = parser.parse_args(argv)
    return int(arguments.run(arguments))


def _demo(arguments: argparse.Namespace) -> int:
    from shadowtutor_ros.demo.assets import AssetError
    from shadowtutor_ros.demo.run import DemoSettings, run_demo
    from shadowtutor_ros.harness.processes import ProcessDied
    from shadowtutor_ros.harness.stream import StreamError
    from shadowtutor_ros.teacher.protocol import TeacherError
    from shadowtutor_ros.video import VideoError

    settings = DemoSettings(
        arguments.out, arguments.video, arguments.frames, arguments.teacher_weights)
    try:
        summary = run_demo(settings)
    except (AssetError, ProcessDied, StreamError, TeacherError, VideoError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    print(f'\n{summary.table()}\n\n{arguments.out}/: overlay.mp4, frame.png, miou.png, '
          'summary.json, logs/')
    return 0


if __name__ == '__main__':
    sys.exit(main())
