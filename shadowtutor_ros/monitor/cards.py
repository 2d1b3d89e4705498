# SPDX-License-Identifier: Apache-2.0
"""
The parts of the dashboard's page: a card per student, a line per tutor.

Whatever nodes say of themselves goes into elements as text, which NiceGUI escapes.
"""

from __future__ import annotations

from dataclasses import dataclass
import time

from nicegui import ui
from nicegui.element import Element

from shadowtutor_ros.monitor.chart import miou_chart
from shadowtutor_ros.monitor.fleet import LessonView, Outcome, StudentView, TutorView
from shadowtutor_ros.monitor.pictures import KINDS, LIVE, Pictures
from shadowtutor_ros.monitor.words import (
    Level,
    limits,
    number,
    plain,
    seconds,
    size,
    staleness,
    stride,
    student_state,
    tutor_state,
    who_does_how_much,
    who_is_where,
)

# What a word does not say.
_TOOLTIPS = {
    'mIoU': "on the last key frame after its lesson, against the teacher's label: 0 to 1",
    'stale': 'age of the weights: seconds since the key frame that they learnt from; coloured '
             'when they are some strides old',
    'stride': "frames from one key frame to the next; (tutor): a loaded tutor's limit",
    'version': 'of the weights that run: grows with every update, jumps when a tutor starts again',
    'dropped/s': 'frames of the camera that a newer one overtook',
    'turnaround': "from sending the last key frame to its update's arrival",
    'failures': 'key frames without a usable answer',
    'handovers': 'how often another tutor took over',
}
_CAPTIONS = {'frame': 'key frame', 'teacher': 'teacher', 'student': 'student after the lesson',
             LIVE: 'student now, once a second'}


def _block(classes: str) -> Element:
    return ui.element('div').classes(classes)


def _colour(element: Element, level: str) -> None:
    others = ' '.join(other.value for other in Level if other.value != level)
    element.classes(level or None, remove=others)


class _Top:
    """Name, a remark and a state."""

    def __init__(self, name: str) -> None:
        with _block('top'):
            ui.label(plain(name)).classes('name')
            self._remark = ui.label().classes('soft small mono')
            self._state = ui.label().classes('state')

    def show(self, remark: str, state: str, level: Level) -> None:
        self._remark.text = remark
        self._state.text = state
        _colour(self._state, level.value)


