# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator

from shadowtutor_ros.doctor.finding import Finding, guarded, OK, PROBLEM

FINE = Finding(OK, 'this', 'fine')


def test_what_a_check_finds_goes_through() -> None:
    assert list(guarded('this', lambda: FINE)) == [FINE]
    assert list(guarded('these', lambda: [FINE, FINE])) == [FINE, FINE]


def test_a_check_that_fails_is_a_problem_and_keeps_what_was_found_before() -> None:
    def some() -> Iterator[Finding]:
        yield FINE
        raise LookupError('no such thing')

    first, failed = guarded('these', some)
    assert first == FINE
    assert (failed.level, failed.what) == (PROBLEM, 'these')
    assert 'LookupError: no such thing' in failed.found
