# SPDX-License-Identifier: Apache-2.0
import pytest

from shadowtutor_ros.nodes.answer_topics import ANSWER_TOPICS
from shadowtutor_ros.tasks.table import TASKS

pytestmark = pytest.mark.ros


def test_every_task_has_its_topics() -> None:
    assert ANSWER_TOPICS.keys() == TASKS.keys()
