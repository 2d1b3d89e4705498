# SPDX-License-Identifier: Apache-2.0
"""Feeds damaged inputs to a reader in a process of its own, and sees what becomes of that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import faulthandler
import json
import mmap
import os
from pathlib import Path
from random import Random
import resource
import signal
import struct
import time
import traceback
from typing import Any

from peak import forget_peak, memory

from shadowtutor_ros.errors import ShadowTutorError

_HANGS = 30.0  # seconds for one input, on a machine that others keep busy
_ROOM = 2 << 30  # bytes of address space beside what there is
_PLACE = struct.Struct('<qd')  # the input that is read, and since when


@dataclass(frozen=True)
class Target:
    """
    What reads bytes of others: ``read`` returns, or raises a ShadowTutorError.

    ``seeds`` are good inputs, ``mutate`` damages one; no input takes more than ``megabytes``.
    ``share`` says how many inputs it gets, of all.
    """

    name: str
    read: Callable[[bytes], object]
    seeds: Sequence[bytes]
    mutate: Callable[[Random, bytes], bytes]
    megabytes: int = 64
    share: int = 1


@dataclass
class Seen:
    """What became of the inputs; ``wrong`` says of each that ended otherwise what was wrong."""

    tried: int = 0
    refused: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def damaged(target: Target, seed: int, index: int) -> bytes:
    """Return input number ``index``."""
    random = Random(f'{seed} {target.name} {index}')
    return target.mutate(random, random.choice(target.seeds))


def watch(target: Target, count: int, seed: int) -> Seen:
    """Read ``count`` damaged inputs; a process that dies or hangs is one input's fault."""
    seen, began = Seen(), time.monotonic()
    place = mmap.mmap(-1, _PLACE.size)
    while seen.tried < count:
        place[:] = _PLACE.pack(seen.tried, time.monotonic())
        into, out_of = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(into)
            _feed(target, range(seen.tried, count), seed, place, out_of)
        os.close(out_of)
        lines = _lines(process, into, place)
        for line in lines:
            seen.tried += 1
            seen.refused += line['refused']
            if line['wrong']:
                seen.wrong.append(line['wrong'])
        index, _ = _PLACE.unpack(place[:])
        if seen.tried < count:
            status = os.waitpid(process, 0)[1]
            seen.wrong.append(f'{target.name} {index}: ' + (
                f'hangs for more than {_HANGS:g} s' if status == signal.SIGKILL
                else f'the process ends with {os.waitstatus_to_exitcode(status)}'))
            seen.tried = index + 1
        else:
            os.waitpid(process, 0)
    seen.seconds = time.monotonic() - began
    return seen


def _lines(process: int, into: int, place: mmap.mmap) -> list[dict[str, Any]]:
    """Return what a feeding process said before its end, which comes if it hangs."""
    text = b''
    os.set_blocking(into, False)
    while True:
        try:
            part = os.read(into, 1 << 16)
        except BlockingIOError:
            _, since = _PLACE.unpack(place[:])
            if time.monotonic() - since > _HANGS:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.002)
            continue
        if not part:
            os.close(into)
            return [json.loads(line) for line in text.splitlines()]
        text += part


def _feed(
    target: Target, indices: range, seed: int, place: mmap.mmap, out_of: int,
) -> None:
    """In the new process: read, and say a line of JSON for each input. Never returns."""
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        room = memory('VmSize') + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        with os.fdopen(out_of, 'w', buffering=1) as lines:
            for index in indices:
                data = damaged(target, seed, index)
                place[:] = _PLACE.pack(index, time.monotonic())
                lines.write(json.dumps(_one(target, data, index)) + '\n')
                place[:] = _PLACE.pack(index, time.monotonic())
        os._exit(0)
    except BaseException:
        os._exit(99)


def _one(target: Target, data: bytes, index: int) -> dict[str, Any]:
    refused, wrong = False, ''
    forget_peak()
    before = memory('VmRSS')
    try:
        target.read(data)
    except ShadowTutorError:
        refused = True
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = next((f for f in reversed(frames) if 'shadowtutor_ros' in f.filename), frames[-1])
        wrong = (f'{target.name} {index}: {type(error).__name__} at '
                 f'{Path(where.filename).name}:{where.lineno}: {str(error)[:200]}')
    taken = memory('VmHWM') - before >> 20
    if taken > target.megabytes:
        wrong = wrong or f'{target.name} {index}: takes {taken} MB'
    return {'refused': refused, 'wrong': wrong}
