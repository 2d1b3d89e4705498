# SPDX-License-Identifier: Apache-2.0
from array import array
from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import Piece, PieceReport, StudentUpdate, WeightTensor
from shadowtutor_msgs.srv import GetStudent

from shadowtutor_ros.wire.seal import (
    answer_to,
    BadKeyFile,
    BadTag,
    Moments,
    Replayed,
    Seal,
    UNKEYED,
)

KEYED, OTHER = Seal(b'k' * 32), Seal(b'o' * 32)


def update() -> StudentUpdate:
    return StudentUpdate(
        stream_id='robot', sequence=3, layout_hash=2**63 + 1, group='full', session_id=7,
        version=9, metric=0.7, initial_metric=float('nan'), encoding='fp16', crc32=4,
        tensors=[WeightTensor(name='a', shape=array('I', [2, 3]), dtype='float16', scale=0.1,
                              length=12)],
        payload=array('B', range(12)))


@pytest.mark.parametrize('seal', [UNKEYED, KEYED])
@pytest.mark.parametrize('message', [
    update(), Distill.Goal(stream_id='é', moment=4), Distill.Feedback(metric=float('nan')),
    Distill.Result(update=update()), Piece(data=array('B', b'abc')), PieceReport(),
    GetStudent.Response(class_names=['a', 'b'], mean=[0.1, 0.2, 0.3])])
def test_a_tag_survives_the_way(seal: Seal, message: object) -> None:
    seal.sign(message, b'here')
    arrived = deserialize_message(serialize_message(message), type(message))
    seal.check(arrived, b'here')
    with pytest.raises(BadTag):
        seal.check(arrived, b'elsewhere')


def test_who_has_another_key_or_none_cannot_make_a_tag() -> None:
    for stranger in UNKEYED, OTHER:
        with pytest.raises(BadTag, match='link_key_file'):
            KEYED.check(stranger.sign(update()))
    with pytest.raises(BadTag, match='link_key_file'):
        KEYED.check(update())
    with pytest.raises(BadTag):
        UNKEYED.check(KEYED.sign(update()))


def test_without_a_key_a_question_needs_no_tag_but_an_answer_does() -> None:
    UNKEYED.check(Distill.Goal())
    with pytest.raises(BadTag):
        UNKEYED.check(Distill.Result(), b'question')


@pytest.mark.parametrize('seal', [UNKEYED, KEYED])
def test_no_bit_can_be_changed(seal: Seal) -> None:
    """Every single bit of a serialized update: padding, what cannot be read, or found."""
    data = serialize_message(seal.sign(update(), b'q'))
    good = repr(deserialize_message(data, StudentUpdate))  # where NaN is NaN
    for bit in range(32, 8 * len(data)):
        flipped = bytearray(data)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        try:
            arrived = deserialize_message(bytes(flipped), StudentUpdate)
        except Exception:
            continue
        try:
            seal.check(arrived, b'q')
        except BadTag:
            continue
        assert repr(arrived) == good


def test_fields_do_not_run_into_each_other() -> None:
    one = KEYED.sign(GetStudent.Request(stream_id='ab', channel='c'))
    two = KEYED.sign(GetStudent.Request(stream_id='a', channel='bc'))
    assert one.tag != two.tag


def test_kinds_of_messages_do_not_stand_for_each_other() -> None:
    assert KEYED.sign(Piece()).tag != KEYED.sign(PieceReport()).tag


def test_an_answer_belongs_to_one_question() -> None:
    first = KEYED.sign(Distill.Goal(stream_id='r', moment=1))
    second = KEYED.sign(Distill.Goal(stream_id='r', moment=2))
    answer = KEYED.sign(Distill.Result(), answer_to(first))
    KEYED.check(answer, answer_to(first))
    with pytest.raises(BadTag):
        KEYED.check(answer, answer_to(second))


def test_what_was_heard_is_not_taken_again() -> None:
    moments = Moments()
    moments.take('r', 1, 10)
    moments.take('r', 1, 11)
    moments.take('r', 2, 5)
    for moment in 11, 10, 0:
        with pytest.raises(Replayed, match='expected a moment after 11'):
            moments.take('r', 1, moment)


def test_no_more_senders_are_remembered_than_fit() -> None:
    moments = Moments()
    for robot in range(5000):
        moments.take('r', robot, 1)
    assert len(moments._last) == 4096


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / 'key'
    path.write_bytes(b'0123456789abcdef\n')
    with_newline = Seal.of_file(path).sign(update()).tag
    path.write_bytes(b'0123456789abcdef')
    assert Seal.of_file(path).keyed
    assert Seal.of_file(path).sign(update()).tag == with_newline
    assert not Seal.of_file(None).keyed


@pytest.mark.parametrize(('content', 'reason'), [
    (b'', '16 to 4096 bytes, got none'), (b'short', 'got 5'), (b'x' * 5000, 'got 4097')])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / 'key'
    path.write_bytes(content)
    with pytest.raises(BadKeyFile, match=f'{path}.*{reason}'):
        Seal.of_file(path)
    with pytest.raises(BadKeyFile, match='No such file'):
        Seal.of_file(tmp_path / 'missing')


def test_numbers_are_those_that_arrive() -> None:
    """A float of Python has more digits than the field."""
    message = UNKEYED.sign(StudentUpdate(metric=float(np.pi) / 4), b'x')
    UNKEYED.check(deserialize_message(serialize_message(message), StudentUpdate), b'x')
