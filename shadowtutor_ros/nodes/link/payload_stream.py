# SPDX-License-Identifier: Apache-2.0
"""Payloads both ways between two processes, one after the other and none left out."""

from __future__ import annotations

from collections.abc import Callable
import threading

from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import PieceChannel
from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.wire.seal import Seal


class PayloadStream:
    """
    A PieceChannel under a ``name`` that is used once: the n-th payload of each way is transfer n.

    ``on_payload`` gets each payload, in order; ``on_sign`` is called with whatever is heard of the
    other end. Both are called in the thread of ``channels``' listener.
    """

    def __init__(
        self, channels: ChannelNode, name: str, outward: str, inward: str, max_bytes: int,
        on_payload: Callable[[PayloadStream, bytes], None], on_sign: Callable[[], None],
        seal: Seal,
    ) -> None:
        """Raise InvalidTopicNameException, with nothing made."""
        self._on_payload = on_payload
        self._on_sign = on_sign
        self._received = self._sent = 0
        self._free = threading.Condition()
        self._busy = self._closed = False
        self._channel = PieceChannel(channels, name, outward, inward, max_bytes, seal)
        self._expect()

    @property
    def path(self) -> PathEstimate:
        """What the way out is like."""
        return self._channel.path

    def send(self, payload: bytes) -> None:
        """Begin to send once all that was sent has arrived; do nothing once closed."""
        with self._free:
            self._free.wait_for(lambda: self._closed or not self._busy)
            if self._closed:
                return
            self._busy = True
            self._sent += 1
            number = self._sent
        self._channel.send(payload, self._on_sign, number, self._on_sent)

    def close(self) -> None:
        """End both ways; whoever waits to send is let go."""
        with self._free:
            self._closed = True
            self._free.notify_all()
        self._channel.close()

    def _expect(self) -> None:
        self._received += 1
        self._channel.expect(self._received, self._take, self._on_sign)

    def _take(self, payload: bytes) -> None:
        # What comes meanwhile waits: the other end sends one payload at a time.
        self._on_payload(self, payload)
        if not self._closed:
            self._expect()

    def _on_sent(self) -> None:
        with self._free:
            self._busy = False
            self._free.notify()
