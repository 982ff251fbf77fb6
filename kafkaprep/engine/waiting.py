"""The one way to wait: for a condition, with a deadline and a message.

A condition is asked again and again with a pause that starts at 5 ms and doubles to 100 ms, so that what happens
soon is noticed soon and what takes long costs little. `stop` ends every wait at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from kafkaprep.errors import KafkaprepError, RunStopped

T = TypeVar("T")

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


class WaitTimeout(KafkaprepError):
    """The condition did not become true in time; the message says which, and what was seen instead."""


def wait_until(
    condition: Callable[[], T],
    timeout_s: float,
    stop: threading.Event,
    message: str | Callable[[], str],
) -> T:
    """The first truthy answer of `condition`.

    Raises WaitTimeout after `timeout_s` with `message` (made at that moment if callable), RunStopped when `stop` is
    set. The condition is asked at least once.
    """
    deadline = time.monotonic() + timeout_s
    pause = _FIRST_PAUSE_S
    while True:
        if stop.is_set():
            raise RunStopped()
        answer = condition()
        if answer:
            return answer
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeout(message() if callable(message) else message)
        stop.wait(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE_S)
