# SPDX-License-Identifier: Apache-2.0
"""A student ready to use: network, task, classes and normalisation, from frame to mask."""

from __future__ import annotations

from collections.abc import Mapping
import copy
from dataclasses import dataclass, field
import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.frame import BadFrame, check_frame, Frame
from shadowtutor_ros.model.engine import AnswerGraph
from shadowtutor_ros.model.groups import FULL, GROUPS, parameters_of, Shapes, shapes_of
from shadowtutor_ros.model.protocol import Network
from shadowtutor_ros.model.table import create_network, SHADOWTUTOR
from shadowtutor_ros.tasks.table import SEGMENTATION, task_named
from shadowtutor_ros.upload import upload

Mask = NDArray[np.uint8]

MEAN = (103.53, 116.28, 123.675)
STD = (1.0, 1.0, 1.0)
MAX_CLASSES = 256  # a mask holds uint8 class ids
MAX_CONFIGURATION = 4096  # bytes of JSON: what GetStudent.srv carries


@dataclass(frozen=True)
class StudentInfo:
    """
    What belongs to a student beside its weights.

    ``class_names`` has background last, ``class_colours`` are (r, g, b) in 0-255, ``mean`` and
    ``std`` are per channel B, G, R on the 0-255 scale. ``architecture`` names the network for the
    ``task``, ``configuration`` is what distinguishes it from others of that name, as JSON has it.
    """

    class_names: tuple[str, ...]
    class_colours: tuple[tuple[int, int, int], ...] = field(default=())
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    task: str = SEGMENTATION
    architecture: str = SHADOWTUTOR
    configuration: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.class_names) <= MAX_CLASSES:
            raise ValueError(
                f'expected 1 to {MAX_CLASSES} classes, got {len(self.class_names)}')
        for name in ('mean', 'std'):
            if len(getattr(self, name)) != 3:
                raise ValueError(f'{name}: expected 3 numbers, got {getattr(self, name)}')
        if (size := len(self.configuration_json.encode())) > MAX_CONFIGURATION:
            raise ValueError(f'configuration: expected at most {MAX_CONFIGURATION} bytes of JSON, '
                             f'got {size}')

    @property
    def configuration_json(self) -> str:
        """``configuration`` as a JSON object, always the same text for the same values."""
        return json.dumps(self.configuration, sort_keys=True, separators=(',', ':'))

    def network(self) -> Network:
        """
        Return a network as the student's, with random weights.

        Raise UnknownArchitecture or BadConfiguration.
        """
        return create_network(self.architecture, self.configuration, len(self.class_names))


