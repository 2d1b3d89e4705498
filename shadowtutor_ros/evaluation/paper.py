# SPDX-License-Identifier: Apache-2.0
"""The paper's own figures (tables 2-7): averages over its seven categories of the LVS videos."""

from __future__ import annotations

from collections.abc import Mapping

Figures = Mapping[str, float]


def _either(partial: float, full: float, **others: float) -> Figures:
    """Return what the paper gives for partial and full distillation, whatever the delay."""
    return {'partial': partial, 'partial-1': partial, 'full': full, 'full-1': full, **others}


# Milliseconds on an RTX 2080 Ti; mean steps.
STEP_MS = _either(13, 18)
MEAN_STEPS = _either(3.83, 4.44)

# Jetson Nano as student, RTX 2080 Ti as tutor, 90 Mbps: frames per second.
FPS = _either(6.54, 6.08, naive=2.09)

# Bytes of one key frame at 1280x720; the paper prints them in MiB as MB.
BYTES_UP = _either(2_764_800, 2_764_800, naive=2_764_800)
BYTES_DOWN = _either(413_860, 1_935_492, naive=921_600)

KEY_FRAME_RATIO = _either(5.38, 6.01, naive=100.0)
MBPS: Figures = {'partial': 6.19, 'partial-1': 6.19, 'naive': 58.51}

MIOU: Figures = {'wild': 16.99, 'partial-1': 72.42, 'partial-8': 71.29, 'full-1': 69.22,
                 'naive': 100.0}

MIOU_7FPS: Figures = {'partial-1-7fps': 66.53, 'partial-8-7fps': 65.31}
KEY_FRAME_RATIO_7FPS: Figures = {'partial-1-7fps': 6.32}
