# SPDX-License-Identifier: Apache-2.0
"""Boxes of objects: a map of centres in, boxes with scores out, judged by how they overlap."""
