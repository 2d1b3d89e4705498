# SPDX-License-Identifier: Apache-2.0
"""The service times of one H200 that are simulated, and where each of them is from."""

from __future__ import annotations

from simulation.fleet import Scenario
from simulation.tutors import Pipeline, ServiceTimes

# Measured at commit 8274e11 on one H200, 1280x720: the teacher, a partial and a full step, and
# key frames with 0, 8 and 16 steps. How the rest of these (13, 43 and 50 ms) divides into
# decoding, judging and encoding was not measured; decoding a JPEG is of docs/links.md.
MEASURED = ServiceTimes(
    decode=0.004, batch=0.0, label=0.015, forward=0.008, step=0.0105, full_step=0.013,
    judge=0.020, encode=0.022, encode_nothing=0.009)

# What the tutor is meant to reach on such a card. Nothing of it was measured.
TARGET = ServiceTimes(
    decode=0.004, batch=0.005, label=0.0025, forward=0.001, step=0.0012, full_step=0.0028,
    judge=0.002, encode=0.008, encode_nothing=0.001)

LOCK_STEP = Scenario('measured, one at a time', MEASURED, None)
PIPELINE = Scenario('measured, pipeline', MEASURED, Pipeline())
TARGETS = Scenario('targets, pipeline', TARGET, Pipeline())

SCENARIOS = (LOCK_STEP, PIPELINE, TARGETS)
