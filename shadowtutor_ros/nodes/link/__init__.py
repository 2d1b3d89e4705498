# SPDX-License-Identifier: Apache-2.0
"""What carries key frames to the tutor and weights back."""
