# SPDX-License-Identifier: Apache-2.0
"""YOLOv5 and YOLOv7 instance segmentation, read from their published weight files."""

from shadowtutor_ros.teacher.yolo.checkpoint import extract_weights, load_network
from shadowtutor_ros.teacher.yolo.teacher import YoloTeacher

__all__ = ['YoloTeacher', 'extract_weights', 'load_network']
