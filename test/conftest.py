# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
import os
from pathlib import Path
import subprocess

from hypothesis import HealthCheck, settings
import pytest
from scene import make_scene, Scene
import torch
import warm

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.harness import processes
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.share import config_file

if not torch.cuda.is_available():
    os.environ['TRITON_INTERPRET'] = '1'  # before the first import of Triton

# How long an example takes is the machine's affair; a test is the same every time.
settings.register_profile(
    'tests', deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('tests')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What talks over real DDS is tried twice where every CPU is busy: `colcon test`'s way."""
    for item in items:
        if item.get_closest_marker('ros'):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The nodes under test are processes of their own: leave them the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope='session', autouse=True)
def _nodes() -> Iterator[None]:
    """Nodes begin at once and find each other soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, 'Popen', warm.start)
        patch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', str(Path(__file__).with_name('dds.xml')))
        yield


@pytest.fixture
def cold_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes as a user starts them, to see the whole of a process's life."""
    monkeypatch.setattr(processes, 'Popen', subprocess.Popen)


@pytest.fixture
def domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain for one test, on this machine alone, where nobody is yet."""
    with own_domain() as domain:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
        monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        yield domain


@pytest.fixture(scope='session')
def classes() -> ClassSet:
    return ClassSet.load(config_file('lvs8', 'classes'))


@pytest.fixture(scope='session')
def info(classes: ClassSet) -> StudentInfo:
    return StudentInfo(classes.names, classes.colours)


@pytest.fixture(scope='session')
def scene(classes: ClassSet, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Forty frames of 96x128: a person walks right, a car drives left over a textured ground."""
    return make_scene(tmp_path_factory.mktemp('scene'), classes, 40)
