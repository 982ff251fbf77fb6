"""Ctrl-C, SIGTERM and SIGHUP become one event that every wait watches."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ORDERLY_END_S = 10.0


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that is set by the first signal. The second, or ten seconds, end the process at once.

    Whatever happens then, the guardians kill what we started.
    """
    stop = threading.Event()

    def leave() -> None:
        os._exit(130)

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            leave()
        stop.set()
        timer = threading.Timer(_ORDERLY_END_S, leave)
        timer.daemon = True
        timer.start()

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {signum: signal.signal(signum, handle) for signum in handled}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
