# SPDX-License-Identifier: Apache-2.0
"""What one check found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

OK, WARNING, PROBLEM, SKIPPED = LEVELS = 'ok', 'warning', 'problem', 'skipped'
ROBOT, SERVER, BOTH = ROLES = 'robot', 'server', 'both'


@dataclass(frozen=True)
class Finding:
    """
    One line of the report.

    ``level`` is one of LEVELS, ``what`` was looked at, ``found`` is a sentence. ``fix`` has the
    commands that mend it, one per line, or where to read on; empty where nothing is to be done.
    """

    level: str
    what: str
    found: str
    fix: str = ''


def guarded(
    what: str, check: Callable[[], Finding | Iterable[Finding]],
) -> Iterator[Finding]:
    """Yield what ``check`` finds; that it failed is a finding too."""
    try:
        found = check()
        yield from [found] if isinstance(found, Finding) else found
    except Exception as error:
        yield Finding(PROBLEM, what, f'cannot be checked: {type(error).__name__}: {error}',
                      'please report this line: it is a fault of the doctor itself')
