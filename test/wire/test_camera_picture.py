# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor
import threading

import numpy as np
import pytest

from shadowtutor_ros.frame import BadFrame, Frame
from shadowtutor_ros.wire.camera_picture import CameraPicture


def test_a_frame_is_a_picture() -> None:
    frame = np.zeros((4, 6, 3), np.uint8)
    picture = CameraPicture.of(frame)
    assert (picture.size, picture.jpeg) == ((4, 6), None)
    assert picture.frame() is frame
    with pytest.raises(BadFrame, match=r'expected a BGR uint8 image HxWx3'):
        CameraPicture.of(frame[..., 0])


def test_many_who_look_have_it_decoded_once() -> None:
    reads, go = [], threading.Event()

    def read() -> Frame:
        assert go.wait(30)
        reads.append(threading.get_ident())
        return np.zeros((4, 6, 3), np.uint8)

    picture = CameraPicture((4, 6), read)
    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(picture.frame) for _ in range(3)]
        go.set()
    assert len({id(look.result()) for look in looks}) == len(reads) == 1
