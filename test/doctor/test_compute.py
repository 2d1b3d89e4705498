# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch

from shadowtutor_ros.doctor.compute import (
    hardware,
    JETSON,
    judge_gpu,
    judge_torch,
    NVIDIA,
    read_torch,
    student,
    Torch,
)
from shadowtutor_ros.doctor.finding import BOTH, OK, PROBLEM, ROBOT, SERVER, SKIPPED, WARNING
from shadowtutor_ros.doctor.fixes import pip

MISSING = Torch(error="ModuleNotFoundError: No module named 'torch'")
CPU = Torch('2.13.0+cpu')
CUDA = Torch('2.13.0', '12.6', ('Orin, 6.0 of 7.4 GiB free',))
BROKEN = Torch('2.13.0', '12.6', (), 'RuntimeError: no kernel image is available')


def test_the_torch_of_this_machine_is_read() -> None:
    read = read_torch()
    assert read.version == torch.__version__
    assert len(read.gpus) == torch.cuda.device_count()
    assert judge_torch(read, '').level == OK
    assert judge_gpu(read, '', ROBOT).level == OK
    assert student(read).level == OK
    assert 'thread' in student(read).found


def test_without_torch_the_rest_is_skipped() -> None:
    finding = judge_torch(MISSING, '')
    assert finding.level == PROBLEM
    assert finding.fix == pip('torch')
    assert judge_gpu(MISSING, '', BOTH).level == student(MISSING).level == SKIPPED


def test_a_jetson_takes_nvidias_torch() -> None:
    for finding in (judge_torch(MISSING, JETSON), judge_gpu(CPU, JETSON, ROBOT),
                    judge_gpu(BROKEN, JETSON, ROBOT)):
        assert 'JetPack' in finding.fix
        assert 'pip install' not in finding.fix


@pytest.mark.parametrize(('read', 'driver', 'role', 'level', 'word'), [
    (CUDA, NVIDIA, SERVER, OK, 'Orin'),
    (CPU, '', ROBOT, OK, 'none'),
    (CPU, '', SERVER, WARNING, 'none'),
    (CPU, '', BOTH, WARNING, 'none'),
    (CPU, NVIDIA, ROBOT, WARNING, 'built without CUDA'),
    (BROKEN, NVIDIA, ROBOT, PROBLEM, 'no kernel image'),
    (Torch('2.13.0', '12.6'), NVIDIA, SERVER, PROBLEM, 'no device'),
    (Torch('2.13.0', '12.6', (), 'the driver is too old'), '', ROBOT, WARNING, 'too old'),
    (Torch('2.13.0', '12.6'), '', ROBOT, OK, 'none'),
])
def test_a_gpu_is_judged_by_what_torch_can_do_with_it(
    read: Torch, driver: str, role: str, level: str, word: str,
) -> None:
    finding = judge_gpu(read, driver, role)
    assert finding.level == level
    assert word in finding.found
    assert bool(finding.fix) == (level != OK)


def test_hardware_is_known_by_the_systems_files(tmp_path: Path) -> None:
    assert hardware(tmp_path) == ''
    (tmp_path / 'proc/driver/nvidia').mkdir(parents=True)
    (tmp_path / 'proc/driver/nvidia/version').touch()
    assert hardware(tmp_path) == NVIDIA
    (tmp_path / 'proc/device-tree').mkdir()
    (tmp_path / 'proc/device-tree/model').write_text('NVIDIA Jetson Orin Nano\0')
    assert hardware(tmp_path) == JETSON
