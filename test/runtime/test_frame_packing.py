# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from shadowtutor_ros.runtime.frame_packing import AUTO, FramePacking
from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.key_frame import decode_frame, EncodedFrame

FRAME = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
JPEG = cv2.imencode('.jpg', FRAME, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def camera() -> CameraPicture:
    return CameraPicture(FRAME.shape[:2], lambda: FRAME, JPEG)


def test_a_cameras_jpeg_goes_on_as_it_came() -> None:
    def read() -> np.ndarray:
        raise AssertionError('nobody here need look at it')

    picture = CameraPicture(FRAME.shape[:2], read, JPEG)
    assert FramePacking(AUTO, 50).pack(picture, PathEstimate()) == EncodedFrame('jpeg', JPEG)


@pytest.mark.parametrize('format', ['jpeg', 'webp', 'png', 'raw'])
def test_a_format_that_is_asked_for_is_made(format: str) -> None:
    encoded = FramePacking(format, 50).pack(camera(), PathEstimate())
    assert encoded.data != JPEG
    if format in ('png', 'raw'):
        np.testing.assert_array_equal(decode_frame(encoded), FRAME)
    else:
        assert len(encoded.data) < len(JPEG)


def test_other_frames_become_jpegs() -> None:
    encoded = FramePacking(AUTO, 50).pack(CameraPicture.of(FRAME), PathEstimate())
    assert encoded.format == 'jpeg'
