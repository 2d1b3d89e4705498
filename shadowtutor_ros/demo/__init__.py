# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor demo``: a robot and a tutor on one video, as three processes over DDS."""
