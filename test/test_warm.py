# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import select
import subprocess
import sys

STARTS = """
import os, sys
import warm
warm._SERVER.set_forkserver_preload([])
process = warm.WarmProcess(sys.argv[2:], os.environ, sys.argv[1])
print(process.pid, flush=True)
sys.exit(process.wait())
"""


@contextmanager
def started(log: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    log.touch()
    path = f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"
    with subprocess.Popen(
            [sys.executable, '-c', STARTS, str(log), *arguments], stdout=subprocess.PIPE,
            env={**os.environ, 'PYTHONPATH': path}, text=True) as process:
        yield process


def test_it_is_the_module_with_its_arguments_output_and_status(tmp_path: Path) -> None:
    with started(tmp_path / 'log', 'json.tool', '--nonsense') as process:
        assert process.wait(60) == 2
    assert 'unrecognized arguments: --nonsense' in (tmp_path / 'log').read_text()


def test_it_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    with started(tmp_path / 'log', 'http.server', '0') as process:
        assert process.stdout is not None
        ended = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
        assert select.select([ended], [], [], 60)[0] == [ended]
        os.close(ended)
