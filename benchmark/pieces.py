# SPDX-License-Identifier: Apache-2.0
"""
CPU time that a payload costs both ends, in pieces of one packet and in large ones.

benchmark/pieces.py [--kilobytes 40] [--payloads 300]; the ends are processes of this machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time

import rclpy

from shadowtutor_ros.dds import profile_environment
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import DOWN, PieceChannel, UP

NAME, MAX_BYTES = '/benchmark/channel', 1 << 26
WARM_UP = 50  # payloads: with 40 KB more than it takes until pieces are large
PATIENCE = 60.0  # seconds for a payload
PAUSE = 0.005  # seconds between two


class Meter:
    """CPU milliseconds of this process for each payload after the warm-up."""

    def __init__(self) -> None:
        self._count, self._since = -WARM_UP, 0.0

    def add(self) -> None:
        """Count a payload."""
        self._count += 1
        if self._count == 0:
            self._since = time.process_time()

    def result(self) -> float:
        """Return the mean."""
        return 1e3 * (time.process_time() - self._since) / max(1, self._count)


def receive(channels: ChannelNode, payloads: int) -> float:
    """Take all payloads; return the CPU milliseconds of each."""
    channel, meter = PieceChannel(channels, NAME, DOWN, UP, MAX_BYTES), Meter()
    done = threading.Event()
    taken = 0

    def take(payload: bytes) -> None:
        nonlocal taken
        taken += 1
        meter.add()
        if taken < payloads:
            channel.expect(taken + 1, take)
        else:
            done.set()

    channel.expect(1, take)
    done.wait(PATIENCE * payloads)
    found = meter.result()
    time.sleep(1.0)  # whose last report was lost asks again
    channel.close()
    return found


def send(channels: ChannelNode, payloads: int, size: int, large: bool) -> float:
    """Send all payloads; return the CPU milliseconds of each."""
    channel, meter = PieceChannel(channels, NAME, UP, DOWN, MAX_BYTES), Meter()
    if not large:
        channel.path._clean_enough = 1 << 60
    payload = os.urandom(size)
    for number in range(1, payloads + 1):
        sent = threading.Event()
        channel.send(payload, transfer=number, on_sent=sent.set)
        if not sent.wait(PATIENCE):
            raise SystemExit(f'payload {number} did not arrive')
        meter.add()
        time.sleep(PAUSE)
    found = meter.result()
    channel.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kilobytes', type=float, default=40.0)
    parser.add_argument('--payloads', type=int, default=300)
    parser.add_argument('--role', choices=('receiver', 'packet', 'large'), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        rclpy.init()
        channels = ChannelNode(rclpy.create_node(options.role))
        print(receive(channels, options.payloads) if options.role == 'receiver' else send(
            channels, options.payloads, round(1e3 * options.kilobytes), options.role == 'large'))
        channels.close()
        rclpy.shutdown()
        return
    command = [sys.executable, *sys.argv]
    with own_domain() as domain_id:
        environment = {**os.environ, **profile_environment('fastdds'),
                       'ROS_DOMAIN_ID': str(domain_id)}
        for role in 'packet', 'large':
            ends = [subprocess.Popen([*command, '--role', each], env=environment, text=True,
                                     stdout=subprocess.PIPE) for each in (role, 'receiver')]
            sender, receiver = (float(end.communicate()[0]) for end in ends)
            print(f'{role:>6}: {sender:.2f} ms of the sender, {receiver:.2f} of the receiver')


if __name__ == '__main__':
    main()
