# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass, field
from typing import Any

import pytest

from shadowtutor_ros.nodes.toolkit import repeats
from shadowtutor_ros.nodes.toolkit.repeats import Repeats


@dataclass
class Log:
    """A node's logger that keeps what is said."""

    said: list[str] = field(default_factory=list)

    def get_logger(self) -> Any:
        return self

    def warning(self, text: str) -> None:
        self.said.append(text)


def test_the_same_is_said_now_and_then_and_what_is_new_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(repeats.time, 'monotonic', lambda: now)
    log, failures = Log(), Repeats()
    for _ in range(120):  # for 90 seconds
        failures.warn(log, 'no tutor')
        now += 0.75
    assert log.said == ['no tutor', *['no tutor (39 more times)'] * 2]
    failures.warn(log, 'stale')
    failures.warn(log, 'stale')
    failures.warn(log, 'no tutor')
    assert log.said[3:] == ['stale', 'no tutor']
