# SPDX-License-Identifier: Apache-2.0
"""The processor and the Python that runs here."""

from __future__ import annotations

from collections.abc import Collection
import importlib
import os
from pathlib import Path
import platform
import sys

from shadowtutor_ros.doctor.finding import Finding, OK, PROBLEM, WARNING
from shadowtutor_ros.doctor.fixes import pip

PROCESSOR, PYTHON, PACKAGES = 'processor', 'Python', 'Python packages'
_X86 = ('x86_64', 'AMD64')
_SHOWN = ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16', 'asimd', 'bf16')
_OLDEST = (3, 10)
# What the nodes import beside ROS and torch, and how pip calls it.
_PACKAGES = {'numpy': 'numpy', 'cv2': 'opencv-python-headless', 'yaml': 'pyyaml',
             'safetensors': 'safetensors'}


def processor() -> Finding:
    """Say which processor this is, and what of it this process may use."""
    return judge_processor(platform.machine(), cpu_flags(), len(os.sched_getaffinity(0)))


def cpu_flags(path: Path = Path('/proc/cpuinfo')) -> set[str]:
    """Return the words of ``path``, among them the instruction sets; none without the file."""
    return set(path.read_text().split()) if path.is_file() else set()


def judge_processor(architecture: str, flags: Collection[str], cpus: int) -> Finding:
    """Judge a processor by its instruction sets and the number of CPUs."""
    sets = ', '.join(name for name in _SHOWN if name in flags)
    found = f'{architecture}, {cpus} CPU{"s"[:cpus != 1]}, {sets or "no vector instructions"}'
    if architecture in _X86 and 'avx2' not in flags:
        return Finding(WARNING, PROCESSOR, f'{found}: without AVX2 the student is slow',
                       'use a GPU (parameter device: cuda), or a processor with AVX2')
    if cpus < 2:
        return Finding(
            WARNING, PROCESSOR, f'{found}: student, camera and DDS share it',
            'give the container or virtual machine two CPUs: docker run --cpuset-cpus=0,1 ...')
    return Finding(OK, PROCESSOR, found)


def python() -> Finding:
    """Say which Python runs."""
    return judge_python(sys.version_info[:2], f'{platform.python_version()}, {sys.executable}')


def judge_python(version: tuple[int, ...], found: str) -> Finding:
    """Judge a Python by its version."""
    if version < _OLDEST:
        wanted = '.'.join(map(str, _OLDEST))
        return Finding(PROBLEM, PYTHON, f'{found}: expected {wanted} or later',
                       'use ROS 2 Humble or later, whose Python is 3.10 or later')
    return Finding(OK, PYTHON, found)


def packages() -> Finding:
    """Import what the nodes need beside ROS and torch."""
    wrong = {}
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
        except Exception as error:  # a library for another NumPy raises what it likes
            missing = isinstance(error, ModuleNotFoundError) and error.name == name
            wrong[name] = 'not installed' if missing else f'{type(error).__name__}: {error}'
    return judge_packages(wrong)


def judge_packages(wrong: dict[str, str]) -> Finding:
    """Judge by the errors of the packages that cannot be imported."""
    if not wrong:
        return Finding(OK, PACKAGES, ', '.join(_PACKAGES))
    return Finding(PROBLEM, PACKAGES, '; '.join(f'{name}: {e}' for name, e in wrong.items()),
                   pip(' '.join(_PACKAGES[name] for name in wrong)))
