# SPDX-License-Identifier: Apache-2.0
"""The command, its files, and what happens when it is killed."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import cv2
from full_disk import full_disk
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros import cli
from shadowtutor_ros.bag.writer import write_bag
from shadowtutor_ros.classes import ClassSet, UNLABELLED
from shadowtutor_ros.evaluation import evaluate as module
from shadowtutor_ros.evaluation.evaluate import examples_of
from shadowtutor_ros.evaluation.record import read_records
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks

SETTINGS = 'wild,partial-1,partial-1-7fps,naive,naive-jpeg,ours'


def command(scene: Scene, out: Path, *more: str, settings: str = SETTINGS) -> list[str]:
    return ['evaluate', str(scene.video), '--labels', str(scene.label_maps), '--frames', '20',
            '--threads', '1', '--out', str(out), '--settings', settings, '--checkpoint', 'random',
            *more]


def videos_of(out: Path) -> Any:
    return json.loads((out / 'summary.json').read_text())['videos']


ACCURACY = ('miou', 'class_iou', 'key_frame_ratio', 'steps_per_key_frame', 'bytes_up',
            'bytes_down', 'frames')


def accuracy(out: Path) -> Any:
    return {name: {key: figures[key] for key in ACCURACY}
            for name, figures in videos_of(out)['video'].items()}


@pytest.fixture(scope='module')
def done(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('evaluation')
    assert cli.main(command(scene, out)) == 0
    return out


def test_the_form_that_others_script_against(done: Path) -> None:
    videos = videos_of(done)
    assert list(videos) == ['video']
    assert list(videos['video']) == SETTINGS.split(',')
    for name, figures in videos['video'].items():
        assert 0 <= figures['miou'] <= 100
        assert 0 <= figures['key_frame_ratio'] <= 100
        assert figures['frames'] == (6 if name == 'partial-1-7fps' else 20)
    assert videos['video']['naive']['miou'] == 100.0
    assert videos['video']['wild']['bytes_up'] == 0


def test_a_row_for_every_frame(done: Path) -> None:
    records = read_records(done / 'runs' / 'video' / 'partial-1' / 'frames.csv')
    assert [record.frame for record in records] == list(range(20))
    assert sum(record.bytes_up for record in records) == (
        videos_of(done)['video']['partial-1']['bytes_up'])


def test_pictures_and_one_page(done: Path) -> None:
    names = {'frames_video.png', 'miou_video.png', 'classes_video.png', 'traffic.png'}
    assert {path.name for path in done.glob('*.png')} == names
    for name in names:
        assert cv2.imread(str(done / name)).std() > 5
    page = (done / 'report.html').read_text()
    assert page.count('src="data:image/png;base64,') == len(names)
    assert not re.search(r'(src|href)="(?!data:)', page)
    for number in range(2, 8):
        assert f'<h2>Table {number}:' in page
    per_class = page[page.index('<h2>IoU per class'):]
    assert [name in per_class for name in ('person', 'auto', 'background', 'giraffe')] == [
        True, True, True, False]  # which the untaught student sees, and nobody else


def test_pixels_of_no_class_are_not_judged(scene: Scene, tmp_path: Path) -> None:
    """Borders of objects are 255 in the labels, as in Pascal VOC: teacher, tables and pictures."""
    labels = tmp_path / 'labels'
    labels.mkdir()
    background = scene.labels[0].max()
    for index, label in enumerate(scene.labels):
        grown = cv2.erode(label, np.ones((3, 3), np.uint8))  # background is the largest id
        voc = np.where((label == background) & (grown != background), UNLABELLED, label)
        voc[:3] = UNLABELLED
        cv2.imwrite(str(labels / f'{index:04}.png'), voc)
    argv = command(scene, tmp_path / 'out', settings='wild,naive,partial-1')
    argv[argv.index('--labels') + 1] = str(labels)
    assert cli.main(argv) == 0
    figures = videos_of(tmp_path / 'out')['video']
    assert figures['naive']['miou'] == 100
    assert figures['wild']['miou'] < figures['partial-1']['miou'] < 100
    run = tmp_path / 'out/runs/video/partial-1'
    rows = read_records(run / 'frames.csv')
    for path in (masks := list(run.glob('mask_*.png'))):
        frame = int(path.stem[-6:])
        mask, label = (cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
                       for file in (path, labels / f'{frame:04}.png'))
        known = label != UNLABELLED
        assert rows[frame].miou == pytest.approx(
            mean_iou_of_masks(mask[known], label[known], background + 1))
    assert masks


def test_the_report_begins_in_plain_words(done: Path) -> None:
    assert accuracy(done).keys() >= {'wild', 'ours', 'partial-1'}
    text = (done / 'report.md').read_text()
    miou = videos_of(done)['video']['ours']['miou']
    for sentence in ('on 1 video, each run once.', '100 % is that teacher, not the truth.',
                     'random weights (seed 0).', f'ours: mIoU {miou:.1f} %, ',
                     'wild is the first student alone'):
        assert sentence in text
        assert sentence in (done / 'report.html').read_text()


def test_the_same_again_to_the_last_digit(scene: Scene, done: Path, tmp_path: Path) -> None:
    assert cli.main(command(scene, tmp_path)) == 0
    assert accuracy(tmp_path) == accuracy(done)


def test_a_killed_run_ends_with_the_same_report(
    scene: Scene, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(done / 'runs', tmp_path / 'runs')
    kept = tmp_path / 'runs' / 'video' / 'partial-1'
    before = (kept / 'frames.csv').read_bytes()
    shutil.rmtree(tmp_path / 'runs' / 'video' / 'ours')
    half = tmp_path / 'runs' / 'video' / 'ours.killed.part'
    half.mkdir()
    (half / 'frames.csv').write_text('half')
    started = []
    run = module.run_in_process
    monkeypatch.setattr(module, 'run_in_process', lambda clip, setting, *rest: (
        started.append(setting.name), run(clip, setting, *rest))[1])
    assert cli.main(command(scene, tmp_path)) == 0
    assert started == ['ours']
    assert (kept / 'frames.csv').read_bytes() == before
    assert not half.exists()
    assert accuracy(tmp_path) == accuracy(done)


def test_a_kill_in_the_middle(scene: Scene, done: Path, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, '-m', 'shadowtutor_ros.cli',
                           *command(scene, tmp_path)]) as process:
        first = tmp_path / 'runs' / 'video' / 'wild' / 'run.json'
        while not first.is_file() and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / 'summary.json').exists()
    before = first.stat().st_mtime_ns
    assert cli.main(command(scene, tmp_path)) == 0
    assert first.stat().st_mtime_ns == before
    assert accuracy(tmp_path) == accuracy(done)


def test_a_rosbag_is_a_video_too(
    scene: Scene, done: Path, classes: ClassSet, tmp_path: Path,
) -> None:
    write_bag(tmp_path / 'video', scene.frames, scene.fps)
    arguments = command(scene, tmp_path / 'out', settings='wild,partial-1')
    arguments[1] = str(tmp_path / 'video')
    assert cli.main(arguments) == 0
    for name, figures in accuracy(tmp_path / 'out').items():
        assert figures == accuracy(done)[name]


@pytest.mark.parametrize('more', [('--seed', '1'), ('--frames', '12')])
def test_what_was_run_with_other_arguments_is_run_again(
    more: tuple[str, ...], scene: Scene, tmp_path: Path, done: Path,
) -> None:
    shutil.copytree(done / 'runs', tmp_path / 'runs')
    assert cli.main(command(scene, tmp_path, *more, settings='wild')) == 0
    wild = videos_of(tmp_path)['video']['wild']
    assert wild['miou'] != videos_of(done)['video']['wild']['miou']


@pytest.mark.parametrize(('name', 'damage'), [
    ('run.json', lambda data: b'{"half": '), ('run.json', lambda data: b'[1]'),
    ('run.json', lambda data: b''), ('run.json', lambda data: b'\xff'),
    ('frames.csv', lambda data: b''), ('frames.csv', lambda data: data[:300]),
    ('frames.csv', lambda data: data[:data.rindex(b'\n', 0, -1) + 1]),
    ('mask_000010.png', lambda data: b''), ('mask_000010.png', lambda data: data[:60]),
    ('mask_000010.png', None)])
def test_a_damaged_run_is_run_again_with_a_word(
    name: str, damage: Callable[[bytes], bytes] | None, scene: Scene, tmp_path: Path, done: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(done / 'runs' / 'video' / 'wild', tmp_path / 'runs' / 'video' / 'wild')
    path = tmp_path / 'runs' / 'video' / 'wild' / name
    whole = path.read_bytes()
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(whole))
    for _ in range(2):
        assert cli.main(command(scene, tmp_path, settings='wild')) == 0
    record, = caplog.records
    assert record.getMessage().startswith(f'{path.parent} is damaged and made again: ')
    assert accuracy(tmp_path)['wild'] == accuracy(done)['wild']
    if name.endswith('.png'):
        assert path.read_bytes() == whole


@pytest.mark.parametrize('out', ['{file}', '{file}/out', '/proc/out'])
def test_a_folder_that_cannot_be_made_is_named(
    out: str, scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'file').write_text('precious')
    out = out.format(file=tmp_path / 'file')
    assert cli.main(command(scene, Path(out), settings='wild')) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f'error: {out}: cannot be written')
    assert (tmp_path / 'file').read_text() == 'precious'


@pytest.mark.parametrize(('room', 'missing'), [
    (1500, 'runs/video/wild'), (1500, 'summary.json'), (6000, 'frames_video.png')])
def test_a_full_disk_is_named_and_leaves_nothing_half_made(
    room: int, missing: str, scene: Scene, tmp_path: Path, done: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if missing == 'summary.json':  # smaller than what comes before it
        shutil.copytree(done / 'runs', tmp_path / 'runs')
    with full_disk(room):
        assert cli.main(command(scene, tmp_path, settings='wild')) == 1
    path = tmp_path / missing
    assert f'error: {path}: cannot be written: File too large' in capsys.readouterr().err
    assert not path.exists()
    assert not list(tmp_path.rglob('*.part'))
    assert cli.main(command(scene, tmp_path, settings='wild')) == 0
    assert accuracy(tmp_path)['wild'] == accuracy(done)['wild']


def test_several_videos_take_their_labels_by_name(scene: Scene, tmp_path: Path) -> None:
    for name in ('a', 'b'):
        shutil.copytree(scene.video, tmp_path / name)
        shutil.copytree(scene.label_maps, tmp_path / 'labels' / name)
    assert cli.main([
        'evaluate', str(tmp_path / 'a'), str(tmp_path / 'b'), '--labels',
        str(tmp_path / 'labels'), '--frames', '3', '--settings', 'wild,naive', '--out',
        str(tmp_path / 'out'), '--threads', '1']) == 0
    videos = videos_of(tmp_path / 'out')
    assert set(videos) == {'a', 'b'}
    assert 'average' in (tmp_path / 'out' / 'report.md').read_text()


def test_examples_are_spread() -> None:
    assert examples_of(300) == [50, 150, 250]
    assert examples_of(1) == [0]


@pytest.mark.parametrize(('arguments', 'message'), [
    (['/nowhere.mp4'], "'/nowhere.mp4': no such video"),
    (['{video}', '--settings', 'x'], "setting 'x': expected a file or one of paper"),
    (['{video}', '--labels', '/nowhere'], '/nowhere: expected a folder, .npz or .h5'),
    (['{video}', '--classes', 'x'], 'config/classes/x.yaml'),
    (['{video}', '{video}', '--labels', '{labels}'], 'expected videos of different names'),
    (['{video}', '--teacher', 'yolo'], 'teacher yolo: teacher_weights must name'),
    (['{video}', '--teacher', 'x'], "teacher: expected one of .* got 'x'"),
    (['{video}', '--labels', '{labels}', '--checkpoint', '/x.pth'], '/x.pth: no such student'),
])
def test_what_is_wrong_is_named(
    arguments: list[str], message: str, scene: Scene, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {'video': scene.video, 'labels': scene.label_maps}
    filled = [argument.format(**places) for argument in arguments]
    assert cli.main(['evaluate', *filled, '--out', str(tmp_path)]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_no_frames_is_refused(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(['evaluate', str(scene.video), '--frames', '0'])
    assert "expected a whole number of 1 or more, got '0'" in capsys.readouterr().err
