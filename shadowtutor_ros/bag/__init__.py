# SPDX-License-Identifier: Apache-2.0
"""Rosbags as source and result of segmentation, without ROS: pure Python, by ``rosbags``."""
