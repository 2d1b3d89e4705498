# SPDX-License-Identifier: Apache-2.0
"""Algorithms 3 and 4 as plain objects, joined by a link; the ROS nodes wrap them."""
