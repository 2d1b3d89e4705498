# SPDX-License-Identifier: Apache-2.0
"""Class sets: what a student tells apart, and how a COCO teacher's classes map to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.untrusted.yaml_file import BadYaml, read_yaml

COCO_NAMES = tuple("""
person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign
parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella
handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove
skateboard|surfboard|tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple
sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|potted plant|bed
dining table|toilet|tv|laptop|mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink
refrigerator|book|clock|vase|scissors|teddy bear|hair drier|toothbrush
""".strip().replace('\n', '|').split('|'))

UNLABELLED = 255  # in a label map: a pixel of no known class, as Pascal VOC has it
MAX_CLASSES = UNLABELLED
MAX_NAME = 128  # bytes of UTF-8: what messages hold


class ClassSetError(ShadowTutorError):
    """A class set's file is unreadable or contradicts itself."""


def largest_id(label_map: Any) -> int:
    """
    Return the largest class id of an uint8 label map, of NumPy or torch; -1: all is UNLABELLED.

    The map must have a pixel.
    """
    return int((label_map + 1).max()) - 1  # UNLABELLED becomes 0


@dataclass(frozen=True)
class ClassSet:
    """
    Class names in order with background last, a colour (r, g, b) for each.

    ``coco`` maps COCO class names to class ids; what it leaves out is background.
    """

    name: str
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    coco: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def background(self) -> int:
        """The id of the background, the last one."""
        return len(self.names) - 1

    def coco_lookup(self) -> NDArray[np.int64]:
        """Return the class id of each of the 80 COCO ids."""
        return np.array([self.coco.get(name, self.background) for name in COCO_NAMES], np.int64)

    @classmethod
    def load(cls, path: Path) -> ClassSet:
        """Read a class set from YAML; raise ClassSetError naming the file and what is wrong."""
        try:
            data = read_yaml(path)
        except FileNotFoundError as error:
            raise ClassSetError(f'{path}: no such file') from error
        except BadYaml as error:
            raise ClassSetError(f'{path}: {error}') from error
        _require(path, 'the file', data, ('name', 'classes', 'background'))
        entries = data['classes']
        if not isinstance(entries, list) or not 1 <= len(entries) < MAX_CLASSES:
            found = len(entries) if isinstance(entries, list) else type(entries).__name__
            raise ClassSetError(f'{path}: classes: expected a list of 1 to {MAX_CLASSES - 1}, '
                                f'got {found}')
        names: list[str] = []
        colours: list[tuple[int, int, int]] = []
        coco: dict[str, int] = {}
        for entry in [*entries, data['background']]:
            _require(path, 'a class', entry, ('name', 'colour'))
            if entry['name'] in names:
                raise ClassSetError(f"{path}: class {entry['name']!r} stands there twice")
            known = entry.get('coco', [])
            if not isinstance(known, list):
                raise ClassSetError(f"{path}: {entry['name']}: coco: expected a list, got "
                                    f'{type(known).__name__}')
            for name in known:
                if name not in COCO_NAMES:
                    raise ClassSetError(
                        f"{path}: {entry['name']}: expected COCO class names, got {name!r}")
                if name in coco:
                    raise ClassSetError(f'{path}: COCO class {name!r} is mapped twice')
                coco[name] = len(names)
            if (size := len(str(entry['name']).encode())) > MAX_NAME:
                raise ClassSetError(f"{path}: class name: expected at most {MAX_NAME} bytes, "
                                    f"got {size}: {entry['name']!r}")
            names.append(str(entry['name']))
            colours.append(_colour(path, entry))
        return cls(str(data['name']), tuple(names), tuple(colours), coco)


def _require(path: Path, what: str, entry: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(entry, dict) or not all(key in entry for key in keys):
        found = sorted(map(str, entry)) if isinstance(entry, dict) else entry
        raise ClassSetError(f'{path}: expected {what} with the keys {", ".join(keys)}, '
                            f'got {found}')


def _colour(path: Path, entry: dict[str, Any]) -> tuple[int, int, int]:
    match entry['colour']:
        case [int(r), int(g), int(b)] if all(0 <= c <= 255 for c in (r, g, b)):
            return r, g, b
    raise ClassSetError(f"{path}: {entry['name']}: expected a colour [r, g, b] of 0-255, "
                        f"got {entry['colour']}")