class _Figures:
    """Values under their names, which the first call gives."""

    def __init__(self) -> None:
        self._root = _block('figures')
        self._values: dict[str, ui.label] = {}

    def show(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            if name not in self._values:
                with self._root, _block('figure') as figure:
                    figure.props['title'] = _TOOLTIPS.get(name, '')
                    ui.label(name).classes('soft small')
                    self._values[name] = ui.label().classes('value')
            self._values[name].text = value

    def colour(self, name: str, level: Level) -> None:
        _colour(self._values[name], '' if level is Level.GOOD else level.value)


class _Picture:
    """An image of one kind, with an anchor around it that opens it alone."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._serial = 0
        with _block('picture') as self._root:
            with ui.element('a').props('target=_blank') as self._anchor:
                self._image = ui.element('img')
                self._image.props['alt'] = _CAPTIONS[kind]
            ui.label(_CAPTIONS[kind]).classes('soft small')
        self._root.visible = False

    def show(self, pictures: Pictures | None) -> bool:
        """Show the newest, nothing for None; say whether it is another one."""
        self._root.visible = pictures is not None
        if pictures is None or pictures.serial == self._serial:
            return False
        self._serial = pictures.serial
        address = f'/pictures/{pictures.serial}/{self._kind}.jpg'
        self._anchor.props['href'] = self._image.props['src'] = address
        return True


class _Detail:
    """A line that is there when there is something to say."""

    def __init__(self) -> None:
        self._label = ui.label().classes('detail')

    def show(self, *texts: str) -> None:
        self._label.text = '; '.join(plain(text) for text in texts if text)
        self._label.visible = bool(self._label.text)


@dataclass(frozen=True)
class Shown:
    """Pictures of a student: of its last lesson, why they are not newer, and what it sees."""

    lesson: Pictures | None
    problem: str
    live: Pictures | None


class StudentCard:
    """One student: what it and its tutor make of the newest key frame, and how it does."""

    def __init__(self, student: StudentView) -> None:
        self._history: tuple[Outcome, ...] = ()
        with _block('card student') as self.root:
            self._top = _Top(student.stream_id)
            self._pictures = _block('pictures')
            with self._pictures:
                self._images = {kind: _Picture(kind) for kind in (*KINDS, LIVE)}
            self._pictures.visible = False
            with _block('under small'):
                self._legend = _block('legend')
                self._legend.visible = False
                self._caption = ui.label().classes('soft')
            self._figures = _Figures()
            self._shares = ui.label().classes('soft small')
            self._chart = ui.echart(miou_chart(()), renderer='svg').classes('chart')
            self._chart.props['aria-label'] = 'mIoU before and after each lesson'
            self._chart.visible = False
            self._detail = _Detail()

    def show(self, student: StudentView, shown: Shown) -> None:
        """Show the student as it is now."""
        status, rates = student.status, student.rates
        state, level = student_state(student)
        self.root.classes(**{'add' if student.silent else 'remove': 'is-silent'})
        taught = f'{plain(student.node)} ← {plain(student.tutor)}'
        self._top.show(taught if student.tutor else plain(student.node), state, level)
        self._figures.show({
            'mIoU': number(status.metric, 2), 'FPS': number(rates.fps, 1),
            'ms/frame': number(status.inference_ms), 'dropped/s': number(rates.dropped, 1),
            'stale': seconds(status.staleness_seconds), 'stride': stride(status),
            'kbit/s up': number(rates.up), 'kbit/s down': number(rates.down),
            'turnaround': seconds(status.turnaround_ms * 1e-3),
            'key frames': str(status.key_frames), 'failures': str(status.failures),
            'version': str(status.version), 'handovers': str(status.handovers)})
        self._figures.colour('stale', staleness(status))
        self._shares.text = plain(who_does_how_much(status))
        self._shares.visible = bool(self._shares.text)
        self._caption.text = _words(student.last)
        self._detail.show(status.detail, shown.problem)
        if student.history != self._history:
            self._history = student.history
            self._chart.visible = True
            self._chart.options.update(
                miou_chart(student.history, time.time() - time.monotonic()))
        changed = [self._images[kind].show(shown.lesson) for kind in KINDS]
        self._images[LIVE].show(shown.live)
        self._pictures.visible = shown.lesson is not None or shown.live is not None
        if shown.lesson is not None and any(changed):
            self._show_legend(shown.lesson)

    def _show_legend(self, pictures: Pictures) -> None:
        self._legend.visible = True
        self._legend.clear()
        with self._legend:
            for name, colour in pictures.classes:
                with _block('entry'):
                    _block('swatch').style(f'background: rgb{colour}')
                    ui.label(plain(name))


class TutorLine:
    """One tutor: its teacher, its machine and how busy it is."""

    def __init__(self, tutor: TutorView) -> None:
        with _block('card tutor') as self.root:
            self._top = _Top(tutor.node)
            with _block('row'):
                self._facts = ui.label()
                with _block('load'):
                    self._bar = _block('')
                self._numbers = ui.label().classes('soft')
            self._workers = ui.label().classes('soft small lines')
            self._detail = _Detail()

    def show(self, tutor: TutorView) -> None:
        """Show the tutor as it is now."""
        status = tutor.status
        state, level = tutor_state(tutor)
        self.root.classes(**{'add' if tutor.silent else 'remove': 'is-silent'})
        self._top.show('', state, level)
        self._facts.text = plain(f'{status.teacher} on {status.device}')
        self._bar.style(f'width: {100 * min(1.0, max(0.0, status.load)):.0f}%')
        memory = f'{size(status.gpu_memory)} GPU memory · ' if status.gpu_memory else ''
        self._numbers.text = (
            f'load {100 * status.load:.0f} % · queue {status.queued} · {memory}'
            f'{len(status.streams)} of {status.max_streams} streams{limits(status)} · '
            f'{status.key_frames} lessons · {status.failures} failed')
        self._workers.text = '\n'.join(map(plain, who_is_where(status)))
        self._workers.visible = bool(self._workers.text)
        self._detail.show(status.detail)


def _words(last: LessonView | None) -> str:
    if last is None:
        return 'pictures come with the next lesson'
    lesson = last.lesson
    return (f'lesson {lesson.sequence}, {seconds(last.age)} ago: mIoU '
            f'{number(lesson.initial_metric, 2)} → {number(lesson.metric, 2)} '
            f'in {lesson.steps} steps')
