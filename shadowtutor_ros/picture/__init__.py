# SPDX-License-Identifier: Apache-2.0
"""What files and messages of pictures hold: their size before, their pixels after decoding."""
