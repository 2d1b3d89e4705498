# SPDX-License-Identifier: Apache-2.0
"""A robot and its tutor stay reachable and small, whatever strangers send them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
import secrets
import struct
import threading
import time
from typing import Any
import zlib

from lifecycle_msgs.srv import GetState
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import Piece, StudentStatus, StudentUpdate, WeightTensor
from shadowtutor_msgs.srv import GetStudent
from system import START, System

from shadowtutor_ros.harness.usage import usage_of
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.transfer.pieces import Piece as PlainPiece, PIECE_BYTES, piece_count
from shadowtutor_ros.wire.piece_messages import piece_to_msg
from shadowtutor_ros.wire.seal import UNKEYED

pytestmark = pytest.mark.ros

SOON = 5.0  # seconds within which a node answers on a busy machine; on a quiet one it is below 1
GIB = 1 << 30
PERIOD = 0.02  # seconds from one volley to the next


def many_dimensions() -> bytes:
    """An update with a tensor of three million dimensions, which nobody should multiply."""
    shape = struct.pack('<9I', 8, *[7] * 8)
    honest = serialize_message(StudentUpdate(
        tensors=[WeightTensor(name='x', dtype='float16', scale=1.0, shape=array('I', [7] * 8))]))
    assert honest.count(shape) == 1
    many = struct.pack('<I', 3_000_000) + b'\xff' * 12_000_000
    return zlib.compress(honest.replace(shape, many), 1)


def many_tensors() -> bytes:
    """An update of a million empty tensors."""
    mark = struct.pack('<I', 0xabcdef01)  # the field before them
    honest = serialize_message(StudentUpdate(crc32=0xabcdef01))
    assert honest.count(mark) == 1
    begin = honest[:honest.index(mark)] + mark
    return zlib.compress(begin + struct.pack('<I', 1_000_000) + bytes(30_000_000), 1)


def unpacks_to_much() -> bytes:
    """A quarter of a gigabyte of zeros."""
    return zlib.compress(bytes(256 << 20), 1)


def png(width: int, height: int, length: int | None = None) -> bytes:
    """A picture of zeros whose header says any size; ``length`` is what its data claims to be."""
    def chunk(kind: bytes, data: bytes, says: int | None = None) -> bytes:
        return (struct.pack('>I', len(data) if says is None else says) + kind + data
                + struct.pack('>I', zlib.crc32(kind + data)))
    return (b'\x89PNG\r\n\x1a\n'
            + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(bytes(1000)), length) + chunk(b'IEND', b''))


PICTURES = png(8, 8, 0x7fffffff), png(30_000, 30_000), png(8, 8), b'\xff\xd8\xff'


class Stranger:
    """
    Reads along, and so knows which pieces are awaited; speaks as anybody, with right checksums.

    What it does when it is let go is one of its methods, again and again.
    """

    def __init__(self, context: Context) -> None:
        self.done: Counter[str] = Counter()
        self._bombs = [many_tensors(), many_dimensions(), unpacks_to_much()]
        self._awaited: dict[int, str] = {}  # transfers' topics down, until they are answered
        self._met: set[int] = set()
        self._pubs: dict[str, Any] = {}
        self._node = node = rclpy.create_node('stranger', context=context)
        self._distill = ActionClient(node, Distill, '/tutor/distill')
        self._student = node.create_client(GetStudent, '/tutor/get_student')
        node.create_timer(0.1, self._meet)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(START)
        self._distill.destroy()
        self._node.destroy_node()

    def _meet(self) -> None:
        """Find the channel's topics."""
        for name, _ in self._node.get_topic_names_and_types():
            if name.rpartition('/')[2] in ('up', 'down') and name not in self._pubs:
                self._pubs[name] = self._node.create_publisher(Piece, name, qos.PIECES)
                self._node.create_subscription(
                    Piece, name, lambda piece, name=name: self._hear(name, piece), qos.PIECES)

    def _hear(self, name: str, piece: Piece) -> None:
        if name.endswith('/up') and piece.transfer not in self._met:
            self._met.add(piece.transfer)
            self._awaited[piece.transfer] = f'{name.rpartition("/")[0]}/down'

    def freeze(self) -> None:
        """Answer the robot's key frames with updates that nothing should be made of."""
        for transfer in list(self._awaited):
            name = self._awaited.pop(transfer)
            data = self._bombs[self.done['updates'] % len(self._bombs)]
            for index in range(piece_count(len(data))):
                part = data[index * PIECE_BYTES:(index + 1) * PIECE_BYTES]
                self._send(name, PlainPiece(transfer, len(data), index, index + 1, True, part))
            self.done['updates'] += 1

    def bomb(self) -> None:
        """Send the tutor key frames that unpack to much."""
        picture = PICTURES[self.done['goals'] % len(PICTURES)]
        self._distill.send_goal_async(UNKEYED.sign(Distill.Goal(
            stream_id='mallory', robot=7, sequence=1 + self.done['goals'],
            key_frame=CompressedImage(format='png', data=array('B', picture)))))
        self.done['goals'] += 1

    def flood(self) -> None:
        """Begin transfers of 64 MiB that never end, and ask for students."""
        for name in list(self._pubs):
            for _ in range(16):
                self._send(name, PlainPiece(
                    0xEE << 56 | secrets.randbits(48), 64 << 20, 0, 1, True, bytes(PIECE_BYTES)))
                self.done['pieces'] += 1
        self._student.call_async(GetStudent.Request(
            stream_id=f'squatter {secrets.randbits(3)}', robot=secrets.randbits(60)))
        self.done['requests'] += 1

    def _send(self, name: str, piece: PlainPiece) -> None:
        self._pubs[name].publish(piece_to_msg(piece, UNKEYED, name.encode()))


