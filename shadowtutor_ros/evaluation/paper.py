# SPDX-License-Identifier: Apache-2.0
"""The paper's own figures (tables 2-7): averages over its seven categories of the LVS videos."""

from __future__ import annotations

from collections.abc import Mapping

Figures = Mapping[str, float]

# Milliseconds on an RTX 2080 Ti; mean steps.
STEP_MS: Figures = {'partial-1': 13, 'full-1': 18}
MEAN_STEPS: Figures = {'partial-1': 3.83, 'full-1': 4.44}

# Jetson Nano as student, RTX 2080 Ti as tutor, 90 Mbps: frames per second.
FPS: Figures = {'partial': 6.54, 'full': 6.08, 'naive': 2.09}

# Bytes of one key frame at 1280x720; the paper prints them in MiB as MB.
BYTES_UP: Figures = {'partial-1': 2_764_800, 'full-1': 2_764_800, 'naive': 2_764_800}
BYTES_DOWN: Figures = {'partial-1': 413_860, 'full-1': 1_935_492, 'naive': 921_600}

KEY_FRAME_RATIO: Figures = {'partial-1': 5.38, 'full-1': 6.01, 'naive': 100.0}
MBPS: Figures = {'partial-1': 6.19, 'naive': 58.51}

MIOU: Figures = {'wild': 16.99, 'partial-1': 72.42, 'partial-8': 71.29, 'full-1': 69.22,
                 'naive': 100.0}

MIOU_7FPS: Figures = {'partial-1-7fps': 66.53, 'partial-8-7fps': 65.31}
KEY_FRAME_RATIO_7FPS: Figures = {'partial-1-7fps': 6.32}
