"""The child's side of the talk with its parent: commands in, events out.

One JSON object a line, both ways. The end of stdin means that the parent is gone: the process ends at once and
flushes nothing, exactly as if it had been killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from kafkaprep.engine.traffic.specs import Barrier

Command = dict[str, Any]

SNAPSHOT_EVERY_S = 0.1
_NICENESS = 5
NEVER = sys.maxsize


class Control:
    """Reads commands in a thread of its own; `go` and the end of stdin act there, the rest waits in a queue."""

    def __init__(self, stdin: int = 0, stdout: int = 1) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._go = threading.Event()
        self._last_snapshot = float("-inf")
        self._told: Command = {}

    def start(self) -> None:
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def _listen(self) -> None:
        try:
            with os.fdopen(self._stdin, "rb", closefd=False) as lines:
                for line in lines:
                    command: Command = json.loads(line)
                    if command["do"] == "go":
                        self._go.set()
                    else:
                        self._commands.put(command)
        finally:
            os._exit(0)

    def next_command(self, wait_s: float = 0.0) -> Command | None:
        try:
            return self._commands.get(timeout=wait_s) if wait_s > 0 else self._commands.get_nowait()
        except queue.Empty:
            return None

    def event(self, event: str, /, **fields: object) -> None:
        line = memoryview((json.dumps({"event": event, **fields}, separators=(",", ":")) + "\n").encode())
        while line:
            line = line[os.write(self._stdout, line) :]

    def counts(self, make: Callable[[], Command], *, now: bool = False) -> None:
        """Send the counts if they changed: at most ten times a second, or at once with `now`."""
        clock = time.monotonic()
        if not now and clock - self._last_snapshot < SNAPSHOT_EVERY_S:
            return
        fields = make()
        if fields != self._told:
            self._told = fields
            self._last_snapshot = clock
            self.event("counts", **fields)

    def barrier(self, name: str, n: int) -> None:
        """Say where we stand and stand still until told to go on."""
        self._go.clear()
        self.event("barrier", name=name, n=n)
        self._go.wait()


class Barriers:
    """The barriers of a child that are still ahead."""

    def __init__(self, control: Control, barriers: Iterable[Barrier]) -> None:
        self._control = control
        self._ahead: dict[str, list[int]] = {}
        for at, n in sorted(set(barriers), reverse=True):
            self._ahead.setdefault(at, []).append(n)

    def ahead(self, at: str) -> int:
        """The number at which the next barrier of this kind stands; NEVER if there is none."""
        points = self._ahead.get(at)
        return points[-1] if points else NEVER

    def reach(self, at: str, n: int) -> None:
        if self.ahead(at) == n:
            self._ahead[at].pop()
            self._control.barrier(at, n)


def run_child(main: Callable[[Path, Control], None]) -> NoReturn:
    """The frame of every child: ordinary signals, lower priority, and an end that waits for no library."""
    # A parent's ignored signals are inherited; a child dies of SIGTERM, and Ctrl-C is for the parent alone.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(_NICENESS)
    code = 1
    try:
        control = Control()
        control.start()
        main(Path(sys.argv[1]), control)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
