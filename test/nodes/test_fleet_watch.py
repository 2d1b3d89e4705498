# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
import struct
import time

import pytest
from rclpy.serialization import serialize_message
from robots import lesson, Robots, status, wait_until
from scene import Scene
from shadowtutor_msgs.msg import StreamStatus, TutorStatus

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.monitor import fleet as fleet_module
from shadowtutor_ros.monitor.fleet import Fleet, FleetView
from shadowtutor_ros.nodes.fleet_watch import FleetWatch, watching

pytestmark = pytest.mark.ros


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def watch(robots: Robots, fleet: Fleet) -> Iterator[FleetWatch]:
    robots.student('/robot1/student', status('one'))  # before anybody watches
    with watching(fleet) as watch:
        wait_until(lambda: names(fleet) == ['one'])
        yield watch


def view(fleet: Fleet) -> FleetView:
    return fleet.view(time.monotonic())


def names(fleet: Fleet) -> list[str]:
    return [student.stream_id for student in view(fleet).students]


def test_who_comes_later_appears(robots: Robots, fleet: Fleet, watch: FleetWatch) -> None:
    robots.student('/student', status('two'))
    robots.tutor(['two'])
    wait_until(lambda: names(fleet) == ['one', 'two'] and len(view(fleet).tutors) == 1)
    one, two = view(fleet).students
    assert (one.node, one.tutor) == ('/robot1/student', '')
    assert (two.node, two.tutor) == ('/student', '/tutor')


def test_a_message_beyond_its_bounds_is_refused_and_the_next_is_heard(
    robots: Robots, fleet: Fleet, watch: FleetWatch, capfd: pytest.CaptureFixture[str],
) -> None:
    good = serialize_message(TutorStatus(streams=[StreamStatus(stream_id='MARK')]))
    at = good.index(b'MARK') - 8
    bad = good[:at] + struct.pack('<I', 200_000) + bytes(200_000)  # so many streams
    printed = []

    def refused() -> bool:
        robots.serialized_tutor(bad)  # again, until it is subscribed to
        printed.append(capfd.readouterr().err)
        return 'TutorStatus refused: streams: expected at most' in ''.join(printed)

    wait_until(refused)
    robots.tutor(['one'])
    wait_until(lambda: len(view(fleet).tutors) == 1)
    assert view(fleet).tutors[0].status.teacher == 'a teacher'


def test_who_leaves_is_forgotten_and_may_come_back(
    robots: Robots, fleet: Fleet, watch: FleetWatch, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_module, 'FORGET_AFTER', 0.0)
    robots.student('/student', status('two'))
    wait_until(lambda: names(fleet) == ['one', 'two'])
    robots.leave('/robot1/student')
    wait_until(lambda: names(fleet) == ['two'])
    robots.student('/robot1/student', status('one', stride=20))
    wait_until(lambda: names(fleet) == ['one', 'two'])
    assert view(fleet).students[0].status.stride == 20


def test_lessons_come_only_while_they_are_wanted(
    robots: Robots, fleet: Fleet, watch: FleetWatch, scene: Scene, classes: ClassSet,
) -> None:
    assert robots.lookers_on == 0
    watch.want_pictures(True)
    wait_until(lambda: robots.lookers_on == 1)
    robots.teach(lesson('one', scene.frames[0], scene.labels[0], scene.labels[0], sequence=3))
    wait_until(lambda: view(fleet).students[0].last is not None)
    last = view(fleet).students[0].last
    assert last is not None
    assert (last.tutor, last.lesson.sequence) == ('/tutor', 3)
    assert last.legend is not None
    assert (last.legend.names, last.legend.colours) == (classes.names, classes.colours)
    watch.want_pictures(False)
    wait_until(lambda: robots.lookers_on == 0)
