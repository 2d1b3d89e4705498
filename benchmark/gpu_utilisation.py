# SPDX-License-Identifier: Apache-2.0
"""How busy a GPU is while something runs, as nvidia-smi says it."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess

import torch

PERIOD_MS = 200


class GpuUtilisation:
    """Asks nvidia-smi, in a process of its own, several times a second."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin; do nothing on a CPU or without nvidia-smi."""
        if self._device.type == 'cuda' and shutil.which('nvidia-smi'):
            index = self._device.index or 0
            self._process = subprocess.Popen(
                ['nvidia-smi', f'--id={index}', '--query-gpu=utilization.gpu',
                 '--format=csv,noheader,nounits', f'--loop-ms={PERIOD_MS}'],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def stop(self) -> float | None:
        """Return the mean in percent since the start; None where nobody could say."""
        if self._process is None:
            return None
        self._process.terminate()
        output, _ = self._process.communicate()
        self._process = None
        return mean_of(output)


def mean_of(output: str) -> float | None:
    """Return the mean of the numbers in the lines of ``output``; None without any."""
    numbers = []
    for line in output.splitlines():
        with contextlib.suppress(ValueError):  # [N/A], or half a line
            numbers.append(float(line))
    return statistics.fmean(numbers) if numbers else None