@pytest.fixture
def stranger(context: Context) -> Iterator[Stranger]:
    stranger = Stranger(context)
    yield stranger
    stranger.close()


class Asker:
    """Asks nodes for their state, one after the other."""

    def __init__(self, stack: ExitStack, context: Context) -> None:
        self._node = rclpy.create_node('asker', context=context)
        stack.callback(self._node.destroy_node)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._clients = {name: self._node.create_client(GetState, f'{name}/get_state')
                         for name in ('/student', '/tutor')}
        for client in self._clients.values():
            assert client.wait_for_service(START)

    def slowest(self, ended: Callable[[], bool]) -> dict[str, float]:
        """Return how many seconds each node's slowest answer took until something has ended."""
        times: dict[str, list[float]] = {name: [] for name in self._clients}
        limit = time.monotonic() + START
        while not ended() or len(times['/tutor']) < 20:
            assert time.monotonic() < limit
            for name, client in self._clients.items():
                began = time.monotonic()
                future = client.call_async(GetState.Request())
                self._executor.spin_until_future_complete(future, START)
                assert future.done(), name
                times[name].append(time.monotonic() - began)
            time.sleep(PERIOD)
        return {name: max(each) for name, each in times.items()}


@pytest.mark.parametrize(('how', 'what', 'enough'), [
    (Stranger.freeze, 'updates', 9), (Stranger.bomb, 'goals', 200),
    (Stranger.flood, 'pieces', 8000)])
def test_who_is_attacked_answers_at_once_and_stays_small(
    system: System, stranger: Stranger, context: Context, how: Callable[[Stranger], None],
    what: str, enough: int,
) -> None:
    tutor = system.tutor(teacher_weights=system.endless_labels())
    student = system.student(min_stride=2, max_stride=4, goal_timeout=5.0)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True, fps=10.0)
    system.wait(lambda s: s.updates_applied >= 3)
    usual = {process.pid: usage_of(process.pid).memory for process in (tutor, student)}
    before, ended = system.wait(lambda s: True), threading.Event()

    def attack() -> None:
        while not ended.wait(PERIOD):
            how(stranger)

    with ExitStack() as stack:
        asker = Asker(stack, context)
        attacker = threading.Thread(target=attack)
        attacker.start()
        try:
            slowest = asker.slowest(lambda: stranger.done[what] >= enough)
        finally:
            ended.set()
            attacker.join()
    assert max(slowest.values()) <= SOON, slowest
    for process in (tutor, student):
        process.check()
        taken = usage_of(process.pid).memory - usual[process.pid]
        assert taken < GIB, f'{process.module}: {taken >> 20} MiB'
    status = system.wait(lambda s: s.frames_processed > before.frames_processed + 20)
    system.wait(lambda s: s.updates_applied > status.updates_applied)
