# SPDX-License-Identifier: Apache-2.0
"""The report: the paper's tables and figures, as Markdown, PNG and one HTML page."""
