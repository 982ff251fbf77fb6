"""Saves a run as it happens, and tells the listener.

The history is written line by line, so that a run that dies can still be judged; the listener sees the same events.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kafkaprep.model.history import Event, EventName

Listener = Callable[[Event], None]


class Recorder:
    """Appends events to `folder`/history.jsonl and hands each to `listener`. `t0` is the run's monotonic zero."""

    def __init__(self, folder: Path, listener: Listener | None = None) -> None:
        self.folder = folder
        self.t0 = time.monotonic()
        self._listener = listener
        self._file = (folder / "history.jsonl").open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.t0

    def record(self, event: EventName, **fields: object) -> Event:
        made = Event(self.now(), event, fields)
        with self._lock:
            if not self._file.closed:
                self._file.write(json.dumps(made.as_dict()) + "\n")
        if self._listener is not None:
            self._listener(made)
        return made

    def show(self, event: EventName, **fields: object) -> None:
        """For the listener only: what moves too often to be kept."""
        if self._listener is not None:
            self._listener(Event(self.now(), event, fields))

    def close(self) -> None:
        with self._lock:
            self._file.close()
