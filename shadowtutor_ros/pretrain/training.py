# SPDX-License-Identifier: Apache-2.0
"""Train a first student: crop by crop, as it will see frames; the best on held-out clips stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
import hashlib
from io import BytesIO
import json
import math
from pathlib import Path

import numpy as np
import torch

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.checkpoint import save_checkpoint
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.pretrain.crops import CropSettings, random_crop
from shadowtutor_ros.pretrain.footage import Footage, Sample
from shadowtutor_ros.tasks.protocol import Emphasis
from shadowtutor_ros.untrusted.bounded_pickle import UntrustedPickle
from shadowtutor_ros.untrusted.torch_file import BadTorchFile, read_torch_file
from shadowtutor_ros.whole_file import replace_file

OnStep = Callable[[int, float], object]
OnJudged = Callable[[int, float, bool], object]


class PretrainError(ShadowTutorError):
    """Training cannot go on: another training's file is in the way, or the loss is not finite."""


@dataclass(frozen=True)
class PretrainSettings:
    """
    How a first student is trained.

    ``steps`` of AdamW on ``batch`` crops each; the step size rises to ``learning_rate`` in the
    first twentieth and falls to 0 like a cosine. Every ``judge_every`` steps the student is
    judged on up to ``judged_frames`` whole frames of each clip held out.
    """

    steps: int = 4000
    batch: int = 8
    learning_rate: float = 0.002
    weight_decay: float = 0.01
    judge_every: int = 250
    judged_frames: int = 20
    seed: int = 0
    crops: CropSettings = field(default_factory=CropSettings)
    emphasis: Emphasis = field(default_factory=lambda: DistillSettings().emphasis)

    def __post_init__(self) -> None:
        for name in ('steps', 'batch', 'judge_every', 'judged_frames'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name}: expected 1 or more, got {getattr(self, name)}')
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f'learning_rate: expected more than 0, got {self.learning_rate}')

    def rate(self, step: int) -> float:
        """Return Adam's step size in ``step``, counted from 0."""
        rise = max(1, self.steps // 20)
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        done = (step - rise) / max(1, self.steps - rise)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2


class Pretraining:
    """
    Trains all layers of ``student`` on ``trained`` and keeps the best on ``held_out`` in ``out``.

    The metric is the task's, 0-1, the mean of the clips' means. Beside ``out`` there is
    ``<out>.training`` until the last step: the next Pretraining with the same settings, clips and
    first weights goes on from there. One crop after the other goes through the network, which
    normalises by the statistics of one frame, as it does on a robot.
    """

    def __init__(
        self, student: Student, trained: Sequence[Footage], held_out: Sequence[Footage],
        settings: PretrainSettings, out: Path, dtype: torch.dtype = torch.float16,
    ) -> None:
        """Raise PretrainError when a ``<out>.training`` is damaged or another training's."""
        self.student = student
        self.settings = settings
        self.step = 0
        self.best = -math.inf
        self._trained, self._held_out = trained, held_out
        self._out, self._dtype = out, dtype
        self._progress = out.with_name(f'{out.name}.training')
        # A long clip counts more than a short one, but not as much more as it is longer.
        shares = np.sqrt([len(footage.samples) for footage in trained])
        self._shares = shares / shares.sum()
        if student.device.type == 'cpu':
            # Kernels in channels_last would have all convolutions compute so, whatever the input's
            # layout. The gradient of a strided 1x1 kernel then corrupts the heap on AVX-512.
            student.network.to(memory_format=torch.contiguous_format)
        self._optimizer = torch.optim.AdamW(
            student.network.parameters(), settings.learning_rate,
            weight_decay=settings.weight_decay)
        self._identity = self._identify()
        if self._progress.is_file():
            self._go_on()

    def run(self, on_step: OnStep, on_judged: OnJudged) -> float:
        """
        Take the steps that are left and return the best metric, 0-1.

        ``on_step(step, loss)`` is told of every step done, ``on_judged(step, metric, best)`` of
        every look at the held-out clips. What they raise ends the training; what was judged
        before is on disk. Raise PretrainError when the loss is not finite, CannotWrite.
        """
        settings = self.settings
        while self.step < settings.steps:
            on_step(self.step, self._take_step())
            if self.step % settings.judge_every == 0 or self.step == settings.steps:
                metric = self.judge()
                better = metric > self.best
                if better:
                    self.best = metric
                    save_checkpoint(self.student, self._out, self._dtype)
                self._save()
                on_judged(self.step, metric, better)
        self._progress.unlink(missing_ok=True)
        return self.best

    def judge(self) -> float:
        """Return the student's metric on the clips held out, 0-1."""
        clips = []
        for footage in self._held_out:
            count = min(len(footage.samples), self.settings.judged_frames)
            chosen = np.linspace(0, len(footage.samples) - 1, count).round().astype(int)
            clips.append(float(np.mean([
                self._judge_one(footage.samples[index]) for index in chosen])))
        return float(np.mean(clips))

    def _take_step(self) -> float:
        """Take the next step; what is random in it depends on seed and step alone."""
        student, settings = self.student, self.settings
        random = np.random.default_rng((settings.seed, self.step))
        for group in self._optimizer.param_groups:
            group['lr'] = settings.rate(self.step)
        for parameter in student.network.parameters():
            parameter.requires_grad_(True)
        self._optimizer.zero_grad()
        total = 0.0
        for _ in range(settings.batch):
            footage = self._trained[random.choice(len(self._trained), p=self._shares)]
            whole = footage.samples[int(random.integers(len(footage.samples)))].read()
            frame, labelling = random_crop(*whole, settings=settings.crops, random=random)
            target = student.task.target(
                labelling, (frame.shape[0], frame.shape[1]), student.network.classes,
                student.device, settings.emphasis)
            x = student.prepare(frame).contiguous()
            loss = student.task.loss(student.network.back(student.network.front(x)), target)
            (loss / settings.batch).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not math.isfinite(total):
            raise PretrainError(f'step {self.step}: expected a finite loss, got {total}; '
                                f'a smaller learning rate than {settings.learning_rate} may help')
        self._optimizer.step()
        self.step += 1
        return total / settings.batch

    def _judge_one(self, sample: Sample) -> float:
        frame, labelling = sample.read()
        student, size = self.student, (frame.shape[0], frame.shape[1])
        target = student.task.target(
            labelling, size, student.network.classes, student.device)
        answer = torch.from_numpy(student.segment(frame)).to(student.device)
        return float(student.task.metric(answer, target))

    def _identify(self) -> str:
        """Return what a training is told apart by."""
        clips = [[(footage.name, len(footage.samples)) for footage in part]
                 for part in (self._trained, self._held_out)]
        digest = hashlib.sha256(json.dumps([asdict(self.settings), clips]).encode())
        for name, tensor in sorted(self.student.weights(FULL).items()):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _save(self) -> None:
        progress = BytesIO()
        torch.save({'identity': self._identity, 'step': self.step, 'best': self.best,
                    'weights': self.student.weights(FULL),
                    'optimizer': self._optimizer.state_dict()}, progress)
        replace_file(self._progress, progress.getvalue())

    def _go_on(self) -> None:
        try:
            state = read_torch_file(self._progress)
            identity, step, best, weights, optimizer = (state[key] for key in (
                'identity', 'step', 'best', 'weights', 'optimizer'))
        except (BadTorchFile, UntrustedPickle, LookupError, TypeError) as error:
            raise PretrainError(f'{self._progress}: cannot be read: {error}; without it '
                                'training begins anew') from error
        if identity != self._identity:
            raise PretrainError(f'{self._progress}: expected the same settings, clips and first '
                                'weights, it is of another training; without it this one begins')
        self.step, self.best = int(step), float(best)
        self.student.load(weights)
        self._optimizer.load_state_dict(optimizer)
