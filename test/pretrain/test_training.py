# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from full_disk import full_disk
import pytest
from scene import Scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.pretrain.crops import CropSettings
from shadowtutor_ros.pretrain.footage import Footage, label_footage
from shadowtutor_ros.pretrain.training import PretrainError, Pretraining, PretrainSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.whole_file import CannotWrite

CROPS = CropSettings(height=48, width=64, short_side=96)
SETTINGS = PretrainSettings(steps=6, batch=2, judge_every=2, judged_frames=2, crops=CROPS)


@pytest.fixture
def parts(
    scene: Scene, classes: ClassSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Sequence[Sequence[Footage]]:
    """The scene's first half to train on, and all of it to judge by."""
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path / 'cache'))
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    return [[label_footage(Clip(scene.video, limit), teacher, classes)] for limit in (20, 40)]


def test_what_is_left_is_the_best_of_all_layers(
    parts: Sequence[Sequence[Footage]], info: StudentInfo, tmp_path: Path,
) -> None:
    out = tmp_path / 'first.safetensors'
    settings = replace(SETTINGS, steps=60, judge_every=20)
    training = Pretraining(Student.random(info, 0), *parts, settings, out)
    before, start = training.judge(), Student.random(info, 0).weights(FULL)
    judged: list[tuple[int, float, bool]] = []
    losses: list[float] = []
    best = training.run(lambda step, loss: losses.append(loss),
                        lambda *each: judged.append(each))
    assert [step for step, _, _ in judged] == [20, 40, 60]
    assert best == max(metric for _, metric, _ in judged) > before + 0.2
    assert [new for _, _, new in judged] == [
        metric > max((m for _, m, _ in judged[:i]), default=0)
        for i, (_, metric, _) in enumerate(judged)]
    assert len(losses) == 60
    assert losses[-1] < losses[0]
    student = load_checkpoint(out, info)
    assert Pretraining(student, *parts, settings, tmp_path / 'other').judge() == pytest.approx(
        best, abs=0.01)  # rounded to fp16
    assert all(not torch.equal(tensor, start[name])
               for name, tensor in student.weights(FULL).items())
    assert sorted(path.name for path in tmp_path.glob('first*')) == [out.name]


def stop_at(last: int) -> object:
    def on_step(step: int, loss: float) -> None:
        if step == last:
            raise KeyboardInterrupt
    return on_step


def test_an_interrupted_training_goes_on_to_the_same_student(
    parts: Sequence[Sequence[Footage]], info: StudentInfo, tmp_path: Path,
) -> None:
    def training(name: str) -> Pretraining:
        return Pretraining(Student.random(info, 0), *parts, SETTINGS, tmp_path / name,
                           torch.float32)

    training('whole').run(lambda *_: None, lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        training('parts').run(stop_at(3), lambda *_: None)
    assert (tmp_path / 'parts').is_file()
    steps: list[int] = []
    training('parts').run(lambda step, _: steps.append(step), lambda *_: None)
    assert steps == [2, 3, 4, 5]
    assert (tmp_path / 'parts').read_bytes() == (tmp_path / 'whole').read_bytes()


def test_on_a_cpu_no_convolution_computes_in_channels_last(
    parts: Sequence[Sequence[Footage]], info: StudentInfo, tmp_path: Path,
) -> None:
    """Its gradients corrupt the heap where there is AVX-512."""
    student, plain = Student.random(info, 0), []

    def note(_: object, __: object, output: torch.Tensor) -> None:
        if torch.is_grad_enabled():
            plain.append(output.is_contiguous())

    for module in student.network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(note)
    Pretraining(student, *parts, replace(SETTINGS, steps=1), tmp_path / 'a').run(
        lambda *_: None, lambda *_: None)
    assert len(plain) > 30
    assert all(plain)


def test_a_full_disk_ends_it_and_leaves_what_was_there(
    parts: Sequence[Sequence[Footage]], info: StudentInfo, tmp_path: Path,
) -> None:
    out = tmp_path / 'first.safetensors'

    def training() -> Pretraining:
        return Pretraining(Student.random(info, 0), *parts, SETTINGS, out)
    with pytest.raises(KeyboardInterrupt):
        training().run(stop_at(3), lambda *_: None)
    before = {path: path.read_bytes() for path in tmp_path.glob('first*')}
    with full_disk(10_000), pytest.raises(CannotWrite, match=r'first.* cannot be written'):
        training().run(lambda *_: None, lambda *_: None)
    assert {path: path.read_bytes() for path in tmp_path.glob('first*')} == before
    training().run(lambda *_: None, lambda *_: None)
    assert [path.name for path in tmp_path.glob('first*')] == [out.name]


def test_another_trainings_state_is_not_taken(
    parts: Sequence[Sequence[Footage]], info: StudentInfo, tmp_path: Path,
) -> None:
    out = tmp_path / 'first.safetensors'
    with pytest.raises(KeyboardInterrupt):
        Pretraining(Student.random(info, 0), *parts, SETTINGS, out).run(
            stop_at(3), lambda *_: None)
    for student, settings in ((Student.random(info, 1), SETTINGS),
                              (Student.random(info, 0), replace(SETTINGS, batch=3))):
        with pytest.raises(PretrainError, match='of another training'):
            Pretraining(student, *parts, settings, out)
    (tmp_path / 'first.safetensors.training').write_bytes(b'nothing')
    with pytest.raises(PretrainError, match='cannot be read'):
        Pretraining(Student.random(info, 0), *parts, SETTINGS, out)


def test_a_loss_that_is_not_finite_ends_it(
    parts: Sequence[Sequence[Footage]], info: StudentInfo, tmp_path: Path,
) -> None:
    student = Student.random(info, 0)
    student.weights(FULL)['out_conv3.bias'].fill_(float('nan'))
    with pytest.raises(PretrainError, match='step 0: expected a finite loss, got nan'):
        Pretraining(student, *parts, SETTINGS, tmp_path / 'a').run(
            lambda *_: None, lambda *_: None)


def test_the_step_size_rises_and_falls() -> None:
    settings = PretrainSettings(steps=100, learning_rate=0.1)
    rates = [settings.rate(step) for step in range(100)]
    assert rates[4] == pytest.approx(0.1)
    assert rates[:5] == sorted(rates[:5])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize('name', ['steps', 'batch', 'judge_every', 'judged_frames'])
def test_counts_are_one_or_more(name: str) -> None:
    with pytest.raises(ValueError, match=f'{name}: expected 1 or more, got 0'):
        replace(SETTINGS, **{name: 0})


def test_a_learning_rate_is_above_zero() -> None:
    with pytest.raises(ValueError, match='learning_rate: expected more than 0, got 0'):
        replace(SETTINGS, learning_rate=0)
