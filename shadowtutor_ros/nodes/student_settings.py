# SPDX-License-Identifier: Apache-2.0
"""What the parameters of the student node mean to the objects behind it."""

from __future__ import annotations

from typing import Any

from shadowtutor_ros.nodes.diagnostics import DiagnosticLimits
from shadowtutor_ros.runtime.frame_packing import FramePacking
from shadowtutor_ros.runtime.student import KeyFrameSettings
from shadowtutor_ros.schedule.link_policy import LinkLimits
from shadowtutor_ros.schedule.scheduler import LIVE, ScheduleSettings


def settings_of(
    p: dict[str, Any],
) -> tuple[ScheduleSettings, KeyFrameSettings, LinkLimits | None]:
    """Return what the loop is told; raise ValueError for values that contradict each other."""
    schedule = ScheduleSettings(
        p['min_stride'], p['max_stride'], p['threshold'], p['policy'], p['update_delay'])
    key_frames = KeyFrameSettings(p['key_frame_format'], p['key_frame_quality'])
    limits = LinkLimits(p['goal_timeout'], key_frames.quality, p['min_stride'], p['max_stride'])
    return schedule, key_frames, limits if p['adaptive'] and p['policy'] == LIVE else None


def packing_of(p: dict[str, Any]) -> FramePacking:
    """Return what the frames for one helper are packed by."""
    return FramePacking(p['share_format'], p['share_quality'])


def limits_of(p: dict[str, Any]) -> DiagnosticLimits:
    """Return what the diagnostics warn at."""
    return DiagnosticLimits(p['warn_metric'], p['warn_staleness'], p['error_failures'])
