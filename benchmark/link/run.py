# SPDX-License-Identifier: Apache-2.0
"""
What a lossy, slow link does to key frames and updates: the real nodes in two namespaces.

``python benchmark/link/run.py --grid quick --json FILE`` as root; or a grid of one's own with
``--loss 0,5 --rate none,8 --profile none,fastdds-mtu --key-frames 20``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
import itertools
import json
from pathlib import Path
import signal
import sys
from typing import TypeVar

from link_figures import Row, table
from link_grid import Ask, BURST, enough, full, KINDS, LOSS, quick, QUICK_PROFILES
from link_lab import measure, Settings

from shadowtutor_ros import assets
from shadowtutor_ros.commands.arguments import not_negative, positive, positive_int
from shadowtutor_ros.dds import profile_environment, PROFILES
from shadowtutor_ros.errors import ShadowTutorError

_T = TypeVar('_T')


def main(arguments: list[str] | None = None) -> int:
    """Measure every run of the grid; the file has the rows that are done at any time."""
    options = _parser().parse_args(arguments)
    # Ended from outside, it must still take its namespaces down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows: list[Row] = []
    try:
        asks = _asks(options)
        settings = Settings(
            options.video or assets.clip(), options.out,
            {name: profile_environment(name) for name in {ask.profile for ask in asks}},
            dict(options.student),
            options.fps, round(1000 * options.key_frame_kb), options.miou_fps,
            options.miou_frames, options.start_seconds)
        for number, ask in enumerate(asks, 1):
            row = measure(ask, settings, options.out / f'{number:02}')
            rows.append(row)
            _write(options.json, rows)
            print(f'{number}/{len(asks)} {table([row]).splitlines()[-1]}', flush=True)
    except ShadowTutorError as error:
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if rows:
            print(f'\n{table(rows)}')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--grid', choices=('quick', 'full'),
                        help='a few runs in under ten minutes, or all in hours')
    parser.add_argument('--loss', type=_list(_percent), default=[0.0], metavar='A,B,...',
                        help='percent of packets lost each way')
    parser.add_argument('--rate', type=_list(_rate), default=[None], metavar='A,B,...',
                        help='10^6 bit/s each way, or none')
    parser.add_argument('--profile', type=_list(str), metavar='A,B,...',
                        help=f'DDS profiles: {", ".join(PROFILES)} (default: all; the quick '
                             'grid: two)')
    parser.add_argument('--kind', choices=KINDS, default=LOSS,
                        help='of run: key frames (loss, burst, outage) or accuracy (miou)')
    parser.add_argument('--key-frames', type=positive_int, metavar='N',
                        help='of each run (default: by its loss)')
    parser.add_argument('--seconds', type=positive, default=400.0, metavar='S',
                        help='after which a run ends anyway (default %(default)s)')
    parser.add_argument('--queue-kb', type=positive, metavar='KB',
                        help='before a slow link (default: 100 ms of its rate, at least 64)')
    parser.add_argument('--student', type=_parameter, action='append', default=[],
                        metavar='NAME=VALUE', help='parameter of the student node; repeatable')
    parser.add_argument('--transfer', type=lambda text: ('transfer', text), action='append',
                        dest='student', help='the same as --student transfer=...')
    parser.add_argument('--video', type=Path, help="of any size (default: the demo's clip)")
    parser.add_argument('--fps', type=positive, default=10.0,
                        help='of the camera while key frames are counted (default %(default)s)')
    parser.add_argument('--key-frame-kb', type=positive, default=110.0, metavar='KB',
                        help='a JPEG of quality 90: 110 of 768x576 (default), 185 of 1280x720')
    parser.add_argument('--miou-fps', type=positive, default=0.0,
                        help="of the camera in runs miou (default: the video's)")
    parser.add_argument('--miou-frames', type=positive_int, default=300)
    parser.add_argument('--start-seconds', type=positive, default=30.0, metavar='S',
                        help='for the first weights over the bad link (default %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='the rows')
    parser.add_argument('--out', type=Path, default=Path('link_out'), metavar='DIR',
                        help='logs of all nodes (default %(default)s)')
    return parser


def _asks(options: argparse.Namespace) -> list[Ask]:
    profiles = options.profile or list(QUICK_PROFILES if options.grid == 'quick' else PROFILES)
    for name in profiles:
        if name not in PROFILES:
            raise ShadowTutorError(f'profile: expected one of {", ".join(PROFILES)}, got {name!r}')
    if options.kind == BURST and not all(options.loss):
        raise ShadowTutorError('--kind burst: expected a --loss above 0')
    if options.grid:
        return (quick if options.grid == 'quick' else full)(profiles)
    return [Ask(options.kind, loss, rate, profile, options.key_frames or enough(loss),
                options.seconds, options.queue_kb and round(1000 * options.queue_kb))
            for loss, rate, profile in itertools.product(options.loss, options.rate, profiles)]


def _write(path: Path | None, rows: list[Row]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix('.part')
        part.write_text(json.dumps({'rows': [asdict(row) for row in rows]}, indent=2) + '\n')
        part.replace(path)


def _list(kind: Callable[[str], _T]) -> Callable[[str], list[_T]]:
    return lambda text: [kind(part) for part in text.split(',')]


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition('=')
    if not equals:
        raise argparse.ArgumentTypeError(f'expected NAME=VALUE, got {text!r}')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _percent(text: str) -> float:
    value = not_negative(text)
    if value > 100:
        raise argparse.ArgumentTypeError(f'expected 0 to 100, got {text!r}')
    return value


def _rate(text: str) -> float | None:
    return None if text == 'none' else positive(text)


if __name__ == '__main__':
    sys.exit(main())
