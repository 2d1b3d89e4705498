# SPDX-License-Identifier: Apache-2.0
"""Key frames: exact or close on the way there, refused by name when they are not whole."""

from __future__ import annotations

import io
import re
import struct
import zlib

import cv2
from hypothesis import given, settings, strategies as st
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from shadowtutor_ros.wire.errors import BadKeyFrame, WireError
from shadowtutor_ros.wire.key_frame import (
    decode_frame,
    encode_frame,
    EncodedFrame,
    FRAME_FORMATS,
    JPEG,
    PNG,
    RAW,
    Raw,
    WEBP,
)


def _frame(height: int = 24, width: int = 30) -> NDArray[np.uint8]:
    """Return a smooth picture whose channels differ."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack((
        255 * rows / height, 255 * columns / width, 127 + 100 * np.sin(rows / 9 + columns / 7),
    ), axis=-1).astype(np.uint8)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (struct.pack('>I', len(content)) + kind + content
            + struct.pack('>I', zlib.crc32(kind + content)))


def _png_header(height: int, width: int) -> bytes:
    """Return a small PNG that claims any size."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', header)
            + _chunk(b'IDAT', zlib.compress(bytes(100))) + _chunk(b'IEND', b''))


def _jpeg_header(height: int, width: int) -> bytes:
    """Return a small JPEG that claims any size up to 65535."""
    data = encode_frame(_frame(), JPEG).data
    at = data.index(b'\xff\xc0') + 5
    return data[:at] + struct.pack('>HH', height, width) + data[at + 4:]


def _webp_header(height: int, width: int) -> bytes:
    """Return a small WebP that claims any size up to 16383."""
    data = encode_frame(_frame(), WEBP).data
    return data[:26] + struct.pack('<HH', width, height) + data[30:]


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (24, 30), (33, 65)], ids=str)
@pytest.mark.parametrize('format', [PNG, RAW])
def test_png_and_raw_are_lossless(format: str, size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    encoded = encode_frame(frame, format)
    decoded = decode_frame(encoded)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, frame)


LOSSY = [name for name, format in FRAME_FORMATS.items() if format.lossy]


@pytest.mark.parametrize('size', [(24, 30), (33, 65)], ids=str)
@pytest.mark.parametrize('format', LOSSY)
def test_lossy_is_close_and_keeps_the_channel_order(format: str, size: tuple[int, int]) -> None:
    frame = _frame(*size)
    decoded = decode_frame(encode_frame(frame, format, 95))
    assert decoded.shape == frame.shape
    assert np.abs(decoded.astype(int) - frame).mean() < 3


