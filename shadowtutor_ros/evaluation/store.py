# SPDX-License-Identifier: Apache-2.0
"""Finished runs on disk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
import shutil
from typing import Any

import cv2
import numpy as np

from shadowtutor_ros.evaluation.record import read_records, write_records
from shadowtutor_ros.evaluation.run import Run

_ABOUT = 'run.json'
_FRAMES = 'frames.csv'


class RunStore:
    """``<folder>/<video>/<setting>/`` with ``frames.csv``, ``run.json`` and example masks."""

    def __init__(self, folder: Path, classes: tuple[str, ...]) -> None:
        self._folder = folder
        self._classes = classes

    def save(self, video: str, setting: str, identity: dict[str, Any], run: Run) -> None:
        """Keep a finished run: all of it or, when killed, nothing."""
        place = self.place(video, setting)
        part = place.with_name(f'{setting}.part')
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write_records(part / _FRAMES, run.records, self._classes)
        for index, mask in run.masks.items():
            cv2.imwrite(str(part / f'mask_{index:06}.png'), mask)
        seconds = None if math.isnan(run.seconds) else run.seconds
        (part / _ABOUT).write_text(json.dumps({**identity, 'seconds': seconds}, indent=2) + '\n')
        shutil.rmtree(place, ignore_errors=True)
        part.replace(place)

    def load(self, video: str, setting: str, identity: dict[str, Any]) -> Run | None:
        """Return the run if it is there and was made of the same ``identity``."""
        place = self.place(video, setting)
        try:
            about = json.loads((place / _ABOUT).read_text())
        except (OSError, ValueError):
            return None
        seconds = about.pop('seconds', None)
        if about != json.loads(json.dumps(identity)):
            return None
        masks = {int(path.stem.removeprefix('mask_')):
                 np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
                 for path in sorted(place.glob('mask_*.png'))}
        return Run(read_records(place / _FRAMES), masks,
                   math.nan if seconds is None else seconds)

    def place(self, video: str, setting: str) -> Path:
        """Return the folder of one run."""
        return self._folder / video / setting
