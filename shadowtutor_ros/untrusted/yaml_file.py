# SPDX-License-Identifier: Apache-2.0
"""Read a small YAML file of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from shadowtutor_ros.errors import ShadowTutorError

MAX_BYTES = 1 << 20
_MOST_NODES = 20_000  # a class set of 254 classes has some 2,000
_DEEPEST = 20
_DIGITS = 100  # Python does not print any number
_INTEGER = 'tag:yaml.org,2002:int'


class BadYaml(ShadowTutorError):
    """A file cannot be read as YAML, is too large, or repeats itself by aliases."""


def read_yaml(path: Path) -> Any:
    """
    Return the dicts, lists and scalars of a file.

    Aliases, by which some bytes become gigabytes, are refused, and so is what is nested deeper
    than any configuration. Raise BadYaml, FileNotFoundError.
    """
    try:
        with path.open('rb') as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadYaml(f'expected at most {MAX_BYTES} bytes of YAML, got more')
        return yaml.load(data, _Loader)
    except (BadYaml, FileNotFoundError):
        raise
    except Exception as error:  # a date of no calendar is a ValueError, and so on
        raise BadYaml(f'cannot be read: {error}') from error


class _Loader(yaml.SafeLoader):
    """Counts as it composes: what is nested without end would end Python's own recursion."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._nodes = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise BadYaml('expected YAML without aliases (*name), got one')
        self._nodes += 1
        if self._nodes > _MOST_NODES or self._depth >= _DEEPEST:
            raise BadYaml(f'expected YAML of at most {_MOST_NODES} values, {_DEEPEST} deep')
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if (isinstance(node, yaml.ScalarNode) and node.tag == _INTEGER
                and len(node.value) > _DIGITS):
            raise BadYaml(f'expected integers of at most {_DIGITS} digits')
        return node
