# SPDX-License-Identifier: Apache-2.0
"""Files that anybody may have written, read within bounds: sizes first, and no code."""