@pytest.mark.parametrize('format', LOSSY)
def test_quality_buys_bytes(format: str) -> None:
    sizes = [len(encode_frame(_frame(), format, quality).data) for quality in (1, 50, 95, 100)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize('quality', [50, 75, 90])
def test_the_same_quality_of_any_format_is_about_as_close(quality: int) -> None:
    noise = np.random.default_rng(0).normal(0, 6, (240, 320, 1))
    frame = (_frame(240, 320) + noise).clip(0, 255).astype(np.uint8)
    ratios = [cv2.PSNR(frame, decode_frame(encode_frame(frame, f, quality))) for f in LOSSY]
    assert max(ratios) - min(ratios) < 3.0  # decibels


def test_formats_as_they_travel() -> None:
    assert [encode_frame(_frame(), f).format for f in FRAME_FORMATS] == [
        'webp', 'jpeg', 'png', 'raw; bgr8; 24x30']
    assert encode_frame(_frame(), RAW).data == _frame().tobytes()


@pytest.mark.parametrize('format', FRAME_FORMATS)
def test_any_memory_layout_is_encoded(format: str) -> None:
    flipped = _frame()[::-1, ::-1]
    assert encode_frame(flipped, format) == encode_frame(flipped.copy(), format)


@pytest.mark.parametrize('format', FRAME_FORMATS)
def test_decoded_frame_is_the_callers_own(format: str) -> None:
    encoded = encode_frame(_frame(), format)
    decoded = decode_frame(encoded)
    decoded[:] = 0
    assert decode_frame(encoded).any()


@pytest.mark.parametrize('format', ['', 'bmp', 'JPEG', 'jpeg ', 'raw; bgr8; 24x30'])
def test_unknown_format_is_not_encoded(format: str) -> None:
    with pytest.raises(ValueError, match='key-frame format'):
        encode_frame(_frame(), format)


@pytest.mark.parametrize('format', [
    '', 'bmp', 'JPEG', 'raw', 'raw; rgb8; 24x30', 'raw; bgr8; 24x', 'raw; bgr8; -24x30',
    'raw; bgr8; 24x30 ', 'raw; bgr8; 0000024x30'])
def test_unknown_format_is_not_decoded(format: str) -> None:
    with pytest.raises(BadKeyFrame, match='expected one of webp, jpeg, png, raw, got'):
        decode_frame(EncodedFrame(format, _frame().tobytes()))


@pytest.mark.parametrize('format', [WEBP, JPEG, PNG])
def test_every_truncation_is_refused(format: str) -> None:
    data = encode_frame(_frame(), format).data
    for length in range(len(data)):
        with pytest.raises(BadKeyFrame):
            decode_frame(EncodedFrame(format, data[:length]))


@pytest.mark.parametrize('missing', [1, 2, 100])
def test_jpeg_without_its_end_is_refused_whatever_the_decoder_would_fill_in(missing: int) -> None:
    data = encode_frame(_frame(), JPEG).data[:-missing]
    with pytest.raises(BadKeyFrame, match='no end marker'):
        decode_frame(EncodedFrame(JPEG, data))


def test_zeros_behind_a_jpeg_are_padding() -> None:
    encoded = encode_frame(_frame(), JPEG)
    padded = EncodedFrame(JPEG, encoded.data + bytes(7))
    assert np.array_equal(decode_frame(padded), decode_frame(encoded))


@pytest.mark.parametrize(('said', 'is_format'), [
    (JPEG, PNG), (PNG, JPEG), (JPEG, RAW), (WEBP, JPEG), (JPEG, WEBP)])
def test_content_of_another_format_is_refused(said: str, is_format: str) -> None:
    with pytest.raises(BadKeyFrame, match=f'expected {said}, got'):
        decode_frame(EncodedFrame(said, encode_frame(_frame(), is_format).data))


@pytest.mark.parametrize('kind', ['BMP', 'GIF', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('said', [JPEG, PNG, WEBP])
def test_other_codecs_are_not_reached(said: str, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(_frame()).save(buffer, kind, lossless=True)
    assert cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), 1) is not None or kind == 'GIF'
    with pytest.raises(BadKeyFrame, match=f'expected {said}, got'):
        decode_frame(EncodedFrame(said, buffer.getvalue()))


@pytest.mark.parametrize('encoded', [
    EncodedFrame(PNG, _png_header(3001, 3000)),
    EncodedFrame(PNG, _png_header(12_000, 12_000)),
    EncodedFrame(PNG, _png_header(50_000, 50_000)),
    EncodedFrame(PNG, _png_header(2**31 - 1, 2**31 - 1)),
    EncodedFrame(JPEG, _jpeg_header(3001, 3000)),
    EncodedFrame(JPEG, _jpeg_header(65_500, 65_500)),
    EncodedFrame(WEBP, _webp_header(3001, 3000)),
    EncodedFrame(WEBP, _webp_header(16_383, 16_383)),
    EncodedFrame('raw; bgr8; 3001x3000', b''),
    EncodedFrame('raw; bgr8; 999999x999999', b''),
], ids=lambda e: f'{e.format[:4]} {len(e.data)}')
def test_decompression_bomb_is_refused_by_its_header(
    encoded: EncodedFrame, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decode(*args: object) -> None:
        pytest.fail('the pixels were decoded')

    monkeypatch.setattr(cv2, 'imdecode', decode)
    with pytest.raises(BadKeyFrame, match='pixels'):
        decode_frame(encoded)


@pytest.mark.parametrize('encoded', [
    EncodedFrame(JPEG, _jpeg_header(2160, 4096)), EncodedFrame(PNG, _png_header(2160, 4096)),
    EncodedFrame(WEBP, _webp_header(2160, 4096))],
    ids=lambda e: e.format)
def test_4k_passes_the_header_check(
    encoded: EncodedFrame, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: _frame())
    decode_frame(encoded)
    with pytest.raises(BadKeyFrame, match='2160x4096: expected 1 to 8847359 pixels'):
        decode_frame(encoded, 2160 * 4096 - 1)


@pytest.mark.parametrize('format', FRAME_FORMATS)
def test_the_limit_counts_pixels(format: str) -> None:
    encoded = encode_frame(_frame(), format)
    assert decode_frame(encoded, 24 * 30).shape == (24, 30, 3)
    with pytest.raises(BadKeyFrame, match='24x30: expected 1 to 719 pixels'):
        decode_frame(encoded, 24 * 30 - 1)


def test_a_new_format_is_one_class_and_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Planes(Raw):
        _format = re.compile(r'planes; (\d+)x(\d+)')

        def encode(self, frame: NDArray[np.uint8], quality: int) -> EncodedFrame:
            return EncodedFrame(f'planes; {frame.shape[0]}x{frame.shape[1]}', frame.tobytes())

    monkeypatch.setitem(FRAME_FORMATS, 'planes', Planes())
    encoded = encode_frame(_frame(), 'planes')
    assert encoded.format == 'planes; 24x30'
    np.testing.assert_array_equal(decode_frame(encoded), _frame())
    with pytest.raises(BadKeyFrame, match='pixels'):
        decode_frame(encoded, 10)


@pytest.mark.parametrize(('size', 'change'), [
    ('24x30', -1), ('24x30', 1), ('24x30', -2160), ('24x31', 0), ('23x30', 0), ('1x1', 0)])
def test_raw_of_another_length_is_refused(size: str, change: int) -> None:
    data = (_frame().tobytes() + b'x')[:24 * 30 * 3 + change]
    with pytest.raises(BadKeyFrame, match=f'raw key frame {size}: expected'):
        decode_frame(EncodedFrame(f'raw; bgr8; {size}', data))


@pytest.mark.parametrize('encoded', [
    EncodedFrame('raw; bgr8; 0x30', b''),
    EncodedFrame('raw; bgr8; 24x0', b''),
    EncodedFrame('raw; bgr8; 0x0', b''),
    EncodedFrame(PNG, _png_header(0, 5)),
    EncodedFrame(JPEG, _jpeg_header(24, 0)),
    EncodedFrame(WEBP, _webp_header(24, 0)),
    EncodedFrame(WEBP, _webp_header(0, 30)),
    EncodedFrame(WEBP, b''),
    EncodedFrame(PNG, b''),
    EncodedFrame(JPEG, b''),
], ids=lambda e: f'{e.format} {len(e.data)}')
def test_zero_size_is_refused(encoded: EncodedFrame) -> None:
    with pytest.raises(BadKeyFrame):
        decode_frame(encoded)


@given(
    st.sampled_from([WEBP, JPEG, PNG]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)),
             min_size=1, max_size=6),
    st.booleans())
@settings(deadline=None, max_examples=300)
def test_damage_gives_a_frame_or_bad_key_frame(
    format: str, changes: list[tuple[float, int]], in_header: bool,
) -> None:
    data = bytearray(encode_frame(_frame(), format).data)
    for place, value in changes:
        data[int(place * (60 if in_header else len(data)))] = value
    try:
        decoded = decode_frame(EncodedFrame(format, bytes(data)))
    except BadKeyFrame:
        return
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3


def test_ihdr_that_is_too_short_is_refused() -> None:
    data = b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', bytes(5)) + _chunk(b'IEND', b'')
    with pytest.raises(BadKeyFrame):
        decode_frame(EncodedFrame(PNG, data))


def test_bad_key_frame_is_a_wire_error() -> None:
    assert issubclass(BadKeyFrame, WireError)
