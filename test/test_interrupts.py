# SPDX-License-Identifier: Apache-2.0
"""An interrupt that a library swallowed, or made another error of, as NumPy's import does."""

import signal
import subprocess
import sys

import pytest

from shadowtutor_ros.interrupts import Interrupts

SWALLOWED = """
import os, signal, sys
from shadowtutor_ros import cli
from shadowtutor_ros.{module} import {function} as module

def interrupted(*arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        raise {error} from None

setattr(module, {name!r}, interrupted)
sys.exit(cli.main({arguments}))
"""


def run(**words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-c', SWALLOWED.format(**words)],
                          capture_output=True, text=True, check=False)


@pytest.mark.parametrize('error', ['ImportError("NumPy")', 'KeyboardInterrupt', 'SystemExit(3)'])
def test_a_command_that_is_interrupted_says_no_more(error: str) -> None:
    done = run(module='evaluation', function='setting', name='load_settings',
               arguments=['evaluate', 'x.mp4'], error=error)
    assert (done.returncode, done.stdout, done.stderr) == (130, '', 'interrupted\n')


def test_the_doctor_takes_no_interrupt_for_a_finding() -> None:
    done = run(module='doctor', function='examination', name='examine', arguments=['doctor'],
               error='ImportError("NumPy")')
    assert (done.returncode, done.stdout, done.stderr) == (130, '', '')


def test_it_is_remembered_and_raised() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        assert not interrupts.came
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupts.came
    assert signal.getsignal(signal.SIGINT) is before
