# SPDX-License-Identifier: Apache-2.0
"""
Cuts a piece of a demo's ``overlay.mp4`` into a film that a page can show, an animated WebP.

scripts/in_env.sh python scripts/make_film.py demo_out/overlay.mp4 film.webp --start 100
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.demo.drawing import BAR
from shadowtutor_ros.sources import open_source
from shadowtutor_ros.whole_file import whole

Box = tuple[int, int, int, int]  # x, y, width, height

_PANELS = 3  # frame, teacher, student


def cut(picture: NDArray[np.uint8], box: Box | None, width: int) -> NDArray[np.uint8]:
    """Return the ``box`` of each of the panels in a row under their titles, ``width`` wide."""
    panels = np.hsplit(picture, _PANELS)
    if box is not None:
        x, y, w, h = box
        panels = [np.vstack([panel[:BAR, :w], panel[BAR + y:BAR + y + h, x:x + w]])
                  for panel in panels]
    row = np.hstack(panels)
    height = round(row.shape[0] * width / row.shape[1])
    return cv2.resize(row, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def write_film(
    path: Path, pictures: Sequence[NDArray[np.uint8]], fps: float, quality: int,
) -> None:
    """Write BGR pictures of one size as a WebP that begins again and again."""
    film = cv2.Animation()
    film.frames = list(pictures)
    film.durations = [round(1000 / fps)] * len(pictures)
    with whole(path) as part:
        cv2.imwriteanimation(str(part), film, [cv2.IMWRITE_WEBP_QUALITY, quality])


def _box(text: str) -> Box:
    x, y, w, h = map(int, text.split(','))
    return x, y, w, h


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the film and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('video', type=Path, help="a demo's overlay.mp4")
    parser.add_argument('film', type=Path, help='the WebP to write')
    parser.add_argument('--start', type=int, default=0, help='its first frame')
    parser.add_argument('--frames', type=int, default=80)
    parser.add_argument('--crop', type=_box, metavar='X,Y,WIDTH,HEIGHT', help='of each panel')
    parser.add_argument('--width', type=int, default=900, help='of all panels together')
    parser.add_argument('--quality', type=int, default=50, help='1 to 100')
    a = parser.parse_args(arguments)
    source = open_source(str(a.video))
    frames = islice(source.frames(a.start), a.frames)
    write_film(a.film, [cut(frame, a.crop, a.width) for frame in frames], source.fps, a.quality)
    print(f'{a.film}: {a.film.stat().st_size / 1024:.0f} KiB')


if __name__ == '__main__':
    main()
