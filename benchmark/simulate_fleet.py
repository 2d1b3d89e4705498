# SPDX-License-Identifier: Apache-2.0
"""
How a tutor bears 1 to 200 robots, by service times: a simulation, no measurement.

``python benchmark/simulate_fleet.py --plot docs/scale.png --json FILE`` takes some minutes of one
core; ``--robots 64,200`` looks at these alone. The product's own Turns, Load and Scheduler decide.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
import json
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from simulation.fleet import Period, Row, simulate
from simulation.scenarios import SCENARIOS

from shadowtutor_ros.commands.arguments import positive, positive_int

ROBOTS = (1, 2, 4, 8, 16, 32, 64, 128, 200)

_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ('robots', lambda r: str(r.robots)),
    ('key frames/s', lambda r: f'{r.key_frames_per_second:.1f}'),
    ('turnaround p50, ms', lambda r: f'{r.turnaround_ms_p50:.0f}'),
    ('p95', lambda r: f'{r.turnaround_ms_p95:.0f}'),
    ('fairness', lambda r: f'{r.fairness:.3f}'),
    ('age of weights, s', lambda r: f'{r.staleness:.2f}'),
    ('longest without update, s', lambda r: f'{r.longest_gap:.1f}'),
    ('stride', lambda r: f'{r.stride:.0f}'),
    ('steps', lambda r: f'{r.steps:.1f}'),
    ('share of steps', lambda r: f'{r.steps_share:.2f}'),
    ('failed', lambda r: str(r.failures)),
    ('before', lambda r: str(r.early_failures)),
    ('GPU', lambda r: f'{r.gpu:.2f}'),
)


def main() -> None:
    """Simulate every scenario with every number of robots."""
    options = _parser().parse_args()
    period = Period(steady=options.steady, end=options.steady + options.seconds)
    rows: list[Row] = []
    for scenario in SCENARIOS:
        print(f'\n{scenario.name}\n\n{_line([name for name, _ in _COLUMNS])}\n'
              f'{_line(["--:"] * len(_COLUMNS))}')
        for robots in options.robots:
            rows.append(simulate(scenario, robots, period, options.seed))
            print(_line([cell(rows[-1]) for _, cell in _COLUMNS]), flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if options.plot is not None:
        figure(rows).savefig(options.plot, dpi=110)


def figure(rows: Sequence[Row]) -> Figure:
    """Return the curves of all scenarios over the number of robots."""
    panels: tuple[tuple[str, Callable[[Row], float], bool], ...] = (
        ('turnaround, ms (p50 dotted, p95)', lambda r: r.turnaround_ms_p95, True),
        ('key frames per second', lambda r: r.key_frames_per_second, False),
        ('stride, frames', lambda r: r.stride, True),
        ('share of the steps', lambda r: r.steps_share, False),
        ('longest without an update, s', lambda r: r.longest_gap, True),
        ("Jain's index of the weights' ages", lambda r: r.fairness, False),
    )
    result = Figure(figsize=(11, 6), layout='constrained')
    for index, (title, value, log) in enumerate(panels):
        axes = result.add_subplot(2, 3, index + 1)
        for number, name in enumerate(dict.fromkeys(row.scenario for row in rows)):
            mine = [row for row in rows if row.scenario == name]
            _curve(axes, mine, value, f'C{number}', '-', name)
            if index == 0:
                _curve(axes, mine, lambda r: r.turnaround_ms_p50, f'C{number}', ':', None)
        axes.set_title(title, fontsize=10)
        axes.set_xscale('log', base=2)
        axes.set_yscale('log' if log else 'linear')
        axes.xaxis.set_major_formatter('{x:.0f}')
        axes.grid(alpha=0.3)
        if not log:
            axes.set_ylim(bottom=0)
        if index == 0:
            axes.axhline(250, color='grey', linewidth=0.8)
            axes.legend(fontsize=8)
        if index > 2:
            axes.set_xlabel('robots at 30 FPS')
    return result


def _curve(
    axes: Axes, rows: Sequence[Row], value: Callable[[Row], float], colour: str, line: str,
    label: str | None,
) -> None:
    axes.plot([row.robots for row in rows], [value(row) for row in rows], line, color=colour,
              marker='.', label=label)


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1] if __doc__ else '')
    parser.add_argument(
        '--robots', default=ROBOTS,
        type=lambda text: tuple(positive_int(part) for part in text.split(',')))
    parser.add_argument('--steady', type=positive, default=420.0,
                        help='seconds before anything is counted')
    parser.add_argument('--seconds', type=positive, default=60.0, help='that are counted')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--plot', type=Path)
    return parser


if __name__ == '__main__':
    main()
