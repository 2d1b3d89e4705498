# SPDX-License-Identifier: Apache-2.0
from collections import OrderedDict
import io
import math
from pathlib import Path
import pickle
import struct
from typing import Any
import zipfile

from peak import at_most
import pytest
import torch
from torch import nn

from shadowtutor_ros.untrusted.bounded_pickle import UntrustedPickle
from shadowtutor_ros.untrusted.torch_file import BadTorchFile, read_torch_file

STATE = OrderedDict(
    half=torch.arange(6, dtype=torch.float16).reshape(2, 3), one=torch.tensor(3.5),
    none=torch.empty(0, 4), turned=torch.arange(6).reshape(2, 3).T, flag=torch.tensor([True]),
    brain=torch.ones(2, dtype=torch.bfloat16), fixed=nn.Parameter(torch.ones(2)))
CONTENT = {'state_dict': STATE, 'step': 3, 'best': math.inf, 'names': ('a', None, [2.5, True]),
           7: {'size': torch.Size([1, 2])}}


@pytest.mark.parametrize('new', [True, False])
def test_what_torch_saved_comes_back(tmp_path: Path, new: bool) -> None:
    torch.save(CONTENT, tmp_path / 'a.pt', _use_new_zipfile_serialization=new)
    back = read_torch_file(tmp_path / 'a.pt')
    state = back.pop('state_dict')
    assert back == {key: value for key, value in CONTENT.items() if key != 'state_dict'}
    assert list(state) == list(STATE)
    for name, tensor in STATE.items():
        assert (state[name].dtype, state[name].stride()) == (tensor.dtype, tensor.stride())
        assert torch.equal(state[name], tensor)


def archive(path: Path, data: bytes, storage: bytes = b'\0\0', kind: int = 0) -> Path:
    with zipfile.ZipFile(path, 'w', kind) as file:
        for name, content in (('data.pkl', data), ('version', b'3\n'), ('byteorder', b'little'),
                              ('data/0', storage)):
            file.writestr(f'archive/{name}', content)
    return path


def tensor(numbers: int, size: int, stride: int = 1) -> bytes:
    """Return the pickle of a tensor of so many float16 in a storage of so many."""
    def number(value: int) -> bytes:
        return b'\x8a\x08' + struct.pack('<q', value)
    return (b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nHalfStorage\n'
            b'X\x01\0\0\x000X\x03\0\0\0cpu' + number(numbers) + b'tQK\0' + number(size) + b'\x85'
            + number(stride) + b'\x85\x89NtR.')


HUGE = 5 << 30


@pytest.mark.parametrize('data', [
    b'\x80\x02K\x01r' + struct.pack('<I', 1 << 27) + b'.',
    b'\x80\x04\x8e' + struct.pack('<Q', HUGE) + b'.',
    b'\x80\x05\x96' + struct.pack('<Q', HUGE) + b'.',
    b'\x80\x04\x95' + struct.pack('<Q', HUGE) + b'K\x01.',
    b'\x80\x02\x8b' + struct.pack('<i', 1 << 30) + b'.',
    b'\x80\x02\x8b' + struct.pack('<i', -1) + b'.',
    tensor(1, 10**9, 0), tensor(10**9, 1), tensor(10**9, 10**9), tensor(-1, 1), tensor(1, -1),
    tensor(1, 2), tensor(1, 1, -1), b'\x80\x02I' + b'9' * 100_000 + b'\n.',
    b'\x80\x02(' + b'(' * 100_000, b'',
], ids=['memo', 'bytes', 'bytearray', 'frame', 'int', 'negative', 'stride 0', 'storage', 'both',
        'no storage', 'no size', 'beyond', 'backwards', 'digits', 'marks', 'nothing'])
def test_nothing_is_larger_than_the_file(tmp_path: Path, data: bytes) -> None:
    path = archive(tmp_path / 'a.pt', data)
    with at_most(64):
        try:
            read = read_torch_file(path)
        except (BadTorchFile, UntrustedPickle):
            return
    assert read == 1  # the memo: a dict in Python


PAIRS = b'K\x01' + b'2\x86' * 60  # a pair of the same pair, sixty times: 2^60 to hash


