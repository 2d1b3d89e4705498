# SPDX-License-Identifier: Apache-2.0
"""A YOLO segmentation network as a teacher."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
import torch.nn.functional as F

from shadowtutor_ros.teacher.instances import paint
from shadowtutor_ros.teacher.protocol import Labelling, TeacherOptions
from shadowtutor_ros.teacher.weights import file_version
from shadowtutor_ros.teacher.yolo.checkpoint import load_network
from shadowtutor_ros.teacher.yolo.modules import Detections

_STRIDE = 32
_GREY = 114  # what the networks saw around their training images
_NMS_IOU = 0.45
_READING = 2  # raised when the same weights come to say something else: 2 reads ImplicitA


@dataclass(frozen=True)
class Letterbox:
    """A frame scaled into the network's input: ``scale``, then ``left`` and ``top`` padding."""

    scale: float
    left: int
    top: int
    inner: tuple[int, int]
    outer: tuple[int, int]

    @classmethod
    def fit(cls, height: int, width: int, image_size: int) -> Letterbox:
        """Scale the longer side to ``image_size``; pad both to multiples of 32."""
        scale = image_size / max(height, width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        outer = tuple(-(-side // _STRIDE) * _STRIDE for side in inner)
        return cls(scale, (outer[1] - inner[1]) // 2, (outer[0] - inner[0]) // 2,
                   inner, (outer[0], outer[1]))

    def apply(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the padded picture of size ``outer``."""
        shrinks = self.scale < 1
        picture = cv2.resize(frame, self.inner[::-1], interpolation=(
            cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
        out = np.full((*self.outer, 3), _GREY, np.uint8)
        out[self.top:self.top + self.inner[0], self.left:self.left + self.inner[1]] = picture
        return out

    def boxes_to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return Nx4 x1, y1, x2, y2 of the frame for those of the picture."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        return (boxes - offset) / np.float32(self.scale)


class YoloTeacher:
    """YOLOv7-seg or YOLOv5-seg with COCO weights."""

    def __init__(self, options: TeacherOptions, image_size: int = 640) -> None:
        weights = options.needed_weights
        self._network = load_network(weights).to(options.device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = weights.stem
        self.version = (
            f'{file_version(weights)} {_READING} {image_size} {options.score_threshold}')
        self._classes = options.classes
        self._device = options.device
        self._score_threshold = options.score_threshold
        self._image_size = image_size

    @torch.inference_mode()
    def label(self, frame: NDArray[np.uint8], stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame."""
        size = frame.shape[0], frame.shape[1]
        box = Letterbox.fit(*size, self._image_size)
        rgb = np.ascontiguousarray(box.apply(frame)[..., ::-1])
        image = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1)[None].float() / 255
        found = self._network(image)
        kept, ids, scores = _select(found, self._score_threshold)
        corners = _corners(found.boxes[kept]).cpu().numpy()
        boxes = box.boxes_to_frame(corners)
        logits = _logits(found, kept)
        return paint(lambda index: _inside(_mask(logits[index], box, size), boxes[index]),
                     ids, scores, boxes, self._classes, size)


def _select(
    found: Detections, threshold: float,
) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float32]]:
    """Return indices, COCO ids and scores of the candidates that survive threshold and NMS."""
    best, best_ids = found.scores.max(1)
    candidates = torch.nonzero(best >= threshold).flatten()
    corners = _corners(found.boxes[candidates]).cpu().numpy().astype(np.float64)
    rectangles = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    scores, ids = best[candidates].cpu().numpy(), best_ids[candidates].cpu().numpy()
    if not len(scores):
        return candidates, ids, scores
    chosen = np.array(cv2.dnn.NMSBoxesBatched(
        rectangles.tolist(), scores.tolist(), ids.tolist(), threshold, _NMS_IOU), np.int64)
    return (candidates[torch.from_numpy(chosen).to(candidates.device)],
            ids[chosen], scores[chosen])


def _corners(boxes: Tensor) -> Tensor:
    centres, halves = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat((centres - halves, centres + halves), 1)


def _logits(found: Detections, kept: Tensor) -> Tensor:
    """Return the masks' NxMxM logits, at the network's size."""
    depth, height, width = found.prototypes.shape
    logits = found.coefficients[kept] @ found.prototypes.reshape(depth, -1)
    return logits.view(-1, height, width)


def _mask(logits: Tensor, box: Letterbox, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return one HxW mask of the frame's ``size``, not yet cut to its box."""
    logits = F.interpolate(logits[None, None], box.outer, mode='bilinear')
    logits = logits[..., box.top:box.top + box.inner[0], box.left:box.left + box.inner[1]]
    mask: NDArray[np.bool_] = (
        F.interpolate(logits, size, mode='bilinear')[0, 0] > 0).cpu().numpy()
    return mask


def _inside(mask: NDArray[np.bool_], box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Clear the HxW mask outside its box x1, y1, x2, y2."""
    x1, y1, x2, y2 = box
    inner = (slice(max(0, int(y1)), max(0, int(np.ceil(y2)))),
             slice(max(0, int(x1)), max(0, int(np.ceil(x2)))))
    cut = np.zeros_like(mask)
    cut[inner] = mask[inner]
    return cut