class Student:
    """
    The network with its classes and normalisation, on one device.

    One thread at a time: ``load`` and ``segment`` must not meet. Two students of one
    ``layout_hash`` can run each other's weights and mean the same by their answers. Raise
    UnknownTask.
    """

    def __init__(
        self, info: StudentInfo, network: Network, device: str | torch.device = 'cpu',
        precision: torch.dtype = torch.float32,
    ) -> None:
        if network.classes != len(info.class_names):
            raise ValueError(f'network has {network.classes} classes, '
                             f'names are given for {len(info.class_names)}')
        self.info = info
        self.task = task_named(info.task)
        self.device = torch.device(device)
        self.network = network
        network.to(self.device)
        network.to(memory_format=torch.channels_last)
        self._parameters = {group: parameters_of(self.network, group) for group in GROUPS}
        self.layout_hash = _layout_hash(info, shapes_of(self.weights(FULL)))
        self._mean = torch.tensor(info.mean, device=self.device)
        self._std = torch.tensor(info.std, device=self.device)
        self.precision = precision

    @classmethod
    def random(
        cls, info: StudentInfo, seed: int, device: str | torch.device = 'cpu',
    ) -> Student:
        """Return a Kaiming-initialised student; the same ``seed`` gives the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = info.network()
        return cls(info, network, device)

    def clone(self) -> Student:
        """Return an independent copy on the same device."""
        return Student(self.info, copy.deepcopy(self.network), self.device, self.precision)

    @property
    def precision(self) -> torch.dtype:
        """What ``segment`` computes in; weights are fp32 always."""
        return self._precision

    @precision.setter
    def precision(self, precision: torch.dtype) -> None:
        self._precision = precision
        self._graph = AnswerGraph(self.device) if self.device.type == 'cuda' else None

    def weights(self, group: str) -> dict[str, Tensor]:
        """Return the live (detached, not copied) tensors of ``group`` by name."""
        return {name: p.detach() for name, p in self._parameters[group].items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """
        Copy ``tensors`` into the parameters of the same names, all or none.

        Raise KeyError for an unknown name and ValueError for another shape, before any change.
        """
        own = self.weights(FULL)
        for name, tensor in tensors.items():
            if name not in own:
                raise KeyError(f'the network has no parameter {name!r}')
            if own[name].shape != tensor.shape:
                raise ValueError(f'{name}: expected shape {tuple(own[name].shape)}, '
                                 f'got {tuple(tensor.shape)}')
        for name, tensor in tensors.items():
            own[name].copy_(tensor)

    def prepare(self, frame: Frame) -> Tensor:
        """
        Return the normalised 1x3xHxW tensor of a BGR uint8 HxWx3 frame.

        Raise BadFrame when it is anything else, or of a size that the network does not take.
        """
        return self.normalise(self.pixels(frame))

    def check(self, frame: Frame) -> None:
        """Raise BadFrame for what is no BGR image, or has a size that the network cannot take."""
        check_frame(frame)
        self.check_size(frame.shape[0], frame.shape[1])

    def check_size(self, height: int, width: int) -> None:
        """Raise BadFrame for a size that the network cannot take."""
        limits = self.network.limits
        if not limits.allow(height, width):
            raise BadFrame(
                f'{self.info.architecture}: expected a height and width of {limits.least} or more '
                f'and multiples of {limits.multiple}, got {height} x {width}')

    @torch.inference_mode()
    def segment(self, frame: Frame) -> Mask:
        """Return the HxW uint8 class ids of a BGR uint8 HxWx3 frame."""
        if self._graph is not None:
            self.check(frame)
            return self._graph(self._answer_to, frame)
        mask: Mask = self._answer_to(self.pixels(frame)).cpu().contiguous().numpy()
        return mask

    @torch.inference_mode()
    def front(self, frame: Frame) -> Any:
        """Return the features that ``back`` makes the mask of, for a BGR uint8 HxWx3 frame."""
        x = self.prepare(frame)
        with self._computing():
            return self.network.front(x)

    @torch.inference_mode()
    def back(self, features: Any, size: tuple[int, int]) -> Mask:
        """Return the mask of a frame of ``size`` (H, W) whose ``features`` are on the device."""
        with self._computing():
            output = self.network.back(features)
        mask: Mask = self.task.answer(output, size).cpu().contiguous().numpy()
        return mask

    def pixels(self, frame: Frame) -> Tensor:
        """Return a BGR uint8 HxWx3 frame on the student's device; raise BadFrame."""
        self.check(frame)
        return upload(frame, self.device)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return uint8 HxWx3 as normalised float32 1x3xHxW."""
        height, width, _ = pixels.shape
        # Whole rows at a time: with three numbers at a time it takes 40 times as long.
        rows = pixels.view(height, -1).float().sub_(self._mean.repeat(width))
        if self.info.std != STD:
            rows.div_(self._std.repeat(width))
        return rows.view(pixels.shape).permute(2, 0, 1)[None]

    def _answer_to(self, pixels: Tensor) -> Tensor:
        x = self.normalise(pixels)
        with self._computing():
            output = self.network.back(self.network.front(x))
        return self.task.answer(output, (pixels.shape[0], pixels.shape[1]))

    def _computing(self) -> torch.autocast:
        reduced = self._precision != torch.float32
        return torch.autocast(self.device.type, self._precision, enabled=reduced)


def _layout_hash(info: StudentInfo, shapes: Shapes) -> int:
    """Return 64 bits that identify all of a student but the values of its weights, and colours."""
    text = json.dumps([
        info.task, info.architecture, info.configuration_json, info.class_names,
        [float(value) for value in info.mean + info.std], list(shapes.items())])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], 'little')
