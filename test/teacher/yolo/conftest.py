# SPDX-License-Identifier: Apache-2.0
import pytest
from tiny_yolo import tiny_network

from shadowtutor_ros.teacher.yolo.modules import SegmentationModel


@pytest.fixture
def tiny() -> SegmentationModel:
    """A network of four layers with random weights, sure of many objects of two classes."""
    return tiny_network()
