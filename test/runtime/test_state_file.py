# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from shadowtutor_ros.runtime.state_file import DamagedState, pack, unpack

SNAPSHOT = {'weights': np.arange(6, dtype=np.float32).reshape(2, 3), 'steps': np.array(3.0),
            'session_id': np.array(2**64 - 1, np.uint64), 'good': np.array(True)}


def test_a_snapshot_comes_back_to_the_bit() -> None:
    key, back = unpack(pack('robot', SNAPSHOT))
    assert key == 'robot'
    assert back.keys() == SNAPSHOT.keys()
    for name, array in SNAPSHOT.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()


def test_every_byte_counts() -> None:
    data = pack('robot', SNAPSHOT)
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= 1
        with pytest.raises(DamagedState):
            unpack(bytes(damaged))


@pytest.mark.parametrize('length', [0, 5, 30, 60, -1])
def test_a_part_of_a_file_is_damaged(length: int) -> None:
    with pytest.raises(DamagedState):
        unpack(pack('robot', SNAPSHOT)[:length])


def test_a_file_of_another_version_is_refused() -> None:
    other = pack('a', SNAPSHOT).replace(b'state 1\n', b'state 2\n')
    with pytest.raises(DamagedState, match=r'expected a file that begins with .*state 1'):
        unpack(other)