@pytest.mark.parametrize('data', [
    b'}(' + PAIRS + b'K\x01u.', b'}' + PAIRS + b'K\x01s.', b'(' + PAIRS + b'K\x01d.',
    b'\x8f(' + PAIRS + b'\x90.', b'(' + PAIRS + b'\x91.',
    b'c__builtin__\nset\n(](' + PAIRS + b'etR.',
    b'ccollections\nOrderedDict\n(]((' + PAIRS + b'K\x01tetR.'])
def test_no_key_is_nested(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UntrustedPickle, match=r'for a key|of arguments'):
        read_torch_file(archive(tmp_path / 'a.pt', b'\x80\x04' + data))


class Module(nn.Module):
    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.weight = bytearray(size)


@pytest.mark.parametrize('call', [
    b'(K\x05tR.', b'(K\x05t\x81.', b'(K\x05t}\x92.', b'o.'], ids=['call', 'new', 'new ex', 'obj'])
def test_a_module_is_made_of_its_state_alone(tmp_path: Path, call: bytes) -> None:
    known = {('a', 'Module'): Module}
    data = (b'(' if call == b'o.' else b'') + b'ca\nModule\n' + (
        b'K\x05' if call == b'o.' else b'') + call
    with pytest.raises(UntrustedPickle, match=r'of arguments|no such file needs'):
        read_torch_file(archive(tmp_path / 'a.pt', b'\x80\x04' + data), known, (nn.Module,))
    read_torch_file(archive(tmp_path / 'b.pt', b'\x80\x04ca\nModule\n)\x81}b.'), known,
                    (nn.Module,))


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / 'a.pt', tensor(1 << 25, 1 << 25), bytes(1 << 26),
                   zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with at_most(16), pytest.raises(BadTorchFile, match='got a compressed one'):
        read_torch_file(path)


def test_members_that_lie_upon_each_other_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / 'a.pt', tensor(1 << 20, 1 << 20), bytes(1 << 21))
    data = path.read_bytes()
    entry = data.index(b'PK\x01\x02', len(data) - 200)  # the directory's last
    end = data.index(b'PK\x05\x06')
    more = 100 * data[entry:end]
    count, size = 4 + 100, end - data.index(b'PK\x01\x02') + len(more)
    path.write_bytes(data[:end] + more + b'PK\x05\x06\0\0\0\0' + struct.pack(
        '<HHIIH', count, count, size, data.index(b'PK\x01\x02'), 0))
    with pytest.raises(BadTorchFile, match='bytes say that they hold'):
        read_torch_file(path)


@pytest.mark.parametrize('content', [
    io.BytesIO, nn.Linear(1, 1), torch.zeros(2).to_sparse(), {'a': torch.zeros(1).numpy()}])
def test_what_is_no_state_is_named(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / 'a.pt')
    with pytest.raises(UntrustedPickle, match=r'it names [\w.]+, which no such file needs'):
        read_torch_file(tmp_path / 'a.pt')


@pytest.mark.parametrize('data', [
    b'', b'PK', b'PK\x03\x04', b'nothing', pickle.dumps(1), pickle.dumps(0x1950a86a20f9469cfc6c)])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / 'a.pt').write_bytes(data)
    with pytest.raises(BadTorchFile):
        read_torch_file(tmp_path / 'a.pt')


def test_the_old_format_allocates_no_more_than_it_has(tmp_path: Path) -> None:
    torch.save(torch.zeros(4), tmp_path / 'a.pt', _use_new_zipfile_serialization=False)
    data = (tmp_path / 'a.pt').read_bytes()
    assert data.count(b'cpuq') == 1
    count = data.index(b'K\x04', data.index(b'cpuq'))
    huge = data[:count] + b'\x8a\x08' + struct.pack('<q', 1 << 40) + data[count + 2:]
    (tmp_path / 'a.pt').write_bytes(huge)
    with pytest.raises(BadTorchFile, match='the file no more than'):
        read_torch_file(tmp_path / 'a.pt')
    for length in range(0, len(data), 7):
        (tmp_path / 'a.pt').write_bytes(data[:length])
        with pytest.raises((BadTorchFile, UntrustedPickle)):
            read_torch_file(tmp_path / 'a.pt')
