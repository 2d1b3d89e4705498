# SPDX-License-Identifier: Apache-2.0
"""Finished runs on disk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from shadowtutor_ros.evaluation.record import read_records, write_records
from shadowtutor_ros.evaluation.run import Run
from shadowtutor_ros.whole_file import replace_json, whole

_LOG = logging.getLogger(__name__)
_ABOUT = 'run.json'
_FRAMES = 'frames.csv'
_MASK = 'mask_'


class RunStore:
    """
    ``<folder>/<video>/<setting>/`` with ``frames.csv``, example masks and ``run.json``.

    The last says what the run was made of, and has a digest of every other file.
    """

    def __init__(self, folder: Path, classes: tuple[str, ...]) -> None:
        self._folder = folder
        self._classes = classes

    def save(self, video: str, setting: str, identity: dict[str, Any], run: Run) -> None:
        """Keep a finished run: all of it or, when killed, nothing. Raise CannotWrite."""
        with whole(self.place(video, setting)) as part:
            part.mkdir()
            write_records(part / _FRAMES, run.records, self._classes)
            for index, mask in run.masks.items():
                (part / f'{_MASK}{index:06}.png').write_bytes(
                    cv2.imencode('.png', mask)[1].tobytes())
            seconds = None if math.isnan(run.seconds) else run.seconds
            ap50 = None if math.isnan(run.ap50) else run.ap50
            replace_json(part / _ABOUT, {
                **identity, 'seconds': seconds, 'ap50': ap50, 'files': _digests(part)})

    def load(self, video: str, setting: str, identity: dict[str, Any]) -> Run | None:
        """
        Return the run if it is there, whole, and was made of the same ``identity``.

        A damaged one is warned of.
        """
        place = self.place(video, setting)
        try:
            about = json.loads((place / _ABOUT).read_bytes())
            seconds, files = about.pop('seconds'), about.pop('files')
            ap50 = about.pop('ap50', None)
            if about != json.loads(json.dumps(identity)):
                return None
            found = _digests(place)
            if changed := [name for name in {**files, **found}
                           if files.get(name) != found.get(name)]:
                raise ValueError(f'not as written: {", ".join(changed)}')
            masks = {int(path.stem.removeprefix(_MASK)):
                     np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
                     for path in sorted(place.glob(f'{_MASK}*.png'))}
            return Run(read_records(place / _FRAMES), masks,
                       math.nan if seconds is None else float(seconds),
                       math.nan if ap50 is None else float(ap50))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            _LOG.warning('%s is damaged and made again: %s', place, error)
            return None

    def place(self, video: str, setting: str) -> Path:
        """Return the folder of one run."""
        return self._folder / video / setting


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a run but the one that has them."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.iterdir()) if path.name != _ABOUT}
