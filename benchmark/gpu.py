# SPDX-License-Identifier: Apache-2.0
"""
What a GPU makes of it: the product beside the plain reference, within three minutes.

    python benchmark/gpu.py [--device cuda] [--teacher-weights FILE.pt] [--clip VIDEO]
        [--budget SECONDS] [--json FILE]

Needs torch, NumPy, OpenCV and PyYAML, no ROS and no network: docs/performance.md says what to copy
to a machine that has none. Without the two files they are what ``$SHADOWTUTOR_CACHE`` holds, or
fetched. A part that does not fit into the rest of ``--budget`` is left out and named in
``skipped``, one that fails has its error in its place and costs no other its figures; the file is
written after each. With ``--device cpu`` everything is small: it shows that the script works.

benchmark/gpu_parts.py says what the parts are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
import json
import os
from pathlib import Path
import sys
import time
from typing import Any

import cv2
import fleet
from fleet_robots import Film, read_film
from gpu_parts import Part, PARTS, Scale, Stage
import torch

from shadowtutor_ros.assets import clip, teacher_weights
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.runtime.memory import keep_freed_memory

GPU = Scale((1280, 720), 100, 7, (2, 4, 8, 16), 8, (8, 32), 6.0)
CPU = Scale((320, 180), 3, 1, (2,), 2, (1,), 2.0)


def make_stage(device: torch.device, scale: Scale, weights: Path, video: Path) -> Stage:
    """Return the first frames of ``video`` with teacher and taught student."""
    film = read_film(video, 150, scale.size)
    cast = fleet.make_cast([Film(film.name, film.frames)], str(weights), device,
                           os.cpu_count() or 1, DistillSettings.plain(),
                           seconds=scale.seconds)
    frame = film.frames[len(film.frames) // 2]  # that the student was taught
    return Stage(device, scale, cast, frame, cast.teacher.label(frame))


def measure(
    stage: Stage, parts: Mapping[str, tuple[float, Part]], left: Callable[[], float],
    on_part: Callable[[dict[str, Any]], object],
) -> dict[str, Any]:
    """Return what the ``parts`` found that fit into the seconds ``left``, told after each."""
    found: dict[str, Any] = {'skipped': []}
    for name, (most, part) in parts.items():
        if left() < most:
            found['skipped'].append(name)
        else:
            started = time.perf_counter()
            try:
                found[name] = part(stage)
            except Exception as error:  # of one part, which must not cost the others theirs
                found[name] = {'error': f'{type(error).__name__}: {error}'}
            found[name]['seconds'] = time.perf_counter() - started
        on_part(found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return 1 when a part failed."""
    started = time.perf_counter()
    parser = argparse.ArgumentParser(description='the figures of one GPU')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--teacher-weights', type=Path, help='a .pt file; default: yolov7-seg')
    parser.add_argument('--clip', type=Path, help='a video file or a folder of images')
    parser.add_argument('--parts', default=','.join(PARTS), help='default: %(default)s')
    parser.add_argument('--budget', type=float, default=180.0, help='seconds')
    parser.add_argument('--json', type=Path, default=Path(__file__).parent / 'out' / 'gpu.json')
    options = parser.parse_args(arguments)
    device = pick_device(options.device)
    keep_freed_memory()
    cv2.setNumThreads(1)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    stage = make_stage(device, GPU if device.type == 'cuda' else CPU,
                       options.teacher_weights or teacher_weights(), options.clip or clip())
    head = {**fleet.machine(device), 'size': list(stage.scale.size),
            'teacher_name': stage.cast.teacher.name,
            'seconds_before_the_first_part': time.perf_counter() - started}

    def write(found: dict[str, Any]) -> None:
        options.json.write_text(json.dumps({**head, **found}, indent=2))

    found = measure(stage, {name: PARTS[name] for name in options.parts.split(',')},
                    lambda: options.budget - (time.perf_counter() - started), write)
    print(options.json.read_text())
    for name in found['skipped']:
        print(f'{name}: skipped, it does not fit into {options.budget:g} s', file=sys.stderr)
    return int(any('error' in part for part in found.values() if isinstance(part, dict)))


if __name__ == '__main__':
    sys.exit(main())
