# SPDX-License-Identifier: Apache-2.0
"""Damage of files and messages: bits, lengths, cuts, repeats, odd values; the same for a seed."""

from copy import deepcopy
import io
import json
from random import Random
import struct
from typing import Any
import zipfile

import yaml

_NUMBERS = (0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x1000000, 0x10000000, 0x40000000,
            0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff)
_LARGE = (0, 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, (1 << 64) - 1)
_TOKENS = (b'*a', b'&a ', b'!!python/name:os.system ', b'!!set ', b'[', b']', b'{', b'}', b': ',
           b'- ', b'null', b'~', b'-1', b'1e999', b'.nan', b'.inf', b'9' * 400, b'"', b"'", b'\n',
           b'  ', b'true', b'\xff', b'\0', b'\xc3\xbc', b'2020-99-99', b'0x' + b'f' * 300,
           b'<<: ', b'? ', b'[[[[[[[[[[[[[[[[[[[[[[', b'1_0', b'{{', b'%', b'---\n',
           b'!!binary "%"', b'12:30')
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, -0.0, 1e308, float('nan'),
    float('inf'), '', 'x', '\0', '../../etc/passwd', '🙂' * 40, 'x' * 5000, [], {},
    [[]], [None], {'a': None}, [1, 2], ['a'], [[0, 0, 1, 1]])


def mutate(random: Random, data: bytes, most: int = 8) -> bytes:
    """Return ``data`` with one to ``most`` pieces of damage, more of it near the beginning."""
    damaged = bytearray(data)
    for _ in range(random.randint(1, most)):
        damaged = damaged or bytearray(1)
        size = len(damaged)
        at = (random.randrange(size) if random.random() < 0.6
              else min(size - 1, int(random.expovariate(1 / 60))))
        match random.randrange(9):
            case 0:
                damaged[at] ^= 1 << random.randrange(8)
            case 1:
                damaged[at] = random.randrange(256)
            case 2:
                damaged[at:at] = random.randbytes(random.randint(1, 16))
            case 3:
                del damaged[at:at + random.randint(1, 16)]
            case 4 if random.random() < 0.4:
                del damaged[at:]
            case 5:
                at &= ~3
                damaged[at:at + 4] = struct.pack(
                    random.choice('<>') + 'I', random.choice(_NUMBERS))
            case 6:
                start = random.randrange(size)
                damaged[at:at] = damaged[start:start + random.randint(1, 64)]
            case 7:
                at &= ~7
                damaged[at:at + 8] = struct.pack('<Q', random.choice(_LARGE))
            case _:
                damaged[at] = random.choice(b'\0\xff\x7f\x80 \n')
    return bytes(damaged)


def mutate_text(random: Random, data: bytes) -> bytes:
    """Return text with signs of YAML, JSON or CSV put in, lines repeated, moved or taken out."""
    if random.random() < 0.2:
        return mutate(random, data)
    damaged = data
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(damaged) + 1)
        lines = damaged.splitlines(keepends=True)
        match random.randrange(5):
            case 0 if lines:
                lines.insert(random.randrange(len(lines)), random.choice(lines))
                damaged = b''.join(lines)
            case 1 if lines:
                del lines[random.randrange(len(lines))]
                damaged = b''.join(lines)
            case 2:
                damaged = damaged[:at] + damaged[at + random.randint(1, 8):]
            case _:
                damaged = damaged[:at] + random.choice(_TOKENS) + damaged[at:]
    return damaged


def mutate_json(random: Random, data: bytes) -> bytes:
    """Return JSON with some of its values odd, gone or twice; sometimes damaged as text."""
    if random.random() < 0.3:
        return mutate_text(random, data)
    value = json.loads(data)
    for _ in range(random.randint(1, 3)):
        value = _odd_somewhere(random, value)
    return json.dumps(value).encode()


def mutate_yaml(random: Random, data: bytes) -> bytes:
    """Return YAML with some of its values odd, gone or twice, or damaged as text."""
    if random.random() < 0.5:
        return mutate_text(random, data)
    value = _odd_somewhere(random, yaml.safe_load(data))
    return yaml.safe_dump(value, allow_unicode=random.random() < 0.5).encode()


def _odd_somewhere(random: Random, value: Any) -> Any:
    if not isinstance(value, (dict, list)) or not value or random.random() < 0.1:
        return deepcopy(random.choice(_ODD))
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice(keys)
    match random.randrange(8):
        case 0:
            del value[key]
        case 1 if isinstance(value, list):
            value.append(deepcopy(value[key]))
        case 2 if isinstance(value, dict):
            value[random.choice(('', 'x', str(key) + ' '))] = value.pop(key)
        case _:
            value[key] = _odd_somewhere(random, value[key])
    return value


def mutate_member(random: Random, data: bytes) -> bytes:
    """Return a zip archive whose checksums are right, one member of it damaged."""
    if random.random() < 0.3:
        return mutate(random, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice([name for name in members if members[name]])
    members[name] = mutate(random, members[name])
    written = io.BytesIO()
    with zipfile.ZipFile(written, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()
