# SPDX-License-Identifier: Apache-2.0
"""The figures of one run, as JSON and as a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from shadowtutor_ros.whole_file import replace_json


@dataclass(frozen=True)
class Summary:
    """
    One run on one video.

    mIoU and the key-frame ratio are in percent, traffic in payload bytes, ``fps`` in frames of
    the whole system per second of wall time. CPU time is that of all threads of a process, the
    student's per frame, the tutor's per key frame, in milliseconds; memory is the most that each
    had resident, in bytes.
    """

    video: str
    teacher: str
    frames: int
    miou: float
    wild_miou: float
    key_frames: int
    key_frame_ratio: float
    steps_per_key_frame: float
    bytes_up_per_key_frame: float
    bytes_down_per_key_frame: float
    bytes_per_frame: float
    naive_raw_bytes_per_frame: float
    naive_jpeg_bytes_per_frame: float
    fps: float
    student_cpu_ms_per_frame: float
    student_memory: int
    tutor_cpu_ms_per_key_frame: float
    tutor_memory: int
    failures: int

    def write(self, path: Path) -> None:
        """Write all fields as JSON."""
        replace_json(path, asdict(self))

    def table(self) -> str:
        """Return the figures as aligned lines."""
        rows = [
            ('video', f'{self.video}, {self.frames} frames'),
            ('mIoU against the teacher', f'{self.miou:.1f} %'),
            ('  same student left alone', f'{self.wild_miou:.1f} %'),
            ('key frames', f'{self.key_frames} ({self.key_frame_ratio:.1f} % of frames)'),
            ('distillation steps per key frame', f'{self.steps_per_key_frame:.1f}'),
            ('up per key frame', _kib(self.bytes_up_per_key_frame)),
            ('down per key frame', _kib(self.bytes_down_per_key_frame)),
            ('traffic per frame', _kib(self.bytes_per_frame)),
            ('  every frame offloaded as JPEG', self._against(self.naive_jpeg_bytes_per_frame)),
            ('  every frame offloaded raw', self._against(self.naive_raw_bytes_per_frame)),
            ('frames per second', f'{self.fps:.1f}'),
            ('student, CPU per frame', f'{self.student_cpu_ms_per_frame:.0f} ms'),
            ('  memory', _mib(self.student_memory)),
            ('tutor, CPU per key frame', f'{self.tutor_cpu_ms_per_key_frame / 1e3:.1f} s'),
            ('  memory', _mib(self.tutor_memory)),
            ('failed key frames', str(self.failures)),
        ]
        width = max(len(name) for name, _ in rows)
        return '\n'.join(f'{name:<{width}}  {value}' for name, value in rows)

    def _against(self, naive: float) -> str:
        if not self.bytes_per_frame:
            return _kib(naive)
        return f'{_kib(naive)} ({naive / self.bytes_per_frame:.1f} x ours)'


def _kib(size: float) -> str:
    return f'{size / 1024:.1f} KiB'


def _mib(size: float) -> str:
    return f'{size / (1 << 20):.0f} MiB'
