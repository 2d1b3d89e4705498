# SPDX-License-Identifier: Apache-2.0
"""All that reads files of others, and good ones of each kind."""

from collections.abc import Callable, Iterator
from contextlib import suppress
import hashlib
import io
from itertools import islice
import json
from pathlib import Path
import pickle
from random import Random
import shutil
from typing import Any
import zipfile

from bag.recording import image, record
import cv2
from fuzz.mutation import mutate, mutate_json, mutate_member, mutate_text, mutate_yaml
from fuzz.watch import Target
import h5py
import numpy as np
from rosbags.rosbag2 import StoragePlugin
from scene import Scene
from small_net import SmallNet
from tiny_yolo import tiny_network
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.record import FrameRecord
from shadowtutor_ros.evaluation.run import Run
from shadowtutor_ros.evaluation.setting import load_setting
from shadowtutor_ros.evaluation.store import RunStore
from shadowtutor_ros.model.checkpoint import load_checkpoint, save_checkpoint
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.pretrain.coco import read_coco
from shadowtutor_ros.runtime.robot_state import RobotState
from shadowtutor_ros.runtime.stream import FirstStudent, Stream
from shadowtutor_ros.runtime.stream_store import StreamStore
from shadowtutor_ros.share import config_folder
from shadowtutor_ros.sources import open_source
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import TeacherError
from shadowtutor_ros.teacher.weights import load_weights
from shadowtutor_ros.teacher.yolo import load_network
from shadowtutor_ros.wire.encoder import WeightSettings

SIZE = (24, 32)
SESSION, VERSION = 77, 4
INFO = StudentInfo(tuple('abc'), architecture='fuzzed')


