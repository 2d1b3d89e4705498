# SPDX-License-Identifier: Apache-2.0
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from shadowtutor_ros.model.first_student import first_student
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.share import config_file, config_folder
from shadowtutor_ros.tasks.table import UnknownTask


def same(one: Student, other: Student) -> bool:
    first: Mapping[str, Tensor] = one.weights(FULL)
    second = other.weights(FULL)
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first)


def test_random_is_what_its_seed_says(classes: ClassSet, info: StudentInfo) -> None:
    assert same(first_student('random', classes, 3), Student.random(info, 3))


def test_the_shipped_student_is_that_of_the_class_set(classes: ClassSet) -> None:
    path = config_folder() / 'students/lvs8.safetensors'
    shipped = load_checkpoint(path)
    assert shipped.info.class_names == classes.names
    for name in ('default', ''):
        assert same(first_student(name, classes, 3), shipped)
    assert path.stat().st_size < 1_100_000  # fp16


def test_a_class_set_without_a_shipped_student_begins_with_random_weights(
    classes: ClassSet,
) -> None:
    coco = ClassSet.load(config_file('coco80', 'classes'))
    assert same(first_student('default', coco, 3), first_student('random', coco, 3))


def test_another_class_set_of_the_same_name_does_not_get_it(classes: ClassSet) -> None:
    renamed = replace(classes, names=('human', *classes.names[1:]))
    assert same(first_student('default', renamed, 3), first_student('random', renamed, 3))


def test_the_shipped_student_has_the_colours_of_the_class_set(classes: ClassSet) -> None:
    colours = ((1, 2, 3), *classes.colours[1:])
    student = first_student('default', replace(classes, colours=colours))
    assert student.info.class_colours == colours
    assert same(student, first_student('default', classes))


def test_anything_else_is_a_file(
    tmp_path: Path, classes: ClassSet, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    save_checkpoint(Student.random(info, 5), tmp_path / 'mine.safetensors')
    assert same(first_student('~/mine.safetensors', classes), Student.random(info, 5))


def test_a_file_that_is_not_there_is_named(classes: ClassSet) -> None:
    with pytest.raises(CheckpointError, match='defaults: no such student checkpoint'):
        first_student('defaults', classes)


def test_a_student_of_another_task_begins_with_what_both_have(
    tmp_path: Path, classes: ClassSet, info: StudentInfo,
) -> None:
    shipped = first_student('default', classes).weights(FULL)
    student = first_student('default', classes, 3, task='detection')
    assert (student.info.task, student.info.architecture) == ('detection', 'shadowtutor-boxes')
    assert student.info.class_colours == classes.colours
    alone = first_student('random', classes, 3, task='detection').weights(FULL)
    for name, tensor in student.weights(FULL).items():
        assert torch.equal(tensor, shipped[name] if name in shipped else alone[name])
    assert not torch.equal(alone['sb1.long.0.weight'], shipped['sb1.long.0.weight'])
    own = replace(info, mean=(1.0, 2.0, 3.0))
    save_checkpoint(Student.random(own, 5), tmp_path / 'mine.safetensors')
    mine = first_student(str(tmp_path / 'mine.safetensors'), classes, task='detection')
    assert mine.info.mean == own.mean
    assert torch.equal(mine.weights(FULL)['in_conv1.weight'],
                       Student.random(own, 5).weights(FULL)['in_conv1.weight'])


def test_a_file_has_its_own_task(tmp_path: Path, classes: ClassSet) -> None:
    path = tmp_path / 'boxes.safetensors'
    saved = first_student('random', classes, 4, task='detection')
    save_checkpoint(saved, path)
    for task in ('auto', 'detection'):
        found = first_student(str(path), classes, task=task)
        assert found.layout_hash == saved.layout_hash
        assert same(found, saved)
    assert first_student(str(path), classes, task='segmentation').info.task == 'segmentation'


def test_a_task_without_an_architecture_needs_a_file(classes: ClassSet) -> None:
    with pytest.raises(UnknownTask, match='expected one of segmentation, detection, or a check'):
        first_student('default', classes, task='poses')
