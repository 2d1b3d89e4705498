# SPDX-License-Identifier: Apache-2.0
from array import array
from copy import copy
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from robots import lesson
from scene import Scene
from sensor_msgs.msg import CompressedImage

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.monitor.fleet import LessonView
from shadowtutor_ros.monitor.legend import Legend
from shadowtutor_ros.monitor.pictures import BadLesson, Gallery, KINDS, LIVE, paint

pytestmark = pytest.mark.ros


@pytest.fixture
def legend(classes: ClassSet) -> Legend:
    green = (0, 255, 0)  # a person's: far from what the scene paints
    return Legend(classes.names, (green, *classes.colours[1:]))


@pytest.fixture
def last(scene: Scene, legend: Legend) -> LessonView:
    mask = np.full_like(scene.labels[0], len(legend.names) - 1)
    return LessonView('/tutor', lesson('s', scene.frames[0], scene.labels[0], mask), legend, 0.0)


def with_fields(last: LessonView, **fields: Any) -> LessonView:
    changed = copy(last.lesson)
    for name, value in fields.items():
        setattr(changed, name, value)
    return replace(last, lesson=changed)


def picture(format: str, data: Any) -> CompressedImage:
    return CompressedImage(format=format, data=data)


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(float)


def test_label_and_mask_are_painted_over_the_key_frame(scene: Scene, last: LessonView) -> None:
    pictures = paint(last, 1)
    frame, teacher, student = (decoded(pictures.jpegs[kind]) for kind in KINDS)
    assert frame.shape == teacher.shape == student.shape == scene.frames[0].shape
    assert np.abs(frame - scene.frames[0]).mean() < 12
    assert np.abs(student - frame).mean() < 3
    person = np.s_[30:50, 13:21]
    expected = 0.4 * scene.frames[0][person] + 0.6 * np.array([0, 255, 0])
    assert np.abs(teacher[person] - expected).mean() < 15
    assert np.abs(teacher[60:, :60] - frame[60:, :60]).mean() < 5
    assert pictures.classes == (('person', (0, 255, 0)), ('auto', (50, 110, 240)))


def test_what_is_wrong_with_an_image_is_named(
    scene: Scene, last: LessonView,
) -> None:
    png = cv2.imencode('.png', scene.frames[0])[1].tobytes()
    says_4_gib = array('B', png.replace(png[33:37], b'\xff' * 4, 1))  # its first chunk of pixels
    large = picture('raw; bgr8; 3001x3000', b'')
    long = picture('raw; bgr8; 65501x1', array('B', bytes(3 * 65_501)))
    small = array('B', cv2.imencode('.jpeg', scene.frames[0][:48, :64])[1].tobytes())
    for bad, message in (
        (with_fields(last, key_frame=picture('jpeg', b'<b>')), 'key frame: .*jpeg'),
        (with_fields(last, label=picture('png', b'')), 'label: .*png'),
        (with_fields(last, mask=picture('bmp', last.lesson.mask.data)), 'mask: .*bmp'),
        (with_fields(last, key_frame=picture('jpeg', small)),
         'label: expected 48x64 as the key frame, got 96x128'),
        (with_fields(last, key_frame=picture('png', says_4_gib)), 'key frame: .*4294967295 bytes'),
        (with_fields(last, label=picture('png', says_4_gib)), 'label: .*4294967295 bytes'),
        (with_fields(last, key_frame=large), 'key frame: .*expected 1 to 9000000 pixels'),
        (with_fields(last, key_frame=long, label=long, mask=long), 'jpeg cannot hold'),
        (replace(last, legend=None), '/tutor has not said yet what its classes are'),
    ):
        with pytest.raises(BadLesson, match=message):
            paint(bad, 1)


def test_class_ids_without_a_name_are_left_unpainted(scene: Scene, last: LessonView) -> None:
    pictures = paint(replace(last, legend=Legend(('person', 'background'), ((9, 9, 9),) * 2)), 1)
    assert pictures.classes == (('person', (9, 9, 9)),)


def test_a_lesson_is_painted_once_and_a_bad_one_leaves_the_last(last: LessonView) -> None:
    gallery = Gallery()
    pictures, problem = gallery.show(last)
    assert pictures is not None
    assert problem == ''
    assert gallery.show(replace(last, age=5.0)) == (pictures, '')
    bad = with_fields(last, sequence=7, mask=CompressedImage())
    for _ in range(2):
        shown, problem = gallery.show(bad)
        assert shown is pictures
        assert problem.startswith('lesson 7 is not shown: mask: ')
    assert gallery.jpeg(pictures.serial, 'frame') == pictures.jpegs['frame']


def test_a_lesson_that_came_before_the_legend_is_shown_once_that_is_there(
    last: LessonView,
) -> None:
    gallery = Gallery()
    assert gallery.show(replace(last, legend=None))[0] is None
    shown, problem = gallery.show(last)
    assert shown is not None
    assert problem == ''


def test_only_the_newest_pictures_are_kept(last: LessonView) -> None:
    gallery = Gallery()
    serials = []
    for sequence in range(3):
        pictures, _ = gallery.show(with_fields(last, sequence=sequence))
        assert pictures is not None
        serials.append(pictures.serial)
    assert len(set(serials)) == 3
    assert [gallery.jpeg(serial, 'teacher') is not None for serial in serials] == [
        False, True, True]
    assert gallery.jpeg(serials[2], 'nonsense') is None


def test_what_a_student_sees_is_encoded_once_and_a_bad_picture_leaves_the_last(
    scene: Scene,
) -> None:
    gallery = Gallery()
    assert gallery.live('/s', picture('jpeg', b'<script>')) is None
    seen = picture('', array('B', cv2.imencode('.jpg', scene.frames[0])[1].tobytes()))
    pictures = gallery.live('/s', seen)
    assert pictures is not None
    assert gallery.live('/s', seen) is pictures
    assert np.abs(decoded(pictures.jpegs[LIVE]) - scene.frames[0]).mean() < 14
    assert gallery.jpeg(pictures.serial, LIVE) == pictures.jpegs[LIVE]
    large = picture('', array('B', cv2.imencode('.jpg', np.zeros((1100, 1000, 3)))[1].tobytes()))
    assert gallery.live('/s', large) is pictures
    assert gallery.live('/other', large) is None
