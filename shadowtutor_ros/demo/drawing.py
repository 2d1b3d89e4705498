# SPDX-License-Identifier: Apache-2.0
"""What the demo draws of its run: frames side by side, mIoU over time."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.whole_file import replace_file

Colours = Sequence[tuple[int, int, int]]

BAR = 28  # pixels above the frames for their titles


def side_by_side(
    frame: NDArray[np.uint8],
    teacher: NDArray[np.uint8],
    student: NDArray[np.uint8],
    colours: Colours,
    titles: tuple[str, str, str],
) -> NDArray[np.uint8]:
    """Return BGR frame, teacher's mask and student's mask in a row under their titles."""
    panels = np.hstack([frame, overlay(frame, teacher, colours, 0.6),
                        overlay(frame, student, colours, 0.6)])
    bar = np.full((BAR, panels.shape[1], 3), 32, np.uint8)
    for index, title in enumerate(titles):
        cv2.putText(bar, title, (index * frame.shape[1] + 8, BAR - 9),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.5, (240, 240, 240), 1, cv2.LINE_AA)
    return np.vstack([bar, panels])


def plot_miou(
    path: Path, title: str, miou: Sequence[float], wild: Sequence[float],
    key_frames: Sequence[int],
) -> None:
    """Plot each frame's mIoU (0-1) with and without tutor, key frames marked, as PNG."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 4.2), layout='constrained')
    axes.plot(100 * np.asarray(miou), label=f'taught, mean {100 * np.mean(miou):.1f} %')
    axes.plot(100 * np.asarray(wild), color='0.6',
              label=f'left alone, mean {100 * np.mean(wild):.1f} %')
    axes.plot(key_frames, np.full(len(key_frames), 1.5), '|', color='C3', markersize=10,
              label=f'{len(key_frames)} key frames')
    axes.set(title=title, xlabel='frame', ylabel='mIoU against the teacher, %',
             xlim=(-1, len(miou)), ylim=(0, 100))
    axes.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=3)
    png = BytesIO()
    figure.savefig(png, dpi=120)
    pyplot.close(figure)
    replace_file(path, png.getvalue())
