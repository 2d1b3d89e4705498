# SPDX-License-Identifier: Apache-2.0
"""What is known of every frame of a run, as CSV rows."""

from __future__ import annotations

from collections.abc import Sequence
import csv
from dataclasses import dataclass, field, fields
import math
from pathlib import Path

_PER_CLASS = 'iou_'


@dataclass
class FrameRecord:
    """
    One frame. What a key frame cost and brought stands in its own row; NaN is not known.

    ``frame`` counts the video's frames; ``miou`` and the metrics are 0-1, ``iou`` per class,
    NaN where neither map has the class. ``staleness`` is in frames of the run since the key
    frame that the weights had learnt on. Bytes are payload bytes. ``t_si``, ``t_sd`` (one
    step), ``t_ti`` and ``t_net`` are Table 1's, in milliseconds.
    """

    frame: int
    miou: float
    iou: list[float] = field(default_factory=list)
    staleness: float = math.nan
    key_frame: bool = False
    steps: int = 0
    initial_metric: float = math.nan
    metric: float = math.nan
    bytes_up: int = 0
    bytes_down: int = 0
    t_si: float = math.nan
    t_sd: float = math.nan
    t_ti: float = math.nan
    t_net: float = math.nan


_COLUMNS = tuple(f.name for f in fields(FrameRecord) if f.name != 'iou')


def write_records(path: Path, records: Sequence[FrameRecord], classes: Sequence[str]) -> None:
    """Write one row per frame, with a column ``iou_<class>`` for every class."""
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *(_PER_CLASS + name for name in classes)])
        for record in records:
            writer.writerow([_cell(getattr(record, name)) for name in _COLUMNS]
                            + [_cell(value) for value in record.iou])


def read_records(path: Path) -> list[FrameRecord]:
    """Return what ``write_records`` wrote."""
    with path.open(newline='', encoding='utf-8') as file:
        rows = csv.reader(file)
        header = next(rows)
        count = sum(1 for name in header if not name.startswith(_PER_CLASS))
        return [_record(dict(zip(header, row)), row[count:]) for row in rows]


def _record(row: dict[str, str], iou: list[str]) -> FrameRecord:
    record = FrameRecord(int(row['frame']), _number(row['miou']), [_number(v) for v in iou])
    for name in _COLUMNS[2:]:
        kind = type(getattr(record, name))
        value = _number(row[name])
        setattr(record, name, value if kind is float else kind(value))
    return record


def _cell(value: float) -> str:
    if isinstance(value, float):
        return '' if math.isnan(value) else repr(value)
    return str(int(value))


def _number(text: str) -> float:
    return float(text) if text else math.nan
