# SPDX-License-Identifier: Apache-2.0
"""Services of nodes in other processes, asked from a thread beside the one that spins."""

from __future__ import annotations

import queue
from typing import Any

from rclpy.client import Client


def ask(client: Client, request: Any, timeout: float, tries: int = 1) -> Any:
    """
    Return the response to ``request`` within ``timeout`` s, asked ``tries`` times in that time.

    A server drops its answer when it has not discovered the client a tenth of a second after the
    question came (rmw_fastrtps), as happens where every CPU is busy. So what may be asked twice
    should be. Raise TimeoutError when the server is not there, or does not answer.
    """
    if not client.wait_for_service(timeout):
        raise TimeoutError(f'{client.srv_name} is not there within {timeout:g} s')
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(tries):
        client.call_async(request).add_done_callback(answers.put)
        try:
            return answers.get(timeout=timeout / tries).result()
        except queue.Empty:
            continue
    raise TimeoutError(f'{client.srv_name} does not answer within {timeout:g} s')
