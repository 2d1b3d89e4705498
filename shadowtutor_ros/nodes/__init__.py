# SPDX-License-Identifier: Apache-2.0
"""Thin ROS 2 nodes: parameters in, callbacks to plain objects, messages out."""
