# SPDX-License-Identifier: Apache-2.0
"""Between the values of transfer/ and their messages; what travels in pieces as bytes."""

from __future__ import annotations

from typing import Any, TypeVar
import zlib

from rclpy.serialization import deserialize_message, serialize_message
from shadowtutor_msgs.msg import Piece as PieceMsg, PieceReport, StudentUpdate as StudentUpdateMsg

from shadowtutor_ros.transfer.pieces import Piece, Report
from shadowtutor_ros.wire.cdr import check_sizes
from shadowtutor_ros.wire.errors import BadCdr, CorruptUpdate
from shadowtutor_ros.wire.messages import bytes_to_field, update_from_msg, update_to_msg
from shadowtutor_ros.wire.seal import Seal, UNKEYED
from shadowtutor_ros.wire.update import StudentUpdate
from shadowtutor_ros.wire.weights import MAX_PAYLOAD

M = TypeVar('M')

# The payload and what describes it.
MAX_UPDATE = MAX_PAYLOAD + (1 << 20)


def piece_to_msg(piece: Piece, seal: Seal = UNKEYED, context: bytes = b'') -> PieceMsg:
    """Return the message of ``piece``, with a tag for ``context``: the topic that it is for."""
    return seal.sign(PieceMsg(
        transfer=piece.transfer, size=piece.size, length=piece.length, index=piece.index,
        order=piece.order, report=piece.report, data=bytes_to_field(piece.data)), context)


def piece_from_msg(msg: PieceMsg) -> Piece:
    """Return the piece of a message."""
    return Piece(msg.transfer, msg.size, msg.index, msg.order, msg.report, bytes(msg.data),
                 msg.length)


def report_to_msg(report: Report, seal: Seal = UNKEYED, context: bytes = b'') -> PieceReport:
    """Return the message of ``report``, with a tag for ``context``."""
    return seal.sign(PieceReport(
        transfer=report.transfer, newest=report.newest, first_missing=report.first_missing,
        received=bytes_to_field(report.received)), context)


def report_from_msg(msg: PieceReport) -> Report:
    """Return the report of a message."""
    return Report(msg.transfer, msg.newest, msg.first_missing, bytes(msg.received))


def update_to_bytes(
    update: StudentUpdate, seal: Seal = UNKEYED, context: bytes = b'',
) -> bytes:
    """Return an update as pieces carry it, with a tag for ``context``."""
    return message_to_bytes(update_to_msg(update, seal, context))


def update_from_bytes(data: bytes, seal: Seal = UNKEYED, context: bytes = b'') -> StudentUpdate:
    """
    Return the update; raise CorruptUpdate when ``data`` is no update, too large a one, or has
    another tag than one of ``seal`` for ``context``.
    """
    return update_from_msg(message_from_bytes(data, StudentUpdateMsg), seal, context)


def message_to_bytes(message: Any) -> bytes:
    """Return what pieces carry of a message: serialized and compressed."""
    return zlib.compress(serialize_message(message), 1)


def message_from_bytes(data: bytes, kind: type[M]) -> M:
    """Return a message; raise CorruptUpdate when ``data`` is none, or one above MAX_UPDATE."""
    decompressor = zlib.decompressobj()
    try:
        serialized = decompressor.decompress(data, MAX_UPDATE)
        if decompressor.unconsumed_tail or not decompressor.eof:
            raise CorruptUpdate(f'{len(data)} bytes: expected a whole message of at most '
                                f'{MAX_UPDATE} bytes')
        check_sizes(serialized, kind)
        message: M = deserialize_message(serialized, kind)
    except (zlib.error, BadCdr, RuntimeError, ValueError, UnicodeDecodeError) as error:
        raise CorruptUpdate(f'{len(data)} bytes are no {kind.__name__}: {error}') from error
    return message
