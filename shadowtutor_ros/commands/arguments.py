# SPDX-License-Identifier: Apache-2.0
"""What several subcommands have: types of arguments, a warning of damaged sources."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import math
import sys


def warn(damage: str) -> None:
    """Say on stderr what of a source could not be read; nothing for an empty text."""
    if damage:
        print(f'warning: {damage}', file=sys.stderr)


def positive_int(text: str) -> int:
    """Return a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number of 1 or more, got {text!r}')
    return int(text)


def positive(text: str) -> float:
    """Return a finite number above 0."""
    return _number(text, lambda value: value > 0, 'above 0')


def not_negative(text: str) -> float:
    """Return a finite number of 0 or more."""
    return _number(text, lambda value: value >= 0, 'of 0 or more')


def add_topic(parser: argparse.ArgumentParser) -> None:
    """Declare ``--topic``, of a rosbag in place of a video."""
    parser.add_argument('--topic', default='', metavar='NAME',
                        help='image topic of a rosbag; default: its only camera')


def add_checkpoint(
    parser: argparse.ArgumentParser, default: str | None, otherwise: str = '%(default)s',
) -> None:
    """Declare ``--checkpoint``, the first student, and ``--seed`` of one with random weights."""
    parser.add_argument('--checkpoint', default=default, metavar='STUDENT',
                        help='first student: default (the shipped one of the class set), random, '
                             f'or a file (.safetensors, .pth) (default {otherwise})')
    parser.add_argument('--seed', type=int, default=0,
                        help='of what is random (default %(default)s)')


def _number(text: str, allowed: Callable[[float], bool], words: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not allowed(value):
        raise argparse.ArgumentTypeError(f'expected a number {words}, got {text!r}')
    return value
