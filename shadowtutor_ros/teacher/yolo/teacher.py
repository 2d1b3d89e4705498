# SPDX-License-Identifier: Apache-2.0
"""A YOLO segmentation network as a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.instances import paint
from shadowtutor_ros.teacher.protocol import Labelling, StampedFrame, TeacherOptions
from shadowtutor_ros.teacher.weights import file_version
from shadowtutor_ros.teacher.yolo.checkpoint import load_network
from shadowtutor_ros.teacher.yolo.letterbox import Letterbox
from shadowtutor_ros.teacher.yolo.replay import BATCHES, ReplayedNetwork
from shadowtutor_ros.teacher.yolo.selection import Objects, select

_READING = 2  # raised when the same weights come to say something else: 2 reads ImplicitA


class YoloTeacher:
    """
    YOLOv7-seg or YOLOv5-seg with COCO weights.

    A frame goes to the device as bytes, and its label map is made there. ``dtype`` is what the
    convolutions compute in.
    """

    def __init__(
        self, options: TeacherOptions, image_size: int = 640, dtype: torch.dtype = torch.float32,
    ) -> None:
        weights = options.needed_weights
        network = load_network(weights).to(options.device)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = weights.stem
        self.version = ' '.join(str(part) for part in (
            file_version(weights), _READING, image_size, options.score_threshold,
            *([] if dtype == torch.float32 else [dtype])))
        self._classes = options.classes
        self._device = torch.device(options.device)
        self._score_threshold = options.score_threshold
        self._image_size = image_size
        self._network = ReplayedNetwork(network, self._device, dtype)
        # On a CPU several together take longer than one by one.
        self._together = BATCHES[-1] if self._device.type == 'cuda' else 1

    def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame."""
        return self.label_many([StampedFrame(frame, stamp)])[0]

    def label_many(self, frames: Sequence[StampedFrame]) -> list[Labelling]:
        """Label BGR uint8 HxWx3 frames; those that make pictures of one size go together."""
        boxes = [Letterbox.fit(stamped.frame.shape[0], stamped.frame.shape[1], self._image_size)
                 for stamped in frames]
        labellings: dict[int, Labelling] = {}
        for together in _alike(boxes, self._together):
            pictures = torch.stack([
                boxes[index].picture(frames[index].frame, self._device) for index in together])
            found = select(self._network(pictures), self._score_threshold)
            for index, objects in zip(together, found):
                labellings[index] = self._labelling(objects, boxes[index])
        return [labellings[index] for index in range(len(frames))]

    def _labelling(self, objects: Objects, box: Letterbox) -> Labelling:
        boxes = box.boxes_to_frame(objects.boxes)
        return paint(lambda index: box.mask_to_frame(objects.logits[index], boxes[index]),
                     objects.ids, objects.scores, boxes, self._classes, box.size, self._device)


def _alike(boxes: Sequence[Letterbox], most: int) -> list[list[int]]:
    """Return the indices of those whose pictures have one size, at most ``most`` in each list."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, box in enumerate(boxes):
        sizes.setdefault(box.outer, []).append(index)
    return [alike[start:start + most] for alike in sizes.values()
            for start in range(0, len(alike), most)]
