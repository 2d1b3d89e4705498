# SPDX-License-Identifier: Apache-2.0
"""Algorithm 2: the distance to the next key frame."""

from __future__ import annotations


def next_stride(
    stride: float, metric: float, threshold: float, min_stride: int, max_stride: int,
) -> float:
    """
    Return the next stride in frames, within [min_stride, max_stride].

    The stride is multiplied by a piecewise linear function of the metric (mIoU, 0-1) through
    (0, 0), (threshold, 1) and (1, 2). It stays a float: truncation would hold small strides.
    """
    if metric < threshold:
        ratio = metric / threshold
    else:
        ratio = (metric - 2 * threshold + 1) / (1 - threshold)
    return min(max(ratio * stride, float(min_stride)), float(max_stride))
