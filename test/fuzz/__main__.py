# SPDX-License-Identifier: Apache-2.0
"""
Damage COUNT inputs of all readers; print what was tried, refused and wrong as JSON.

A process of its own, for what is forked from it must have no threads.
"""

import argparse
from dataclasses import asdict
import json
from pathlib import Path

import cv2
from fuzz.targets import all_targets
from fuzz.watch import Seen, watch
from scene import make_scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.share import config_file


def main() -> None:
    parser = argparse.ArgumentParser('fuzz', description=__doc__)
    parser.add_argument('folder', type=Path, help='empty, for files')
    parser.add_argument('count', type=int)
    parser.add_argument('seed', type=int)
    parser.add_argument('--only', default='', help='readers whose names have this in them')
    parser.add_argument('--times', action='store_true', help='print how long each reader takes')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    targets = [target for target in all_targets(
        options.folder, make_scene(options.folder, classes, 4), classes)
        if options.only in target.name]
    each = options.count / sum(target.share for target in targets)
    all_seen = Seen()
    for target in targets:
        target.read(target.seeds[0])
        seen = watch(target, max(1, round(each * target.share)), options.seed)
        if options.times:
            print(f'{target.name}: {seen.tried} inputs, {seen.refused} refused, '
                  f'{len(seen.wrong)} wrong, {seen.seconds:.2f} s', flush=True)
        all_seen.tried += seen.tried
        all_seen.refused += seen.refused
        all_seen.wrong += seen.wrong
    print(json.dumps(asdict(all_seen)))


main()
