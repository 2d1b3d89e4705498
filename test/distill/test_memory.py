# SPDX-License-Identifier: Apache-2.0
"""What a stream remembers: so many of the newest, in so many bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from distill.lessons import frame_of, labelling_of, SIZE
import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.memory import Example, KeyFrameMemory
from shadowtutor_ros.snapshot import BadSnapshot
from shadowtutor_ros.teacher.protocol import Labelling


def example(seed: int, size: tuple[int, int] = SIZE) -> Example:
    return Example(frame_of(seed, size), labelling_of(seed, size))


def frames(examples: Iterable[Example]) -> list[int]:
    return [id(each.frame) for each in examples]


def test_an_example_counts_its_bytes() -> None:
    one = example(0)
    boxes = one.labelling.boxes.nbytes + one.labelling.scores.nbytes
    assert one.nbytes == 32 * 64 * 3 + 32 * 64 + boxes


def test_the_newest_are_kept() -> None:
    memory, examples = KeyFrameMemory(1 << 20), [example(seed) for seed in range(5)]
    for each in examples:
        memory.add(each, 3)
    assert frames(memory) == frames(examples[2:])
    assert memory.nbytes == sum(each.nbytes for each in examples[2:])
    memory.add(examples[0], 2)
    assert frames(memory) == frames([examples[4], examples[0]])
    memory.add(examples[1], 0)
    assert len(memory) == 0


def test_no_more_bytes_are_kept_than_allowed() -> None:
    size = example(0).nbytes
    memory, examples = KeyFrameMemory(2 * size + 1), [example(seed) for seed in range(3)]
    for each in examples:
        memory.add(each, 8)
    assert frames(memory) == frames(examples[1:])
    nothing = KeyFrameMemory(size - 1)
    nothing.add(examples[0], 8)
    assert len(nothing) == nothing.nbytes == 0


def test_labels_of_a_device_are_remembered_on_the_host() -> None:
    memory, labels = KeyFrameMemory(1 << 20), torch.full(SIZE, 2, dtype=torch.uint8)
    memory.add(Example(frame_of(), Labelling(labels)), 1)
    (kept,) = memory
    assert isinstance(kept.labelling.label_map, np.ndarray)


def test_a_snapshot_brings_the_lessons_back() -> None:
    memory = KeyFrameMemory(1 << 20)
    smooth = np.full((64, 80, 3), (40, 90, 200), np.uint8)
    with_boxes = labelling_of(1, (64, 80))
    memory.add(Example(smooth, replace(
        with_boxes, box_ids=np.ones(len(with_boxes.boxes), np.uint8))), 8)
    memory.add(example(2), 8)
    snapshot = memory.snapshot()
    restored = KeyFrameMemory(1 << 20)
    restored.add(example(5), 8)
    restored.restore(snapshot, 3)
    assert len(restored) == 2
    for own, theirs in zip(restored, memory):
        assert np.array_equal(own.labelling.class_ids, theirs.labelling.class_ids)
        assert np.array_equal(own.labelling.boxes, theirs.labelling.boxes)
        assert own.frame.shape == theirs.frame.shape
    ids, unknown = (each.labelling.box_ids for each in restored)
    assert ids is not None
    assert ids.tolist() == [1] * len(with_boxes.boxes)
    assert unknown is None
    assert np.abs(next(iter(restored)).frame.astype(int) - smooth).max() <= 2
    small = KeyFrameMemory(next(iter(memory)).nbytes)
    small.restore(snapshot, 3)
    assert len(small) == 1


@pytest.mark.parametrize(('name', 'value'), [
    ('memory', None), ('memory/0/frame', None), ('memory/0/frame', np.zeros(9, np.uint8)),
    ('memory/0/labels', np.zeros(9, np.uint8)), ('memory/0/boxes', np.zeros((2, 3), np.float32)),
    ('memory/0/boxes', np.full((2, 4), np.nan, np.float32)),
    ('memory/0/scores', np.zeros((1, 1), np.float32)),
    ('memory/0/box_ids', np.zeros(40, np.uint8)), ('memory/0/box_ids', np.full(2, 3, np.uint8))])
def test_a_bad_snapshot_is_refused(name: str, value: object) -> None:
    memory = KeyFrameMemory(1 << 20)
    memory.add(example(0), 8)
    snapshot = {key: array for key, array in memory.snapshot().items()
                if key != name or value is not None}
    if value is not None:
        snapshot[name] = np.asarray(value)
    with pytest.raises(BadSnapshot, match=name.split('/')[-1]):
        KeyFrameMemory(1 << 20).restore(snapshot, 3)


def test_labels_of_another_student_are_refused() -> None:
    memory = KeyFrameMemory(1 << 20)
    memory.add(example(0), 8)
    with pytest.raises(BadSnapshot, match=r'ids below 2, got .* up to 2'):
        KeyFrameMemory(1 << 20).restore(memory.snapshot(), 2)