class Files:
    """Good files of all kinds, made once, and the place of the damaged ones."""

    def __init__(self, folder: Path, scene: Scene, classes: ClassSet) -> None:
        self._folder = folder
        self._good = folder / 'good'
        self._good.mkdir()
        self._scene, self._classes = scene, classes
        self._frames = [frame[:SIZE[0], :SIZE[1]].copy() for frame in scene.frames[:4]]
        self._maps = [label[:SIZE[0], :SIZE[1]].copy() for label in scene.labels[:4]]

    def _target(
        self, name: str, file: str, read: Callable[[Path], object], seeds: list[bytes],
        damage: Callable[[Random, bytes], bytes] = mutate, **more: int,
    ) -> Target:
        """Return a target whose inputs are the file ``file`` in an own folder."""
        path = self._folder / name / file
        path.parent.mkdir()

        def write_and_read(data: bytes) -> None:
            path.write_bytes(data)
            read(path)
        return Target(name, write_and_read, seeds, damage, **more)

    def weights(self) -> Iterator[Target]:
        """Checkpoints of students and teachers."""
        student = Student.random(INFO, 0)
        path = self._good / 'student.safetensors'
        save_checkpoint(student, path)
        yield self._target('student checkpoint', 'a.safetensors', load_checkpoint,
                           [path.read_bytes()], share=2)
        state = dict(student.weights(FULL))
        new, old = (_saved(state, new) for new in (True, False))
        for name, file, read in (
                ('authors checkpoint', 'a.pth', lambda path: load_checkpoint(path, INFO)),
                ('teacher weights', 'a.pth', lambda path: load_weights(SmallNet(3), path))):
            yield self._target(name, file, read, [new], mutate_member)
            yield self._target(f'old {name}', file, read, [old])
        arrays = pickle.dumps({'model': {k: v.numpy() for k, v in state.items()}}, 2)
        yield self._target('teacher arrays', 'a.pkl',
                           lambda path: load_weights(SmallNet(3), path), [arrays])
        yolo = _renamed(_saved({'model': tiny_network().half()}, True))
        yield self._target('yolo', 'a.pt', load_network, [yolo], mutate_member)

    def texts(self) -> Iterator[Target]:
        """Class sets, settings, annotations."""
        classes, settings = (
            [path.read_bytes() for path in sorted((config_folder() / name).glob('*.yaml'))]
            for name in ('classes', 'evaluation'))
        yield self._target('classes', 'a.yaml', ClassSet.load, classes[-1:], mutate_yaml)
        yield self._target('setting', 'a.yaml', lambda path: load_setting(str(path)), settings,
                           mutate_yaml, share=2)
        cv2.imwrite(str(self._good / 'a.png'), self._frames[0])
        polygon = [[1, 1, 9, 1, 9, 9, 1, 9]]
        runs = {'size': list(SIZE), 'counts': [100, 50, SIZE[0] * SIZE[1] - 150]}
        packed = {'size': list(SIZE), 'counts': 'Ph0'}  # 768 zeros
        coco = {'images': [{'id': 7, 'file_name': 'a.png', 'height': SIZE[0], 'width': SIZE[1]}],
                'categories': [{'id': 1, 'name': 'person'}, {'id': 3, 'name': 'car'}],
                'annotations': [
                    {'id': number, 'image_id': 7, 'category_id': 1, 'segmentation': segmentation,
                     'area': 9, 'iscrowd': 0}
                    for number, segmentation in enumerate((polygon, runs, packed))]}

        def read(path: Path) -> None:
            for sample in read_coco(self._good, path, self._classes).samples:
                sample.read()
        yield self._target('annotations', 'a.json', read, [json.dumps(coco).encode()],
                           mutate_json, share=2)

    def labels(self) -> Iterator[Target]:
        """Label maps in every form."""
        png = cv2.imencode('.png', self._maps[0])[1].tobytes()
        maps = np.stack(self._maps)
        npz = io.BytesIO()
        np.savez_compressed(npz, labels=maps)
        with h5py.File(self._good / 'a.h5', 'w') as file:
            file.create_dataset('labels', data=maps, compression='gzip', chunks=(1, *SIZE))
        objects = json.dumps({'frame': 0, 'seconds': 0.5, 'boxes': [[1, 2, 3, 4.5]],
                              'scores': [0.5]}).encode()
        detections = io.BytesIO()
        np.save(detections, np.array({0: (
            np.array([[0.1, 0.2, 0.5, 0.6]]), np.array([1]), np.array([0.9], np.float32),
            np.ones((1, 28, 28), np.float32))}, dtype=object), allow_pickle=True)
        for name, file, seeds, damage in (
                ('label map', '000000.png', [png], mutate),
                ('label archive', 'a.npz', [npz.getvalue()], mutate_member),
                ('label hdf5', 'a.h5', [(self._good / 'a.h5').read_bytes()], mutate),
                ('detections', 'a.npy', [detections.getvalue()], mutate)):
            yield self._target(name, file, self._label, seeds, damage, megabytes=200)
        yield self._target('objects', 'objects.jsonl', self._label, [objects], mutate_json)
        (self._folder / 'objects' / '000000.png').write_bytes(png)

    def _label(self, path: Path) -> None:
        """Read the label maps of a file, or of a folder of which it is a file."""
        weights = path.parent if path.suffix in ('.png', '.jsonl') else path
        teacher = create_teacher('labels', self._classes, weights=str(weights), fps=10.0)
        for index in range(2):
            with suppress(TeacherError):
                labelling = teacher.label(self._frames[0], index / 10)
                _ = labelling.class_ids, labelling.boxes, labelling.scores

    def videos(self) -> Iterator[Target]:
        """Videos, folders of images, bags."""
        for name, code in (('mp4', 'mp4v'), ('avi', 'MJPG')):
            path = self._good / f'a.{name}'
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, SIZE[::-1])
            for frame in self._frames:
                writer.write(frame)
            writer.release()
            yield self._target(f'{name} video', f'a.{name}', _play, [path.read_bytes()],
                               megabytes=300)
        for suffix in ('png', 'jpg', 'webp', 'bmp', 'tiff'):
            data = cv2.imencode(f'.{suffix}', self._frames[0])[1].tobytes()
            yield self._target(f'{suffix} image', f'a.{suffix}', lambda path: _play(path.parent),
                               [data], megabytes=300)
        shots = [('/camera', image(frame, 'bgr8', 10**8 * index))
                 for index, frame in enumerate(self._frames)]
        for storage, suffix in ((StoragePlugin.MCAP, 'mcap'), (StoragePlugin.SQLITE3, 'db3')):
            bag = record(self._good / suffix, shots, storage)
            data = (bag / f'{suffix}.{suffix}').read_bytes()
            yield self._target(f'{suffix} bag', f'a.{suffix}', _play, [data], megabytes=200)
        target = self._target('bag metadata', 'metadata.yaml', lambda path: _play(path.parent),
                              [(self._good / 'mcap' / 'metadata.yaml').read_bytes()], mutate_yaml)
        shutil.copy(self._good / 'mcap' / 'mcap.mcap', self._folder / 'bag metadata')
        yield target

    def states(self) -> Iterator[Target]:
        """What tutor, robot and evaluation find of an earlier process; sums are right."""
        first = FirstStudent(Student.random(INFO, 0), WeightSettings())
        folder = self._folder / 'tutor state'
        store = StreamStore(first, WeightSettings(), folder)
        store.keep(Stream('robot', first, WeightSettings()))
        store.close()
        state, = folder.glob('*.state')

        def open_stream(path: Path) -> None:
            shutil.move(path, state)
            store = StreamStore(first, WeightSettings(), folder)
            store.open('robot')
            store.close()
        yield self._target('stream state', 'a', open_stream, [state.read_bytes()], _mutate_state)

        robot = RobotState(self._folder / 'robot state', 'robot')
        robot.keep(Student.random(INFO, 0), SESSION, VERSION, at_once=True)
        robot.close()
        kept, = (self._folder / 'robot state').rglob('*.state')

        def load_student(path: Path) -> None:
            shutil.move(path, kept)
            robot = RobotState(self._folder / 'robot state', 'robot')
            robot.load()
            robot.close()
        yield self._target('student state', 'a', load_student, [kept.read_bytes()], _mutate_state)

        runs = RunStore(self._folder / 'runs', ('a', 'b'))
        runs.save('video', 'wild', {'version': '1'}, Run(
            [FrameRecord(0, 0.5, [0.5, 0.25])], {0: self._maps[0]}))
        for name, damage in (('run.json', mutate_json), ('frames.csv', mutate_text)):
            data = (runs.place('video', 'wild') / name).read_bytes()

            def load_run(path: Path, name: str = name, data: bytes = data) -> None:
                shutil.copy(path, runs.place('video', 'wild') / name)
                runs.load('video', 'wild', {'version': '1'})
                (runs.place('video', 'wild') / name).write_bytes(data)
            yield self._target(f'kept {name}', 'a', load_run, [data], damage)


def _play(path: Path) -> None:
    source = open_source(str(path))
    for frame in islice(source, 8):
        assert frame.dtype == np.uint8


def _saved(content: Any, new: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def _renamed(archive: bytes) -> bytes:
    """Return a file whose networks are called as those that wrote the first ones call them."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(file, 'w') as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(
                b'shadowtutor_ros.teacher.yolo.modules\nSeg', b'models.yolo\nSeg'))
    return file.getvalue()


def _mutate_state(random: Random, data: bytes) -> bytes:
    """Damage what lies behind the checksum, and have the sum fit."""
    if random.random() < 0.1:
        return mutate(random, data)
    head = data.index(b'\n') + 1 + 32
    body = mutate(random, data[head:])
    return data[:head - 32] + hashlib.blake2b(body, digest_size=32).digest() + body
