# SPDX-License-Identifier: Apache-2.0
"""What a student in training is: its weights, what Adam remembers of them, and its past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import math

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.model.groups import FULL, parameters_of, PARTIAL, Shapes
from shadowtutor_ros.model.protocol import Network
from shadowtutor_ros.snapshot import array_of, number_from, Snapshot, tensor_from

_MEAN_DECAY, _SQUARE_DECAY, _LEAST = 0.9, 0.999, 1e-8  # Adam's beta1, beta2 and epsilon


class Part:
    """
    Some parameters of a network as one float32 vector ``weights``, with Adam's two moments.

    ``tensors`` are the vector's parts by name, in the parameters' shapes; with ``channels_last``
    kernels lie as a GPU wants them. ``steps`` counts Adam's steps, a scalar.
    """

    def __init__(self, shapes: Shapes, device: torch.device, channels_last: bool) -> None:
        size = sum(math.prod(shape) for shape in shapes.values())
        self.weights, self.mean, self.square = (
            torch.zeros(size, device=device) for _ in range(3))
        self.steps = torch.zeros((), dtype=torch.float64, device=device)
        self.tensors = _views(self.weights, shapes, channels_last)
        self._channels_last = channels_last

    def copy_(self, other: Part) -> None:
        """Become equal to a part of the same shapes."""
        for own, theirs in zip(self._all, other._all):
            own.copy_(theirs, non_blocking=True)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy all or some tensors by name; all of them at once."""
        if tensors.keys() >= self.tensors.keys():
            if self.tensors:
                self.weights.copy_(torch.cat(
                    [self._as_stored(tensors[name]) for name in self.tensors]))
            return
        for name in self.tensors.keys() & tensors.keys():
            self.tensors[name].copy_(tensors[name])

    def on_host(self) -> dict[str, Tensor]:
        """Return a copy of the tensors by name in the host's memory."""
        return self._on_host(self.weights)

    def snapshot(self) -> Snapshot:
        """Return copies of ``weights/<name>``, ``mean/<name>`` and ``square/<name>``."""
        return {f'{kind}/{name}': array_of(tensor) for kind, vector in self._vectors.items()
                for name, tensor in self._on_host(vector).items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Take what a snapshot of the same shapes has, from any device; raise BadSnapshot."""
        for kind, vector in self._vectors.items():
            stored = [self._as_stored(tensor_from(snapshot, f'{kind}/{name}', tuple(tensor.shape)))
                      for name, tensor in self.tensors.items()]
            if stored:
                vector.copy_(torch.cat(stored))

    def forget(self) -> None:
        """Begin Adam anew."""
        for moment in (self.mean, self.square, self.steps):
            moment.zero_()

    def adam_(self, gradients: Mapping[str, Tensor], rate: Tensor, live: Tensor) -> None:
        """
        Take one step of Adam against the ``gradients`` by name; none where ``live`` is 0.

        ``rate`` and ``live``, 0 or 1, are float64 scalars on the device: no host is waited for.
        """
        if not self.weights.numel():
            return
        gradient = torch.cat([self._as_stored(gradients[name]) for name in self.tensors])
        gradient = torch.where(live > 0, gradient, 0.0)  # it may be no number
        self.steps += live
        # In the order of torch.optim.Adam, so that it rounds alike.
        self.mean.lerp_(gradient, ((1 - _MEAN_DECAY) * live).to(gradient.dtype))
        self.square.mul_(torch.where(live > 0, _SQUARE_DECAY, 1.0)).addcmul_(
            gradient * ((1 - _SQUARE_DECAY) * live), gradient)
        count = self.steps.clamp(min=1)
        scale = self.square.sqrt().div_((1 - _SQUARE_DECAY ** count).sqrt_()).add_(_LEAST)
        self.weights.addcdiv_(self.mean * (-rate * live / (1 - _MEAN_DECAY ** count)), scale)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return sum(tensor.nbytes for tensor in self._all)

    def _as_stored(self, tensor: Tensor) -> Tensor:
        kernel = self._channels_last and tensor.dim() == 4
        return (tensor.permute(0, 2, 3, 1) if kernel else tensor).flatten()

    def _on_host(self, vector: Tensor) -> dict[str, Tensor]:
        shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        return _views(vector.to('cpu', copy=True), shapes, self._channels_last)

    @property
    def _vectors(self) -> dict[str, Tensor]:
        return {'weights': self.weights, 'mean': self.mean, 'square': self.square}

    @property
    def _all(self) -> tuple[Tensor, ...]:
        return self.weights, self.mean, self.square, self.steps


class TrainingState:
    """
    All that is kept of a student from key frame to key frame, on one device.

    The ``front`` and the ``back`` of its network have moments and counts of steps of their own.
    ``lessons`` were begun; ``was_good_enough``: one of them reached the threshold.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        """Take the shapes and weights of ``network``."""
        channels_last = device.type == 'cuda'
        shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
        back = {name: shapes[name] for name in parameters_of(network, PARTIAL)}
        front = {name: shape for name, shape in shapes.items() if name not in back}
        self.front, self.back = (Part(part, device, channels_last) for part in (front, back))
        self.lessons = 0
        self.was_good_enough = False
        self._names = tuple(shapes)
        self.load({name: p.detach() for name, p in network.named_parameters()})

    def parts(self, group: str) -> tuple[Part, ...]:
        """Return what a lesson of ``group`` trains."""
        return (self.front, self.back) if group == FULL else (self.back,)

    def weights(self, group: str) -> dict[str, Tensor]:
        """Return the live tensors of ``group`` by name, in the network's order."""
        return self._in_order([part.tensors for part in self.parts(group)])

    def on_host(self, group: str) -> dict[str, Tensor]:
        """Return a copy of the tensors of ``group`` in the host's memory, in the same order."""
        return self._in_order([part.on_host() for part in self.parts(group)])

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy ``tensors`` into those of the same names."""
        self.front.load(tensors)
        self.back.load(tensors)

    def begin_from(self, tensors: Mapping[str, Tensor]) -> None:
        """
        Go on from other weights, with no momentum.

        Adam's second moment stays: it is the gradients' scale, without which the first steps
        would be as long in every weight, and spoil a student that knows something.
        """
        self.load(tensors)
        for part in (self.front, self.back):
            part.mean.zero_()

    @property
    def has_moments(self) -> bool:
        """Whether Adam has taken a step; waits for the device."""
        return bool(self.back.steps > 0)

    def forget(self) -> None:
        """Begin Adam anew."""
        self.front.forget()
        self.back.forget()

    def copy_(self, other: TrainingState) -> None:
        """Become equal to the state of another student of the same network."""
        self.front.copy_(other.front)
        self.back.copy_(other.back)
        self.lessons, self.was_good_enough = other.lessons, other.was_good_enough

    def snapshot(self) -> Snapshot:
        """Return a copy of all of it in the host's memory, the same from every device."""
        return {
            **self.front.snapshot(), **self.back.snapshot(),
            'front_steps': np.array(self.front.steps.item()),
            'back_steps': np.array(self.back.steps.item()),
            'lessons': np.array(self.lessons), 'was_good_enough': np.array(self.was_good_enough)}

    def restore(self, snapshot: Snapshot) -> None:
        """Become what a snapshot of the same network was; raise BadSnapshot, half done then."""
        self.front.restore(snapshot)
        self.back.restore(snapshot)
        for part, name in ((self.front, 'front_steps'), (self.back, 'back_steps')):
            # A copy from the host is there when this returns: lessons are in other queues.
            part.steps.copy_(torch.tensor(
                number_from(snapshot, name, np.float64), dtype=torch.float64))
        self.lessons = number_from(snapshot, 'lessons')
        self.was_good_enough = number_from(snapshot, 'was_good_enough', np.bool_)

    def give_to(self, network: Network) -> None:
        """Let ``network`` run these weights, wherever they change."""
        tensors = self.weights(FULL)
        for name, parameter in network.named_parameters():
            parameter.data = tensors[name]

    def _in_order(self, parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        tensors = {name: tensor for part in parts for name, tensor in part.items()}
        return {name: tensors[name] for name in self._names if name in tensors}

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return self.front.nbytes + self.back.nbytes


def _views(vector: Tensor, shapes: Shapes, channels_last: bool) -> dict[str, Tensor]:
    """Return the parts of a vector by name."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    views = {}
    for (name, shape), part in zip(shapes.items(), torch.split(vector, sizes)):
        if channels_last and len(shape) == 4:
            outputs, inputs, height, width = shape
            views[name] = part.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
        else:
            views[name] = part.view(shape)
    return views
