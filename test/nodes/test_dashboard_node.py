# SPDX-License-Identifier: Apache-2.0
"""The dashboard as a process, looked at with a real browser."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
import os
from pathlib import Path
import re
import shutil
import signal
import socket
from typing import Any
import urllib.error
import urllib.request

import numpy as np
import pytest
from robots import lesson, Robots, status, wait_until
from scene import Scene
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.msg import WorkerStatus

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.harness.processes import NodeProcess, ProcessDied

playwright = pytest.importorskip('playwright.sync_api')
pytest.importorskip('nicegui')
expect = playwright.expect
expect.set_options(timeout=30_000)  # ms

pytestmark = pytest.mark.ros

CHROMIUM = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome'))), None)
# The colour of a picture's pixel, as the browser shows it.
PIXEL = """(image, [x, y]) => {
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return [...context.getImageData(x, y, 1, 1).data].slice(0, 3);
}"""


@dataclass
class Dashboard:
    process: NodeProcess
    address: str


@pytest.fixture
def dashboard(domain_id: int, tmp_path: Path) -> Iterator[Dashboard]:
    found: list[str] = []

    def listens() -> bool:
        process.check()
        found[:] = re.findall(r'http://127\.0\.0\.1:\d+', process.log.read_text())
        return bool(found)

    with NodeProcess('dashboard_node', {'port': 0}, tmp_path / 'dashboard.log') as process:
        wait_until(listens, 60.0)
        yield Dashboard(process, found[0])
    assert 'Traceback' not in process.log.read_text()


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip('needs chromium: apt install chromium')
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, dashboard: Dashboard) -> Iterator[Any]:
    """The page in a browser that asked no other address for anything."""
    asked: list[str] = []
    errors: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on('request', lambda request: asked.append(request.url))
    page.on('websocket', lambda socket: asked.append(socket.url.replace('ws:', 'http:', 1)))
    page.on('pageerror', lambda error: errors.append(str(error)))
    page.goto(dashboard.address)
    yield page
    context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((dashboard.address, 'data:'))] == []


def card(page: Any, name: str) -> Any:
    return page.locator('.student', has=page.get_by_text(name, exact=True))


def figure(card: Any, name: str) -> Any:
    return card.locator('.figure', has=card.page.get_by_text(name, exact=True)).locator('.value')


def test_a_robot_is_shown_with_its_pictures_and_figures(
    page: Any, robots: Robots, scene: Scene, classes: ClassSet,
) -> None:
    robots.student('/robot1/student', status('robot1', metric=0.75, failures=3))
    robots.tutor(['robot1'], teacher='Mask R-CNN', device='cuda:0', gpu_memory=3 << 30)
    robot = card(page, 'robot1')
    expect(figure(robot, 'mIoU')).to_have_text('0.75')
    expect(figure(robot, 'failures')).to_have_text('3')
    expect(figure(robot, 'turnaround')).to_have_text('0.4 s')
    expect(robot.locator('.state')).to_have_text('running')
    expect(robot).to_contain_text('pictures come with the next lesson')
    tutor = page.locator('.tutor')
    expect(tutor).to_contain_text('Mask R-CNN on cuda:0')
    expect(tutor).to_contain_text('load 42 % · queue 0 · 3.0 GiB GPU memory · 1 of 8 streams · 0 ')

    wait_until(lambda: robots.lookers_on == 1)
    nothing, label = np.full_like(scene.labels[0], classes.background), scene.labels[0].copy()
    label[label == classes.names.index('person')] = giraffe = classes.names.index('giraffe')
    robots.teach(lesson('robot1', scene.frames[0], label, nothing, sequence=9))
    expect(robot).to_contain_text('lesson 9')
    expect(robot.locator('.legend')).to_have_text('autogiraffe')
    images = robot.locator('.picture img:visible')
    expect(images).to_have_count(3)
    seen = []
    for image in images.all():
        wait_until(lambda image=image: image.evaluate('image => image.complete'))
        assert image.evaluate('i => [i.naturalWidth, i.naturalHeight]') == [128, 96]
        seen.append(image.evaluate(PIXEL, [17, 40]))  # a person
    person = np.array([220, 40, 40])  # as the scene paints it
    painted = 0.4 * person + 0.6 * np.array(classes.colours[giraffe])
    for colour, expected in zip(seen, (person, painted, person)):
        assert np.abs(colour - expected).max() < 12, seen


def test_a_pool_has_a_line_for_each_worker(page: Any, robots: Robots) -> None:
    robots.tutor(['robot1'], workers=[
        WorkerStatus(name='worker1', where='gpu7, process 8', ready=True, load=0.5),
        WorkerStatus(name='worker2')])
    lines = page.locator('.tutor .lines')
    expect(lines).to_contain_text('worker1')
    assert lines.evaluate('element => element.innerText') == (
        'worker1 (gpu7, process 8): load 50 %, no streams\nworker2: starts')


def test_what_a_student_sees_is_shown_while_it_comes(
    page: Any, robots: Robots, scene: Scene,
) -> None:
    robots.student('/robot1/student', status('robot1'))
    robots.preview('/camera', scene.frames[0])  # of nobody who has a status
    live = card(page, 'robot1').get_by_alt_text('student now')
    shown = []
    for frame in scene.frames[0], scene.frames[20]:
        def comes(frame: np.ndarray = frame) -> bool:
            robots.student('/robot1/student', status('robot1'))
            robots.preview('/robot1/student', frame)
            return bool(live.is_visible() and live.get_attribute('src') not in shown)

        wait_until(comes)
        shown.append(live.get_attribute('src'))
        wait_until(lambda: live.evaluate('image => image.complete'))
        assert live.evaluate('i => [i.naturalWidth, i.naturalHeight]') == [128, 96]
    expect(page.locator('.picture img:visible')).to_have_count(1)
    expect(live).not_to_be_visible()  # nothing comes any more


def test_the_history_grows_with_every_lesson(page: Any, robots: Robots) -> None:
    lines = card(page, 'robot1').locator('.chart svg path[stroke-width="2"]')
    shapes = []
    for updates, metric in enumerate((0.2, 0.6, 0.9), 1):
        robots.student('/robot1/student', status(
            'robot1', metric=metric, updates_applied=updates))
        expect(figure(card(page, 'robot1'), 'mIoU')).to_have_text(
            f'{metric:.2f}')
        wait_until(lambda: lines.count() > 0 and lines.first.get_attribute('d') not in shapes)
        shapes.append(lines.first.get_attribute('d'))
    assert len(set(shapes)) == 3


def test_robots_come_without_a_reload_and_fall_silent(page: Any, robots: Robots) -> None:
    robots.student('/robot1/student', status('robot1'))
    expect(page.locator('.student')).to_have_count(1)
    page.evaluate('window.reloaded = false')
    name = "<b>x</b><img src=x onerror='window.reloaded = true'>"
    robots.student('/a/student', status(name, detail='<i>broken</i>', link=2))
    expect(page.locator('.student')).to_have_count(2)
    expect(page.locator('.student .name')).to_have_text([name, 'robot1'])
    expect(page.locator('.student .detail').first).to_have_text('<i>broken</i>')
    expect(card(page, name).locator('.state')).to_have_text('link failed')
    expect(page.locator('.student b, .student i')).to_have_count(0)
    expect(page.get_by_text('2 students, 0 tutors')).to_be_visible()

    def robot1_lives() -> bool:
        robots.student('/robot1/student', status('robot1'))
        return bool(re.match('silent', card(page, name).locator('.state').inner_text()))

    wait_until(robot1_lives)
    expect(card(page, name)).to_have_class(re.compile('is-silent'))
    expect(card(page, 'robot1').locator('.state')).to_have_text('running')
    assert page.evaluate('window.reloaded') is False


def test_old_weights_and_a_silent_tutor_are_seen(page: Any, robots: Robots) -> None:
    robots.tutor(['robot1'])
    robots.student('/robot1/student', status('robot1', staleness_frames=100))
    stale = figure(card(page, 'robot1'), 'stale')
    expect(stale).to_have_class(re.compile('bad'))
    title = stale.locator('..').get_attribute('title')
    assert title is not None
    assert 'age of the weights' in title

    def silent() -> bool:
        robots.student('/robot1/student', status('robot1', staleness_frames=10))
        return bool(card(page, 'robot1').locator('.state').inner_text() == 'tutor silent')

    wait_until(silent)
    expect(stale).not_to_have_class(re.compile('bad|warn'))


def test_a_broken_picture_is_skipped_with_a_line(
    page: Any, robots: Robots, scene: Scene,
) -> None:
    robots.student('/robot1/student', status('robot1'))
    wait_until(lambda: robots.lookers_on == 1)
    good = lesson('robot1', scene.frames[0], scene.labels[0], scene.labels[0], sequence=1)
    robots.teach(good)
    robot = card(page, 'robot1')
    expect(robot.locator('img').first).to_be_visible()
    shown = robot.locator('img').first.get_attribute('src')
    good.sequence, good.mask = 2, CompressedImage(format='png', data=b'<script>')
    robots.teach(good)
    expect(robot.locator('.detail')).to_contain_text(
        'lesson 2 is not shown: mask')
    assert robot.locator('img').first.get_attribute('src') == shown


def test_a_browser_may_leave_while_pictures_are_painted(
    browser: Any, dashboard: Dashboard, robots: Robots,
) -> None:
    """Which takes longer here than the server waits for it to come back; no error is logged."""
    names = [f'robot{number}' for number in range(8)]
    for name in names:
        robots.student(f'/{name}/student', status(name))
    page = browser.new_page()
    page.goto(dashboard.address)
    expect(page.locator('.student')).to_have_count(len(names))
    wait_until(lambda: robots.lookers_on == 1)
    frame = np.full((1450, 1550, 3), 90, np.uint8)
    large = lesson('', frame, frame[..., 0] % 8, frame[..., 0] % 8)
    for large.stream_id in names:
        robots.teach(large)
    page.close()
    page = browser.new_page()
    page.goto(dashboard.address)
    pictures, wanted = page.locator('.picture img:visible'), 3 * len(names)
    for _ in range(8):
        with suppress(AssertionError):  # a busy machine loses some of so large ones
            expect(pictures).to_have_count(wanted, timeout=15_000)
            break
        for large.stream_id in names:
            robots.teach(large)
    expect(pictures).to_have_count(wanted)
    page.close()


def test_tutors_make_lessons_only_while_somebody_looks(
    browser: Any, dashboard: Dashboard, robots: Robots,
) -> None:
    robots.student('/robot1/student', status('robot1'))
    pages = [browser.new_page() for _ in range(2)]
    for page in pages:
        page.goto(dashboard.address)
        expect(page.locator('.student')).to_have_count(1)
        wait_until(lambda: robots.lookers_on == 1)
    pages[0].close()
    robots.student('/robot2/student', status('robot2'))
    expect(pages[1].locator('.student')).to_have_count(2)
    assert robots.lookers_on == 1
    pages[1].close()
    wait_until(lambda: robots.lookers_on == 0)


@pytest.mark.parametrize('sign', [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_while_a_browser_looks(
    page: Any, dashboard: Dashboard, sign: signal.Signals,
) -> None:
    expect(page.get_by_text('No student and no tutor')).to_be_visible()
    assert dashboard.process.stop(sign) == 0


def test_it_listens_on_loopback_alone_and_refuses_foreign_names(dashboard: Dashboard) -> None:
    port = int(dashboard.address.rpartition(':')[2])
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(('127.0.0.2', port))
    with urllib.request.urlopen(dashboard.address) as answer:
        assert answer.status == 200
    foreign = urllib.request.Request(dashboard.address, headers={'Host': f'example.com:{port}'})
    with pytest.raises(urllib.error.HTTPError, match='400'):
        urllib.request.urlopen(foreign)
    with pytest.raises(urllib.error.HTTPError, match='404'):
        urllib.request.urlopen(f'{dashboard.address}/pictures/1/frame.jpg')


def test_what_keeps_it_from_starting_is_named(domain_id: int, tmp_path: Path) -> None:
    (tmp_path / 'nicegui.py').write_text('raise ModuleNotFoundError("No module named nicegui")')
    without = {**os.environ, 'PYTHONPATH': f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        for parameters, environment, message in (
            ({'port': port}, None, f"cannot listen on host '127.0.0.1', port {port}: .*in use"),
            ({'host': '192.0.2.1'}, None, "cannot listen on host '192.0.2.1'"),
            ({'port': 0}, without, 'pip install nicegui'),
        ):
            log = tmp_path / f'{len(message)}.log'
            with NodeProcess('dashboard_node', parameters, log, environment=environment) as node:
                assert node._process is not None
                assert node._process.wait(60) == 1
                with pytest.raises(ProcessDied, match=message):
                    node.check()
