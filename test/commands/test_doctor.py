# SPDX-License-Identifier: Apache-2.0
import json

import pytest
from scene import Scene

from shadowtutor_ros import cli
from shadowtutor_ros.doctor import examination
from shadowtutor_ros.doctor.finding import Finding, LEVELS, OK, PROBLEM, SKIPPED, WARNING

FINDINGS = [Finding(OK, 'this', 'fine'), Finding(SKIPPED, 'that', 'absent', 'not shown'),
            Finding(WARNING, 'those', 'slow', 'first\nor: second')]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What is found, in place of this machine's state."""
    findings = list(FINDINGS)
    monkeypatch.setattr(examination, 'examine', lambda *arguments: iter(findings))
    return findings


def test_warnings_are_no_failure_and_fixes_stand_below(
    found: list[Finding], capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(['doctor']) == 0
    assert capsys.readouterr().out.splitlines() == [
        'ok       this                 fine',
        'skipped  that                 absent',
        'warning  those                slow',
        '   fix:  first',
        '         or: second',
        '',
        '1 ok, 1 warning, 0 problem, 1 skipped']


@pytest.mark.parametrize('options', [[], ['--json']])
def test_a_problem_is_the_exit_status(
    found: list[Finding], options: list[str], capsys: pytest.CaptureFixture[str],
) -> None:
    found.append(Finding(PROBLEM, 'all', 'broken', 'mend it'))
    assert cli.main(['doctor', *options]) == 1
    assert 'broken' in capsys.readouterr().out


def test_colour_is_for_terminals(
    found: list[Finding], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr('sys.stdout.isatty', lambda: True)
    cli.main(['doctor'])
    assert '\033[33mwarning\033[0m  those' in capsys.readouterr().out
    monkeypatch.setenv('NO_COLOR', '1')
    cli.main(['doctor'])
    assert '\033' not in capsys.readouterr().out


@pytest.mark.ros
@pytest.mark.usefixtures('domain_id')
def test_this_machine_as_json(
    scene: Scene, capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(['doctor', '--role', 'server', '--graph', '0.5', '--json',
                       '--teacher-weights', str(scene.label_maps)])
    printed = [Finding(**finding) for finding in json.loads(capsys.readouterr().out)]
    assert {finding.level for finding in printed} <= set(LEVELS)
    levels = {finding.what: finding.level for finding in printed}
    assert levels['teacher labels'] == levels['RMW'] == OK
    assert levels['tutors'] == PROBLEM
    assert status == 1


@pytest.mark.ros
def test_this_machine_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(['doctor', '--role', 'robot'])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith('ok       RMW ') for line in lines)
    assert status == any(line.startswith('problem') for line in lines)


@pytest.mark.parametrize('options', [['--role', 'cook'], ['--graph', '0'], ['--graph', 'soon']])
def test_options_out_of_range_are_refused(
    options: list[str], capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(['doctor', *options])
    assert f'argument {options[0]}: ' in capsys.readouterr().err
