# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from peak import at_most
import pytest

from shadowtutor_ros.untrusted.yaml_file import BadYaml, read_yaml

BOMB = 'a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n' + ''.join(
    f'a{i}: &a{i} [{",".join([f"*a{i - 1}"] * 10)}]\n' for i in range(1, 9))


def test_plain_values_come_back(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text('a: [1, 2.5, x, yes, null]\nb: {c: "ü"}\n')
    assert read_yaml(tmp_path / 'a.yaml') == {'a': [1, 2.5, 'x', True, None], 'b': {'c': 'ü'}}
    (tmp_path / 'a.yaml').write_text('')
    assert read_yaml(tmp_path / 'a.yaml') is None


@pytest.mark.parametrize('text', [
    BOMB, 'a: &a {b: *a}', 'a: &a [1]\nb: {<<: *a}', '[' * 20_000,
    ''.join(' ' * i + 'a:\n' for i in range(1000)), '- ' * 10_000, 'a: [' + 'x,' * 30_000 + ']',
    'a: ' + '9' * 5000, 'a: 2020-99-99', 'a: !!python/object/apply:os.system [ls]', '? [a]\n: b',
    'a: "\x00"', 'a: b: c', '{a: 1, a', '%YAML 9.9\n---\na', 'a: ' + 'x' * (1 << 20),
    'a: 1_' + '1' * 5000, 'a: 1:' + '1:' * 1000 + '1', 'a: 0x' + 'f' * 5000,
    'a: !!timestamp x'])
def test_what_is_no_small_plain_yaml_is_refused_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / 'a.yaml').write_text(text)
    with at_most(64), pytest.raises(BadYaml, match=r'expected|cannot be read'):
        read_yaml(tmp_path / 'a.yaml')


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_bytes(b'a: \xff')
    with pytest.raises(BadYaml, match='cannot be read'):
        read_yaml(tmp_path / 'a.yaml')
    with pytest.raises(BadYaml, match='cannot be read'):
        read_yaml(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / 'b.yaml')
