# SPDX-License-Identifier: Apache-2.0
"""Sizes as JPEG, PNG and WebP say them; what would make a decoder work or allocate is refused."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

from shadowtutor_ros.picture.header import (
    BadHeader,
    check_png_pixels,
    jpeg_size,
    MAX_CHUNKS,
    MAX_MARKERS,
    MAX_SCANS,
    png_size,
    webp_size,
)
from shadowtutor_ros.wire.errors import BadKeyFrame
from shadowtutor_ros.wire.key_frame import decode_frame, EncodedFrame

SIGNATURE = b'\x89PNG\r\n\x1a\n'


def picture(kind: str, **settings: object) -> bytes:
    """Return a file of 37x53 pixels as Pillow writes it."""
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **settings)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    return (struct.pack('>I', len(content) if length is None else length) + kind + content
            + struct.pack('>I', zlib.crc32(kind + content)))


HEADER = chunk(b'IHDR', struct.pack('>IIBBBBB', 8, 8, 8, 2, 0, 0, 0))
PIXELS = chunk(b'IDAT', zlib.compress(bytes(200)))
END = chunk(b'IEND', b'')


@pytest.mark.parametrize('settings', [
    {}, {'progressive': True}, {'subsampling': 0}, {'restart_marker_blocks': 1},
    {'comment': b'\xff\xc0 says nothing'}, {'exif': b'Exif\x00\x00' + bytes(60_000)},
    {'icc_profile': bytes(200_000)}, {'dpi': (300, 300)},
], ids=str)
def test_the_size_of_a_jpeg(settings: dict[str, object]) -> None:
    assert jpeg_size(picture('JPEG', **settings)) == (37, 53)


@pytest.mark.parametrize('between', [
    b'\xff' * 1000, b'junk', b'\xff\x00\xff\x00', b'\xff\x01', b'\xff\xd0',
    b'\xff\xfe\x00\x02'])
def test_what_libjpeg_skips_is_skipped(between: bytes) -> None:
    data = picture('JPEG')
    data = data[:20] + between + data[20:]  # behind the first segment
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (37, 53, 3)
    assert jpeg_size(data) == (37, 53)


def test_the_size_of_a_png() -> None:
    assert png_size(picture('PNG')) == (37, 53)
    assert png_size(picture('PNG') + b'what comes behind the end') == (37, 53)


@pytest.mark.parametrize('data', [
    b'\xff\xd8', b'\xff\xd8\xff', b'\xff\xd8\xff\xc0', b'\xff\xd8\xff\xc0\x00\x11\x08\x00\x10',
    b'\xff\xd8\xff\xe0\xff\xff', b'\xff\xd8\xff\xd9' + bytes(20), picture('JPEG')[2:]])
def test_a_jpeg_without_a_size_is_refused(data: bytes) -> None:
    with pytest.raises(BadHeader, match='expected jpeg, got'):
        jpeg_size(data)


def scans(count: int) -> bytes:
    """Return a progressive JPEG that repeats its last scan to have ``count``."""
    data = picture('JPEG', progressive=True)
    last = data[data.rindex(b'\xff\xda'):-2]
    return data[:-2] + last * (count - data.count(b'\xff\xda')) + b'\xff\xd9'


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    assert jpeg_size(scans(MAX_SCANS)) == (37, 53)
    with pytest.raises(BadHeader, match=f'at most {MAX_SCANS} scans, got {MAX_SCANS + 1}'):
        jpeg_size(scans(MAX_SCANS + 1))


@pytest.mark.parametrize('data', [
    b'\xff\xd8' + b'\xff\xfe\x00\x02' * (4 << 20), b'\xff\xd8' + b'\xff' * (16 << 20),
    b'\xff\xd8' + b'\xff\x00' * (8 << 20), b'\xff\xd8' + b'\xff\x01' * (8 << 20),
    b'\xff\xd8' + bytes(16 << 20), b'\xff\xd8' + b'\xff\xda' * (8 << 20),
], ids=['comments', 'filling', 'stuffing', 'lone markers', 'zeros', 'scans'])
def test_16_mib_without_a_size_are_refused(data: bytes) -> None:
    with pytest.raises(BadHeader):
        jpeg_size(data)


def test_the_markers_of_a_jpeg_are_counted() -> None:
    data = picture('JPEG')
    comment = b'\xff\xfe\x00\x02'
    assert jpeg_size(data[:2] + comment * (MAX_MARKERS - 10) + data[2:]) == (37, 53)
    with pytest.raises(BadHeader):
        jpeg_size(data[:2] + comment * MAX_MARKERS + data[2:])


@pytest.mark.parametrize('length', [0x7fffffff, 0x80000000, 0xffffffff, 300])
@pytest.mark.parametrize('kind', [b'IDAT', b'tEXt', b'PLTE', b'fcTL', b'fdAT', b'IEND'])
def test_a_chunk_longer_than_the_data_is_refused(kind: bytes, length: int) -> None:
    data = SIGNATURE + HEADER + chunk(kind, b'x', length) + PIXELS + END
    with pytest.raises(BadHeader, match=f'truncated: expected {length} bytes of'):
        png_size(data)


@pytest.mark.parametrize('data', [
    b'', SIGNATURE, SIGNATURE + PIXELS + END, SIGNATURE + HEADER[:-1], SIGNATURE + HEADER,
    SIGNATURE + HEADER + PIXELS, SIGNATURE + chunk(b'IHDR', bytes(5)) + END])
def test_a_png_without_header_or_end_is_refused(data: bytes) -> None:
    with pytest.raises(BadHeader):
        png_size(data)


def test_a_png_of_very_many_chunks_is_refused() -> None:
    empty = chunk(b'tEXt', b'')
    assert png_size(SIGNATURE + HEADER + empty * (MAX_CHUNKS - 3) + PIXELS + END) == (8, 8)
    with pytest.raises(BadHeader, match=f'at most {MAX_CHUNKS} chunks'):
        png_size(SIGNATURE + HEADER + empty * (MAX_CHUNKS - 1) + PIXELS + END)


def riff(*chunks: bytes) -> bytes:
    content = b'WEBP' + b''.join(chunks)
    return b'RIFF' + struct.pack('<I', len(content)) + content


LOSSY_CHUNK = picture('WEBP', quality=80)[12:]
EXTENDED = b'VP8X' + struct.pack('<I', 10) + bytes(4) + bytes([52, 0, 0, 36, 0, 0])


def test_the_size_of_a_webp() -> None:
    assert webp_size(picture('WEBP', quality=80)) == (37, 53)
    assert webp_size(riff(LOSSY_CHUNK)) == (37, 53)


@pytest.mark.parametrize('scale', range(4))
def test_how_large_to_show_a_webp_changes_no_size(scale: int) -> None:
    data = bytearray(picture('WEBP', quality=80))
    data[27] |= scale << 6
    data[29] |= scale << 6
    assert webp_size(bytes(data)) == (37, 53)
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (37, 53, 3)


@pytest.mark.parametrize('data', [
    picture('WEBP', lossless=True), picture('WEBP', exif=b'Exif\x00\x00' + bytes(20)),
    picture('WEBP', icc_profile=bytes(200)), riff(EXTENDED, LOSSY_CHUNK), riff(EXTENDED),
    picture('WEBP', save_all=True, append_images=[Image.new('RGB', (53, 37))]),
    riff(b'ABCD' + LOSSY_CHUNK[4:]), b'RIFX' + picture('WEBP')[4:],
    picture('WEBP')[:8] + b'WAVE' + picture('WEBP')[12:],
], ids=['lossless', 'EXIF', 'colour profile', 'extended', 'without a picture', 'animation',
        'another chunk', 'big-endian', 'sound'])
def test_a_webp_that_is_more_than_a_lossy_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadHeader, match=r'expected webp, got .*no lossy picture alone'):
        webp_size(data)


def test_a_webp_that_needs_a_picture_before_it_is_refused() -> None:
    data = bytearray(picture('WEBP', quality=80))
    data[20] |= 1
    with pytest.raises(BadHeader, match='no lossy picture alone'):
        webp_size(bytes(data))


@pytest.mark.parametrize('data', [
    picture('WEBP')[:-1], picture('WEBP') + b'x', riff(LOSSY_CHUNK, LOSSY_CHUNK),
    riff(LOSSY_CHUNK, b'EXIF' + bytes(4)), riff(LOSSY_CHUNK[:-2]),
    riff(b'VP8 \xff\xff\xff\xff' + LOSSY_CHUNK[8:]), picture('WEBP')[:4] + b'\xff' * 4
    + picture('WEBP')[8:]])
def test_a_webp_of_another_length_than_it_says_is_refused(data: bytes) -> None:
    with pytest.raises(BadHeader, match=f'WebP of {len(data)} bytes: expected'):
        webp_size(data)


def test_a_webp_shorter_than_its_header_is_refused() -> None:
    for length in range(30):
        with pytest.raises(BadHeader, match=f'expected webp, got {length} bytes'):
            webp_size(picture('WEBP')[:length])


def test_a_small_png_that_says_4_gib_costs_nothing() -> None:
    """In a process of its own: OpenCV allocates outside of what Python counts."""
    data = SIGNATURE + HEADER + chunk(b'IDAT', zlib.compress(bytes(200)), 0xffffffff) + END
    code = (
        'import resource, sys\n'
        'from shadowtutor_ros.wire.errors import BadKeyFrame\n'
        'from shadowtutor_ros.wire.key_frame import decode_frame, EncodedFrame\n'
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'try:\n'
        f'    decode_frame(EncodedFrame("png", {data!r}))\n'
        'except BadKeyFrame:\n'
        '    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 50 * 1024  # KiB


def test_a_png_that_unpacks_to_more_than_its_pixels_is_refused() -> None:
    """A megabyte of zeros packed a thousand times, which OpenCV would unpack for seconds."""
    packed = zlib.compress(bytes(1 << 30), 9)
    half = len(packed) // 2
    data = SIGNATURE + HEADER + chunk(b'IDAT', packed[:half]) + chunk(b'IDAT', packed[half:]) + END
    assert png_size(data) == (8, 8)
    start = time.process_time()
    with pytest.raises(BadHeader, match='unpacks to more'):
        check_png_pixels(data)
    assert time.process_time() - start < 1.0
    with pytest.raises(BadKeyFrame, match='unpacks to more'):
        decode_frame(EncodedFrame('png', data))


@pytest.mark.parametrize('size', [(37, 53), (1, 1), (720, 1280)])
@pytest.mark.parametrize('channels', [1, 3, 4])
@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_the_pixels_of_any_png_are_let_through(
    size: tuple[int, int], channels: int, kind: type,
) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (*size, channels)).astype(kind)
    check_png_pixels(cv2.imencode('.png', pixels)[1].tobytes())
