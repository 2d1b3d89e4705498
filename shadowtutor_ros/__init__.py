# SPDX-License-Identifier: Apache-2.0
"""Real-time video segmentation on a robot, taught online by a tutor on a server."""

__version__ = '0.1.0'
