# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from shadowtutor_ros.schedule.scene_watch import SceneWatch


def test_a_lesson_far_below_the_usual_is_another_scene() -> None:
    watch = SceneWatch()
    for metric in (0.8, 0.7, 0.8):
        assert not watch.changed(0.0)
        watch.add(metric)
    assert watch.usual == pytest.approx(0.8 * (0.8 * 0.8 + 0.2 * 0.7) + 0.2 * 0.8)
    assert not watch.changed(0.76 * watch.usual)
    assert watch.changed(0.74 * watch.usual)


def test_what_is_usual_follows_the_scene() -> None:
    watch = SceneWatch(0.8, 10)
    changes = 0
    while watch.changed(0.4):
        watch.add(0.4)
        changes += 1
    assert changes == 5


def test_nothing_is_usual_at_the_beginning() -> None:
    watch = SceneWatch()
    assert math.isnan(watch.usual)
    assert not watch.changed(0.0)
