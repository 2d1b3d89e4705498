# SPDX-License-Identifier: Apache-2.0
"""The script for a GPU machine, on a CPU: all of its parts, and what it may import."""

from __future__ import annotations

from itertools import chain, repeat
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from fleet_robots import read_film
import gpu
from gpu_parts import calls_of
import numpy as np
import pytest
from reference import Reference
from scene import make_scene, Scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.protocol import Labelling

CLASSES = ClassSet.load(config_file('lvs8', 'classes'))
ROOT = Path(__file__).parents[2]
NOT_THERE = ('rclpy', 'shadowtutor_msgs', 'rich', 'rosbags', 'tqdm', 'safetensors', 'matplotlib',
             'jinja2', 'torchvision')


@pytest.fixture(scope='module')
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp('scene'), CLASSES, 3)


class RedTeacher:
    """Sees persons where it is red."""

    name, version = 'red', '1'

    def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
        red = frame[..., 2].astype(int) - frame[..., 0] > 90
        return Labelling(np.where(red, CLASSES.names.index('person'), CLASSES.background).astype(
            np.uint8))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.fleet, 'create_teacher', lambda *args, **options: RedTeacher())
    monkeypatch.setattr(gpu.fleet, 'SCHOOL_STEPS', 2)
    monkeypatch.setattr(gpu, 'CPU', gpu.Scale((64, 48), 1, 1, (2,), 1, (1,), 1.0))


@pytest.mark.usefixtures('small')
def test_every_part_on_a_cpu(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / 'folder' / 'gpu.json'
    assert gpu.main(['--device', 'cpu', '--teacher-weights', 'red.pt', '--clip',
                     str(scene.video), '--json', str(file)]) == 0
    found = json.loads(file.read_text())
    assert (found['device'], found['teacher_name'], found['size']) == ('cpu', 'red', [64, 48])
    assert found['skipped'] == []
    assert found.keys() >= gpu.PARTS.keys()
    assert found['frame']['fp32']['same_pixels'] > 0.999
    assert found['frame']['reference']['ms'] > 0
    for step in ('partial_step', 'full_step'):
        assert found[step].keys() >= {'reference_ms', 'product_ms', 'speed_up'}
    assert [found['key_frame'][f'{count} steps']['steps'] for count in (0, 8, 16)] == [0, 8, 16]
    assert found['profile']['host_waits_of_the_lesson'] == 0
    assert found['memory']['mib_per_stream'] is None
    assert [row['robots'] for row in found['fleet']['rows']] == [1]


def test_what_does_not_fit_is_skipped_and_what_fails_is_told() -> None:
    def fails(stage: gpu.Stage) -> dict[str, Any]:
        raise MemoryError('too little')

    told: list[list[str]] = []
    left = chain([20.0, 6.0, 6.0], repeat(0.0))
    found = gpu.measure(
        None,  # type: ignore[arg-type]
        {'bad': (10, fails), 'long': (10, lambda stage: {}), 'good': (5, lambda stage: {'ms': 1}),
         'late': (1, fails)},
        lambda: next(left), lambda found: told.append(list(found)))
    assert found['skipped'] == ['long', 'late']
    assert found['bad']['error'] == 'MemoryError: too little'
    assert found['good']['ms'] == 1
    assert told[0] == ['skipped', 'bad']


@pytest.mark.usefixtures('small')
def test_a_failed_part_is_the_exit_status(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(stage: gpu.Stage) -> dict[str, Any]:
        raise RuntimeError('no')

    monkeypatch.setattr(gpu, 'PARTS', {'bad': (1, fails), 'long': (1e6, fails)})
    arguments = ['--device', 'cpu', '--teacher-weights', 'red.pt', '--clip', str(scene.video),
                 '--json', str(tmp_path / 'gpu.json')]
    assert gpu.main([*arguments, '--parts', 'bad,long']) == 1
    assert 'long: skipped, it does not fit into 180 s' in capsys.readouterr().err


def test_calls_are_counted_by_their_names() -> None:
    events = [('cudaLaunchKernel', False), ('cudaLaunchKernelExC', False),
              ('cudaGraphLaunch', False), ('cudaMemcpyAsync', False),
              ('cudaStreamSynchronize', False), ('cudaEventSynchronize', False),
              ('aten::add', False), ('void at::native::vectorized()', True),
              ('Memcpy HtoD (Pinned -> Device)', True), ('Memset (Device)', True)]
    assert calls_of(events) == {
        'kernels': 1, 'device_copies': 2, 'launches': 2, 'graph_launches': 1, 'copies': 1,
        'synchronizations': 2}


def test_the_reference_is_where_it_is_told(scene: Scene) -> None:
    film = read_film(scene.video, 1)
    student = Student.random(StudentInfo(CLASSES.names), 0)
    reference = Reference(
        student.weights(FULL), student.info.mean, student.info.std, device='cpu')
    assert reference.device == torch.device('cpu')
    assert reference.segment(film.frames[0]).shape == (96, 128)


@pytest.mark.parametrize('script', ['gpu', 'fleet'])
def test_a_bare_machine_can_import_it(script: str) -> None:
    code = (f'import sys; sys.path.insert(0, {str(ROOT / "benchmark")!r})\n'
            f'for name in {NOT_THERE}: sys.modules[name] = None\n'
            f'import {script}\n'
            f'import shadowtutor_ros.teacher.yolo\n')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=False, cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 0, done.stderr
