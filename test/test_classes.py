# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from shadowtutor_ros.classes import ClassSet, ClassSetError, COCO_NAMES
from shadowtutor_ros.share import config_file

GOOD = 'name: x\nclasses: [{name: a, colour: [1, 2, 3], coco: [cat]}]\n' \
       'background: {name: b, colour: [0, 0, 0]}\n'


def test_lvs8_is_the_papers_set(classes: ClassSet) -> None:
    assert classes.names == ('person', 'bicycle', 'auto', 'bird', 'dog', 'horse', 'elephant',
                             'giraffe', 'background')
    assert classes.background == 8
    ids = dict(zip(COCO_NAMES, classes.coco_lookup().tolist()))
    assert [ids[n] for n in ('person', 'car', 'bus', 'truck', 'cat')] == [0, 2, 2, 2, 8]


def test_coco80_is_the_identity() -> None:
    classes = ClassSet.load(config_file('coco80', 'classes'))
    assert classes.names == (*COCO_NAMES, 'background')
    assert classes.coco_lookup().tolist() == list(range(80))


@pytest.mark.parametrize(('old', 'new', 'message'), [
    ('cat', 'kitten', "expected COCO class names, got 'kitten'"),
    ('name: b', 'name: a', "class 'a' stands there twice"),
    ('[1, 2, 3]', '[1, 2, 300]', r'expected a colour \[r, g, b\] of 0-255, got \[1, 2, 300\]'),
    ('[cat]', '[cat, cat]', "'cat' is mapped twice"),
    ('background:', 'ground:', 'keys name, classes, background'),
    ('[{', '{', 'cannot be read'),
    ('name: b', 'name: ' + 129 * 'b', 'class name: expected at most 128 bytes, got 129'),
    ('classes: [{name: a, colour: [1, 2, 3], coco: [cat]}]', 'classes: []', 'got 0'),
])
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / 'classes.yaml'
    path.write_text(GOOD)
    assert ClassSet.load(path).coco == {'cat': 0}
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ClassSetError, match=message) as error:
        ClassSet.load(path)
    assert str(path) in str(error.value)
