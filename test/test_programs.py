# SPDX-License-Identifier: Apache-2.0
"""Programs end quietly, whenever they are interrupted."""

import ast
from pathlib import Path
import subprocess
import sys

import pytest

from shadowtutor_ros import programs

INTERRUPTED = """
import os, signal
from shadowtutor_ros import programs

imported = programs.import_module

def import_module(name):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # as somebody's optional import may have it
        pass
    return imported(name)

programs.import_module = import_module
programs.{name}()
"""
SETUP = Path(__file__).parents[1] / 'setup.py'
NAMES = ['shadowtutor', 'student_node', 'tutor_node', 'teacher_node', 'helper_node',
         'replay_node', 'dashboard_node']


@pytest.mark.parametrize('name', NAMES)
def test_what_is_installed_is_there(name: str) -> None:
    strings = [node.value for node in ast.walk(ast.parse(SETUP.read_text()))
               if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert f'.programs:{name}' in strings
    assert callable(getattr(programs, name))


@pytest.mark.parametrize('name', NAMES)
def test_an_interrupt_during_the_imports_ends_quietly(name: str) -> None:
    run = subprocess.run([sys.executable, '-c', INTERRUPTED.format(name=name)],
                         capture_output=True, text=True, check=False)
    status = 130 if name == 'shadowtutor' else 0  # launch takes another one for a failure
    assert (run.returncode, run.stdout, run.stderr) == (status, '', '')


def test_a_program_is_the_module_it_names() -> None:
    code = 'from shadowtutor_ros.programs import shadowtutor; raise SystemExit(shadowtutor())'
    run = subprocess.run([sys.executable, '-c', code, '--version'], capture_output=True,
                         text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, '0.1.0')
