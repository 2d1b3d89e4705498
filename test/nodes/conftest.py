# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from robots import Robots
from scene import Scene
from system import System

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.harness.collector import Collector


@pytest.fixture
def system(domain_id: int, tmp_path: Path, scene: Scene) -> Iterator[System]:
    """Nodes in a domain of their own, of which /student is watched."""
    with ExitStack() as stack:
        collector = stack.enter_context(Collector('/student', domain_id))
        yield System(stack, tmp_path, scene, collector)


@pytest.fixture
def robots(domain_id: int, classes: ClassSet) -> Iterator[Robots]:
    robots = Robots(domain_id, classes)
    yield robots
    robots.close()


@pytest.fixture
def context(domain_id: int) -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    yield context
    rclpy.shutdown(context=context)
