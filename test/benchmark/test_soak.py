# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import cv2
import pytest
from soak import fill_library, judge, make_clip, table, Usage, usage_of

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.first_student import DEFAULT, first_student
from shadowtutor_ros.runtime.library import LIBRARY, Library
from shadowtutor_ros.share import config_file


def usages(memory: float, files: float = 0, threads: float = 0) -> list[Usage]:
    """A process whose uses grow by so much in an hour, and much more in the first minutes."""
    return [Usage(60 * minute, 500 + memory * minute / 60 - 100 * max(0, 5 - minute),
                  round(20 + files * minute / 60), round(9 + threads * minute / 60))
            for minute in range(31)]


@pytest.mark.parametrize(('growth', 'grown'), [
    ((0,), []), ((20,), []), ((100,), ['memory']), ((0, 20), ['files']), ((0, 0, 20), ['threads']),
    ((100, 20, 20), ['memory', 'files', 'threads'])])
def test_what_grows_after_the_warm_up_is_seen(growth: tuple[float, ...], grown: list[str]) -> None:
    verdict = judge('tutor', usages(*growth), 300)
    assert verdict.grown == grown
    assert table([verdict]).splitlines()[-1].endswith(f'| {", ".join(grown) or "-"} |')


def test_a_soak_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match='expected 4 looks or more'):
        judge('tutor', usages(0), 28 * 60)


def test_a_process_is_looked_at() -> None:
    before = usage_of(os.getpid(), 3.0)
    with Path('/dev/null').open():
        assert usage_of(os.getpid(), 3.0).files == before.files + 1
    assert before.seconds == 3.0
    assert before.memory_mb > 10
    assert before.threads >= 1


def test_a_library_is_full_from_the_start(tmp_path: Path) -> None:
    fill_library(tmp_path)
    first = first_student(DEFAULT, ClassSet.load(config_file('lvs8', 'classes')))
    library = Library(first, LIBRARY, tmp_path / 'library')
    assert len(library._past) == LIBRARY
    library.close()


def test_labels_go_on_when_the_clip_begins_again(tmp_path: Path) -> None:
    video, labels = make_clip(tmp_path, 250)
    assert (len(list(video.iterdir())), len(list(labels.iterdir()))) == (100, 250)
    first, again = (cv2.imread(str(labels / f'{index:06}.png'), cv2.IMREAD_UNCHANGED)
                    for index in (42, 242))
    assert (first == again).all()
    assert set(first.ravel()) == {0, 8}
