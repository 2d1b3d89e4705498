# SPDX-License-Identifier: Apache-2.0
"""A picture is whole or refused, whatever stands behind its end."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image
import pytest

from shadowtutor_ros.picture.decode import decode_picture, format_of
from shadowtutor_ros.picture.header import BadHeader, jpeg_last_scan, MAX_MARKERS

NOISE = np.random.default_rng(0).integers(0, 256, (75, 107, 3), np.uint8)
GREY = np.full((64, 64, 3), 128, np.uint8)
END = b'\xff\xd9'


def jpeg(pixels: np.ndarray = NOISE, **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', **settings)
    return buffer.getvalue()


def thumbnail() -> bytes:
    exif = Image.Exif()
    exif[0x010e] = 'x'
    return exif.tobytes() + jpeg(NOISE[:16, :16])


KINDS = [{}, {'subsampling': 0}, {'restart_marker_blocks': 3}, {'progressive': True},
         {'quality': 20}, {'exif': thumbnail()}, {'comment': b'\xff\xda\xff\xd9'}]


@pytest.mark.parametrize('tail', [
    b'', bytes(4), b'\r\n', bytes(3) + b'\r\n', b'dhav\x59\x19\x01\x00', b'\xff' * 16,
    NOISE.tobytes()[:1024], jpeg(), b'\r\n--boundary\r\nContent-Type: image/jpeg\r\n\r\n',
], ids=['none', 'zeros', 'line end', 'both', 'vendor', 'filling', 'noise', 'picture', 'multipart'])
@pytest.mark.parametrize('settings', KINDS, ids=lambda s: ' '.join(s))
def test_what_stands_behind_a_jpeg_is_not_looked_at(
    settings: dict[str, object], tail: bytes,
) -> None:
    data = jpeg(**settings)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decode_picture('jpeg', data + tail), expected)


@pytest.mark.parametrize('part', [0.01, 0.2, 0.5, 0.9, 0.97])
@pytest.mark.parametrize('tail', [END, END + b'\r\n', jpeg(), b'\xff\xff' + END],
                         ids=['end', 'line end', 'next picture', 'filling'])
@pytest.mark.parametrize('settings', KINDS, ids=lambda s: ' '.join(s))
def test_a_jpeg_that_ends_early_is_refused_with_any_end(
    settings: dict[str, object], tail: bytes, part: float,
) -> None:
    data = jpeg(**settings)
    scan = jpeg_last_scan(data)
    with pytest.raises(BadHeader, match=r'truncated: it ends before|be decoded'):
        decode_picture('jpeg', data[:int(scan.start + part * (scan.end - scan.start))] + tail)


def test_a_jpeg_without_an_end_is_refused() -> None:
    with pytest.raises(BadHeader, match='truncated: no end marker'):
        decode_picture('jpeg', jpeg()[:-2] + b'\r\n')


@pytest.mark.parametrize('settings', KINDS, ids=lambda s: ' '.join(s))
def test_a_picture_of_what_a_decoder_fills_in_is_whole(settings: dict[str, object]) -> None:
    np.testing.assert_array_equal(decode_picture('jpeg', jpeg(GREY, **settings)), GREY)


def test_the_scans_of_a_jpeg_are_those_of_its_first_picture() -> None:
    data = jpeg(exif=thumbnail())
    scan = jpeg_last_scan(data)
    assert scan.end == len(data) - 2
    assert not scan.progressive
    assert jpeg_last_scan(data + jpeg()) == scan
    data = jpeg(progressive=True)
    assert jpeg_last_scan(data).progressive
    assert jpeg_last_scan(data).end == len(data) - 2
    assert data.rindex(b'\xff\xda') < jpeg_last_scan(data).start
    with pytest.raises(BadHeader, match='no picture'):
        jpeg_last_scan(data[:data.index(b'\xff\xda')])
    comments = b'\xff\xfe\x00\x02' * MAX_MARKERS
    with pytest.raises(BadHeader, match=f'at most {MAX_MARKERS} markers'):
        jpeg_last_scan(data[:-2] + comments)


def test_the_first_bytes_say_the_format() -> None:
    assert format_of(jpeg()) == 'jpeg'
    assert format_of(cv2.imencode('.png', NOISE)[1].tobytes()) == 'png'
    assert format_of(cv2.imencode('.webp', NOISE)[1].tobytes()) == 'webp'
    assert format_of(b'GIF89a') is None
    assert format_of(b'') is None
