# SPDX-License-Identifier: Apache-2.0
"""
Whatever is damaged in what others send or wrote, a named error is the worst of it.

FUZZ_INPUTS and FUZZ_SEED ask for more inputs, or for others.
"""

import json
import os
from pathlib import Path
from random import Random
import subprocess
import sys

from fuzz.mutation import mutate
from fuzz.watch import Seen, Target, watch
import numpy as np
import pytest

from shadowtutor_ros.errors import ShadowTutorError

INPUTS = int(os.environ.get('FUZZ_INPUTS', '10000'))
SEED = int(os.environ.get('FUZZ_SEED', '7'))


def test_damaged_inputs_raise_named_errors_alone(tmp_path: Path) -> None:
    path = f'{Path(__file__).parents[1]}:{os.environ.get("PYTHONPATH", "")}'
    done = subprocess.run(
        [sys.executable, '-m', 'fuzz', str(tmp_path), str(INPUTS), str(SEED)],
        env={**os.environ, 'PYTHONPATH': path}, stdout=subprocess.PIPE, check=True)
    seen = Seen(**json.loads(done.stdout))
    assert not seen.wrong, '\n'.join(seen.wrong)
    assert seen.tried >= 0.99 * INPUTS
    assert seen.refused > seen.tried / 2  # the rest is harmless, or warned of


def read(data: bytes) -> None:
    match data:
        case b'named':
            raise ShadowTutorError('this is no good')
        case b'unnamed':
            raise KeyError('x')
        case b'large':
            np.ones(200 << 20, np.uint8)  # the kernel may take some of it back at once
        case b'dead':
            os.kill(os.getpid(), 11)
        case b'hanging':
            while True:
                pass


@pytest.mark.parametrize(('data', 'found'), [
    (b'good', ''), (b'named', ''), (b'unnamed', 'KeyError at test_fuzz.py:'),
    (b'large', 'takes '), (b'dead', 'the process ends with -11'), (b'hanging', 'hangs')])
def test_what_is_wrong_is_seen(data: bytes, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if data == b'hanging':
        monkeypatch.setattr('fuzz.watch._HANGS', 0.5)
    target = Target('target', read, [data], lambda random, data: data, megabytes=20)
    seen = watch(target, 3, 0)
    assert (seen.tried, seen.refused) == (3, 3 * (data == b'named'))
    assert len(seen.wrong) == (3 if found else 0)
    assert all(found in each and each.startswith(f'target {index}: ')
               for index, each in enumerate(seen.wrong))


def test_the_same_seed_makes_the_same_inputs() -> None:
    inputs = [[mutate(Random(f'{seed} {index}'), bytes(100)) for index in range(20)]
              for seed in (1, 1, 2)]
    assert inputs[0] == inputs[1] != inputs[2]
