# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import sys

import pytest

from shadowtutor_ros.doctor.finding import OK, PROBLEM, WARNING
from shadowtutor_ros.doctor.fixes import pip
from shadowtutor_ros.doctor.machine import (
    cpu_flags,
    judge_packages,
    judge_processor,
    judge_python,
    packages,
    processor,
    python,
)


def test_this_machine_can_run_a_student() -> None:
    assert processor().level in (OK, WARNING)
    assert (python().level, packages().level) == (OK, OK)
    assert sys.executable in python().found


@pytest.mark.parametrize(('architecture', 'flags', 'cpus', 'level'), [
    ('x86_64', {'avx2'}, 2, OK),
    ('x86_64', {'sse4_2'}, 8, WARNING),
    ('x86_64', {'avx2'}, 1, WARNING),
    ('aarch64', {'asimd', 'bf16'}, 6, OK),
])
def test_a_processor_is_judged_by_its_instructions_and_cpus(
    architecture: str, flags: set[str], cpus: int, level: str,
) -> None:
    finding = judge_processor(architecture, flags, cpus)
    assert finding.level == level
    assert bool(finding.fix) == (level == WARNING)


def test_bf16_which_decides_the_students_precision_is_shown(tmp_path: Path) -> None:
    (tmp_path / 'cpuinfo').write_text('flags : fpu avx2 avx512_bf16\n')
    flags = cpu_flags(tmp_path / 'cpuinfo')
    assert judge_processor('x86_64', flags, 2).found == 'x86_64, 2 CPUs, avx2, avx512_bf16'
    assert cpu_flags(tmp_path / 'missing') == set()


def test_a_python_before_humbles_is_a_problem() -> None:
    assert judge_python((3, 9), '3.9.2').level == PROBLEM
    assert judge_python((3, 10), '3.10.0').level == OK


def test_a_package_is_installed_as_pip_calls_it() -> None:
    finding = judge_packages({'cv2': 'ModuleNotFoundError', 'yaml': 'ImportError: numpy'})
    assert finding.level == PROBLEM
    assert finding.found == 'cv2: ModuleNotFoundError; yaml: ImportError: numpy'
    assert finding.fix == pip('opencv-python-headless pyyaml')
