# SPDX-License-Identifier: Apache-2.0
"""Stages that wait for events of the test: who is where, and how many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
import threading

import pytest
import torch

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.pipeline import Pipeline, Stages

TIMEOUT = 30


@dataclass(eq=False)
class Item:
    """A key frame that goes as far as it is let go."""

    name: str
    decodes: bool = True
    labels: bool = True
    may_be_taught: threading.Event = field(default_factory=threading.Event)
    at_desk: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


class Tutor:
    """Stages that note what is asked of them."""

    def __init__(self, desks: int, batch: int) -> None:
        self.waiting: list[Item] = []
        self.batches: list[list[str]] = []
        self.trainers: dict[str, Trainer] = {}
        self.threads: dict[str, int] = {}
        self.may_label = threading.Event()
        self.asked = threading.Event()
        self.desks = [
            Trainer(Student.random(StudentInfo(('cat', 'background')), 0), DistillSettings.plain())
            for _ in range(desks)]
        self.pipeline: Pipeline[Item] = Pipeline(self.desks, batch)

    def take(self) -> Item | None:
        return self.waiting.pop(0) if self.waiting else None

    def label(self, items: Sequence[Item]) -> Sequence[Item]:
        self.batches.append([item.name for item in items])
        self.asked.set()
        assert self.may_label.wait(TIMEOUT)
        return [item for item in items if item.labels]

    def teach(self, item: Item, trainer: Trainer) -> None:
        self.trainers[item.name], self.threads[item.name] = trainer, torch.get_num_threads()
        item.at_desk.set()
        assert item.may_be_taught.wait(TIMEOUT)

    def done(self, item: Item) -> None:
        item.ended.set()

    def put(self, *items: Item) -> None:
        self.waiting += items
        self.pull()

    def pull(self) -> None:
        self.pipeline.pull(Stages(
            self.take, lambda item: item.decodes, self.label, self.teach, self.done))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def let_go(*items: Item) -> None:
    for item in items:
        item.may_be_taught.set()
    for item in items:
        assert item.ended.wait(TIMEOUT)


def test_several_are_taught_at_once_each_at_a_desk_of_its_own() -> None:
    tutor, items = Tutor(2, 1), [Item('a'), Item('b'), Item('c')]
    tutor.may_label.set()
    tutor.put(*items)
    for item in items[:2]:
        assert item.at_desk.wait(TIMEOUT)
    assert {id(tutor.trainers[name]) for name in 'ab'} == {id(desk) for desk in tutor.desks}
    assert not items[2].at_desk.is_set()
    let_go(items[0])
    assert items[2].at_desk.wait(TIMEOUT)
    assert tutor.trainers['c'] is tutor.trainers['a']
    let_go(*items[1:])


def test_who_is_alone_stays_at_the_desk_that_has_done_such_work() -> None:
    tutor, items = Tutor(2, 1), [Item('a'), Item('b')]
    tutor.may_label.set()
    for item in items:
        tutor.put(item)
        let_go(item)
    assert tutor.trainers['b'] is tutor.trainers['a']


def test_no_more_begin_than_there_are_desks_and_places_in_a_batch() -> None:
    tutor, items = Tutor(2, 1), [Item(name) for name in 'abcdef']
    tutor.put(*items)
    assert [item.name for item in tutor.waiting] == ['b', 'c', 'd', 'e', 'f']
    tutor.may_label.set()
    for item in items[:2]:
        assert item.at_desk.wait(TIMEOUT)
    tutor.pipeline._labellers.submit(lambda: None).result(TIMEOUT)
    tutor.pull()
    assert [item.name for item in tutor.waiting] == ['d', 'e', 'f']
    let_go(*items)


def test_what_waits_for_the_teacher_is_labelled_together() -> None:
    tutor, items = Tutor(1, 4), [Item(name) for name in 'abcde']
    tutor.put(items[0])
    assert tutor.asked.wait(TIMEOUT)
    tutor.put(*items[1:])
    tutor.pipeline._decoders.shutdown()  # the next three are decoded
    tutor.pipeline._decoders = ThreadPoolExecutor(1)
    tutor.may_label.set()
    let_go(*items)
    assert tutor.batches == [['a'], ['b', 'c', 'd'], ['e']]


@pytest.mark.parametrize('bad', [{'decodes': False}, {'labels': False}], ids=str)
def test_a_key_frame_that_fails_makes_room(bad: dict[str, bool]) -> None:
    tutor = Tutor(1, 1)
    tutor.may_label.set()
    items = [Item('bad', **bad), Item('good'), Item('next')]
    tutor.put(*items)
    let_go(*items)
    assert set(tutor.trainers) == {'good', 'next'}


def test_who_is_alone_has_all_threads_and_who_is_not_has_a_part() -> None:
    tutor, items = Tutor(2, 2), [Item(name) for name in 'abcd']
    tutor.may_label.set()
    tutor.put(items[0])
    let_go(items[0])
    assert tutor.threads == {'a': 4}
    tutor.may_label.clear()
    tutor.put(*items[1:])
    tutor.may_label.set()
    for item in items[1:3]:
        assert item.at_desk.wait(TIMEOUT)
    assert tutor.threads['b'] in (1, 2)
    assert torch.get_num_threads() == 4  # of this thread
    let_go(*items[1:])


def test_threads_that_are_made_later_have_as_many_as_before() -> None:
    tutor, items = Tutor(2, 2), [Item('a'), Item('b')]
    tutor.put(*items)
    tutor.may_label.set()
    for item in items:
        assert item.at_desk.wait(TIMEOUT)
    let_go(*items)
    with ThreadPoolExecutor(1) as later:  # as when a node is configured again
        assert later.submit(torch.get_num_threads).result(TIMEOUT) == 4
