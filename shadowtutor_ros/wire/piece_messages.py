# SPDX-License-Identifier: Apache-2.0
"""Between the values of transfer/ and their messages; what travels in pieces as bytes."""

from __future__ import annotations

import zlib

from rclpy.serialization import deserialize_message, serialize_message
from shadowtutor_msgs.msg import Piece as PieceMsg, PieceReport, StudentUpdate as StudentUpdateMsg

from shadowtutor_ros.transfer.pieces import Piece, Report
from shadowtutor_ros.wire.cdr import check_sizes
from shadowtutor_ros.wire.errors import BadCdr, CorruptUpdate
from shadowtutor_ros.wire.messages import bytes_to_field, update_from_msg, update_to_msg
from shadowtutor_ros.wire.update import StudentUpdate
from shadowtutor_ros.wire.weights import MAX_PAYLOAD

# The payload and what describes it.
MAX_UPDATE = MAX_PAYLOAD + (1 << 20)


def piece_to_msg(piece: Piece) -> PieceMsg:
    """Return the message of ``piece``."""
    return PieceMsg(transfer=piece.transfer, size=piece.size, index=piece.index,
                    order=piece.order, report=piece.report, data=bytes_to_field(piece.data))


def piece_from_msg(msg: PieceMsg) -> Piece:
    """Return the piece of a message."""
    return Piece(msg.transfer, msg.size, msg.index, msg.order, msg.report, bytes(msg.data))


def report_to_msg(report: Report) -> PieceReport:
    """Return the message of ``report``."""
    return PieceReport(transfer=report.transfer, newest=report.newest,
                       first_missing=report.first_missing,
                       received=bytes_to_field(report.received))


def report_from_msg(msg: PieceReport) -> Report:
    """Return the report of a message."""
    return Report(msg.transfer, msg.newest, msg.first_missing, bytes(msg.received))


def update_to_bytes(update: StudentUpdate) -> bytes:
    """Return what pieces carry: the serialized message, compressed."""
    return zlib.compress(serialize_message(update_to_msg(update)), 1)


def update_from_bytes(data: bytes) -> StudentUpdate:
    """Return the update; raise CorruptUpdate when ``data`` is no update, or too large a one."""
    decompressor = zlib.decompressobj()
    try:
        serialized = decompressor.decompress(data, MAX_UPDATE)
        if decompressor.unconsumed_tail or not decompressor.eof:
            raise CorruptUpdate(f'{len(data)} bytes: expected a whole update of at most '
                                f'{MAX_UPDATE} bytes')
        check_sizes(serialized, StudentUpdateMsg)
        msg = deserialize_message(serialized, StudentUpdateMsg)
    except (zlib.error, BadCdr, RuntimeError, ValueError, UnicodeDecodeError) as error:
        raise CorruptUpdate(f'{len(data)} bytes are no update: {error}') from error
    return update_from_msg(msg)
