# SPDX-License-Identifier: Apache-2.0
"""What a JPEG, PNG or WebP says of itself, read before a decoder allocates anything for it."""

from __future__ import annotations

from dataclasses import dataclass
import re
import struct
import zlib

from shadowtutor_ros.errors import ShadowTutorError

# Of JPEGs; a progressive one has about ten. Each costs as much time as decoding the image, and
# takes two dozen bytes.
MAX_SCANS = 50
# Markers before a JPEG's size, and chunks of a PNG, whose encoders write 8 KiB at a time.
MAX_MARKERS = 1 << 12
MAX_CHUNKS = 1 << 16

_MARKER = re.compile(rb'\xff([^\x00\xff])', re.DOTALL)  # after as much filling as there is
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a length
# Start of frame: 0xC0 to 0xCF without Huffman tables, extensions and arithmetic conditioning.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_PROGRESSIVE = (0xC2, 0xCA)
# In entropy-coded data 0xFF is followed by a zero, by filling or by the number of a restart.
_END_OF_SCAN = re.compile(rb'\xff+(?=[^\x00\xd0-\xd7\xff])', re.DOTALL)

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_CHUNK = 12  # bytes of length, kind and checksum
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by a PNG's kind of colour
_PART = 4 << 20  # bytes that are unpacked at a time

# RIFF, length, form; chunk and length; the picture's tag, start and size. A chunk VP8X would bring
# animation, rotation and colour profiles.
_WEBP = struct.Struct('<4sI4s 4sI 3s3sHH')
_WEBP_SIGNS = b'RIFF', b'WEBP', b'VP8 ', b'\x9d\x01\x2a'
_WEBP_SIDE = 0x3fff  # the bits above say how large to show it


class BadHeader(ShadowTutorError):
    """The image is of another format, truncated, or made to keep a decoder busy."""


def jpeg_size(data: bytes) -> tuple[int, int]:
    """
    Return height and width as the JPEG's first frame header says, read as libjpeg reads it.

    Raise BadHeader when it is no JPEG, ends early or has more than MAX_SCANS scans.
    """
    if data[:2] != bytes((0xFF, _SOI)):
        raise _not('jpeg', data, 'no start of image')
    if (scans := data.count(bytes((0xFF, _SOS)))) > MAX_SCANS:
        raise BadHeader(f'JPEG: expected at most {MAX_SCANS} scans, got {scans}')
    at = 2
    for _ in range(MAX_MARKERS):
        found = _MARKER.search(data, at)
        if found is None or (marker := found[1][0]) in (_SOI, _EOI, _SOS):
            break
        at = found.end()
        if marker in _SOF and at + 7 <= len(data):
            height, width = struct.unpack_from('>HH', data, at + 3)
            return height, width
        if marker not in _ALONE:
            at += int.from_bytes(data[at:at + 2], 'big')
    raise _not('jpeg', data, 'no frame header')


@dataclass(frozen=True)
class JpegScan:
    """Where a scan's entropy-coded data begins and ends, and whether it is one of several."""

    start: int
    end: int
    progressive: bool


def jpeg_last_scan(data: bytes) -> JpegScan:
    """
    Return the last scan of the first picture in the data.

    Raise BadHeader when there is none, or more than MAX_MARKERS markers.
    """
    at, scan, progressive = 2, None, False
    for _ in range(MAX_MARKERS):
        found = _MARKER.search(data, at)
        if found is None or (marker := found[1][0]) in (_SOI, _EOI):
            break
        at = found.end()
        progressive |= marker in _PROGRESSIVE
        if marker not in _ALONE:
            at += int.from_bytes(data[at:at + 2], 'big')
        if marker == _SOS:
            ended = _END_OF_SCAN.search(data, at)
            scan = JpegScan(at, ended.start() if ended else len(data), progressive)
            at = scan.end
    else:
        raise BadHeader(f'JPEG: expected at most {MAX_MARKERS} markers')
    if scan is None:
        raise _not('jpeg', data, 'no picture')
    return scan


def png_size(data: bytes) -> tuple[int, int]:
    """
    Return height and width as the PNG's header says.

    Raise BadHeader when it is no PNG, a chunk is longer than the data, there are more than
    MAX_CHUNKS, or no end: OpenCV allocates what a chunk says.
    """
    return _read_png(data)[0]


def check_png_pixels(data: bytes) -> None:
    """
    Raise BadHeader when a PNG has more packed than its pixels: OpenCV unpacks all that is there.

    It takes half as long as decoding; look at ``png_size`` first.
    """
    (height, width), packed = _read_png(data)
    depth, colour = data[24], data[25]
    row = (width * depth * _CHANNELS.get(colour, 4) + 7) // 8 + 1
    most = 2 * row * height + _PART  # interlaced rows take a little more
    unpacker, size = zlib.decompressobj(), 0
    for part in packed:
        left = part
        while left and not unpacker.eof:
            try:
                size += len(unpacker.decompress(left, _PART))
            except zlib.error:  # the decoder says how much of it it takes
                return
            if size > most:
                raise BadHeader(f'PNG: expected at most {most} bytes of pixels, its data unpacks '
                                'to more')
            left = unpacker.unconsumed_tail


def _read_png(data: bytes) -> tuple[tuple[int, int], list[bytes]]:
    """Return height and width and the parts of the packed pixels; raise BadHeader."""
    if data[:8] != PNG_SIGNATURE or data[8:16] != b'\0\0\0\x0dIHDR':
        raise _not('png', data, 'no signature and header')
    at = len(PNG_SIGNATURE)
    packed: list[bytes] = []
    for _ in range(MAX_CHUNKS):
        length, kind = int.from_bytes(data[at:at + 4], 'big'), data[at + 4:at + 8]
        if at + _CHUNK + length > len(data):
            raise BadHeader(f'PNG of {len(data)} bytes is truncated: expected '
                            f'{length} bytes of {kind!r} at {at}')
        if kind == b'IEND':
            width, height = struct.unpack_from('>II', data, 16)
            return (height, width), packed
        if kind == b'IDAT':
            packed.append(data[at + 8:at + 8 + length])
        at += _CHUNK + length
    raise BadHeader(f'PNG: expected at most {MAX_CHUNKS} chunks')


def webp_size(data: bytes) -> tuple[int, int]:
    """
    Return height and width as the header of a lossy WebP says.

    Raise BadHeader when it is no WebP, has anything beside one lossy picture (animation, alpha,
    EXIF, a colour profile), or another length than it says.
    """
    if len(data) < _WEBP.size:
        raise _not('webp', data, 'no header')
    riff, whole, form, chunk, length, tag, start, width, height = _WEBP.unpack_from(data)
    if (riff, form, chunk, start) != _WEBP_SIGNS or tag[0] & 1:
        raise _not('webp', data, 'no lossy picture alone')
    if not len(data) - 8 == whole == length + length % 2 + 12:
        raise BadHeader(f'WebP of {len(data)} bytes: expected {whole + 8} '
                        f'with a picture of {length}')
    return height & _WEBP_SIDE, width & _WEBP_SIDE


def _not(name: str, data: bytes, missing: str) -> BadHeader:
    return BadHeader(f'expected {name}, got {len(data)} bytes that begin with '
                     f'{data[:4].hex() or "nothing"}: {missing}')
