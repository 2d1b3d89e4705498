# SPDX-License-Identifier: Apache-2.0
"""Quality of service of every topic; each can be overridden by ``qos_overrides`` parameters."""

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

CAMERA = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

PICTURE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT,
    lifespan=Duration(seconds=1))

STATE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL)

# Nothing is sent. The middleware renews the lease itself, every two thirds of it, whatever the
# process does otherwise.
ALIVE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
    liveliness=LivelinessPolicy.AUTOMATIC, liveliness_lease_duration=Duration(seconds=0.8))

# A robot that wants helpers says so once, and is gone when its lease is.
OFFER = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    liveliness=LivelinessPolicy.AUTOMATIC, liveliness_lease_duration=Duration(seconds=0.8))
# Of all helpers together: none may push another one's out.
HELPERS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=64, reliability=ReliabilityPolicy.RELIABLE)

DIAGNOSTICS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10)

# For whoever looks on beside the tutor: every lesson, but none that nobody saw in time.
LESSONS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=8, reliability=ReliabilityPolicy.RELIABLE)

REPLAY = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE)

# Goals and results are large and there is one at a time; feedback may be lost.
REQUEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=4, reliability=ReliabilityPolicy.RELIABLE)
# The tutor offers feedback reliably, so that any client matches; the student asks for less.
FEEDBACK = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

# Our own selective repeat repairs them; a window of them may come at once.
PIECES = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=256, reliability=ReliabilityPolicy.BEST_EFFORT)
