# SPDX-License-Identifier: Apache-2.0
"""Detection: centres and sides in, boxes out, judged by which objects they find, and how well."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.tasks.detection.boxes import answer_of, boxes_of
from shadowtutor_ros.tasks.detection.decode import answer_from_output
from shadowtutor_ros.tasks.detection.loss import detection_loss
from shadowtutor_ros.tasks.detection.metric import class_quality
from shadowtutor_ros.tasks.detection.target import BoxTarget, objects_of, target_of
from shadowtutor_ros.tasks.protocol import BadLabelling, Emphasis, EVEN
from shadowtutor_ros.teacher.protocol import Labelling


class Detection:
    """
    A box around every object.

    Output is 1x(C+4)xhxw with a cell for every 8 x 8 pixels: logits of the C object classes'
    centres, then what ``corners_of`` makes boxes of. An answer is MOSTx6, a class' score its
    ``class_quality``; background has none. Objects and the rest are balanced by the loss
    itself, so ``emphasis`` changes nothing.
    """

    def target(
        self, labelling: Labelling, size: tuple[int, int], classes: int,
        device: str | torch.device = 'cpu', emphasis: Emphasis = EVEN,
    ) -> BoxTarget:
        """Return the target on ``device``; raise BadLabelling for another size or class."""
        if (shape := tuple(labelling.label_map.shape)) != size:
            raise BadLabelling(f'label has size {shape}, the frame {size}')
        return target_of(labelling, size, classes, device)

    def refill(self, target: BoxTarget, other: BoxTarget) -> None:
        """Copy ``other`` into ``target``."""
        target.copy_(other)

    def loss(self, output: Tensor, target: BoxTarget) -> Tensor:
        """Return the loss of centres and boxes."""
        return detection_loss(output, target)

    def answer(self, output: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the boxes, MOSTx6 float32."""
        return answer_from_output(output, size)

    def perfect(self, labelling: Labelling, classes: int) -> NDArray[np.float32]:
        """Return the teacher's boxes as an answer; raise BadLabelling."""
        return answer_of(objects_of(labelling, classes))

    def drawing(
        self, answer: NDArray[np.float32], size: tuple[int, int], classes: int,
    ) -> NDArray[np.uint8]:
        """Return HxW uint8: the class ids of boxes on their lines, background elsewhere."""
        drawn = np.full(size, classes - 1, np.uint8)
        boxes = boxes_of(answer)
        for corners, class_id in zip(boxes.corners[::-1].round().astype(int).tolist(),
                                     boxes.ids[::-1].tolist()):
            cv2.rectangle(drawn, corners[:2], corners[2:], class_id, max(2, min(size) // 200))
        return drawn

    def class_scores(self, answer: Tensor, target: BoxTarget) -> Tensor:
        """Return the quality of every class, NaN where neither side has a box of it."""
        quality = class_quality(answer, target.boxes, target.ids, len(target.heat))
        return torch.cat((quality, quality.new_full((1,), torch.nan)))

    def metric(self, answer: Tensor, target: BoxTarget) -> Tensor:
        """Return the mean over the classes that either side has; 1 where neither has any."""
        scores = self.class_scores(answer, target)
        return torch.where(scores.isnan().all(), 1.0, scores.nanmean())
