"""The guardian process: starts children, kills them when its owner is gone.

Run as `python -m kafkaprep.engine.cluster.guardian MARKER JOURNAL FD [FOLDER…]` by engine.process.Guardian, whose
socket is descriptor FD. It has one thread, which is what makes dying with it (PR_SET_PDEATHSIG) safe.

Requests are JSON lines: {"do":"spawn",…} and {"do":"signal",…}, answered with their token; a child's end is told
as {"exited":pid,"returncode":n}. The end of the socket is the end of the owner.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaprep.engine.process import (
    die_with_parent,
    reap,
    remove_if_ours,
    signal_group,
    start_group,
    started_at,
)

if TYPE_CHECKING:
    from subprocess import Popen  # noqa: TID251 - the type only

_KILL_DEADLINE_S = 5.0


class _Spawned(NamedTuple):
    process: Popen[bytes]
    name: str
    created: float


class _Guardian:
    def __init__(self, marker: str, journal: Path, owner: socket.socket, folders: list[Path]) -> None:
        self.marker = marker
        self.journal = journal
        self.owner = owner
        self.folders = folders
        self.children: dict[int, _Spawned] = {}
        self.received = b""
        self.descriptors: list[int] = []
        self.in_child = die_with_parent()
        self.me = {"pid": os.getpid(), "created": started_at(os.getpid())}

    def serve(self) -> None:
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake_read, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write)
        self.write_journal()
        with selectors.DefaultSelector() as selector:
            selector.register(self.owner, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self.owner:
                        if not self.receive():
                            return
                    else:
                        with suppress(BlockingIOError):
                            os.read(wake_read, 4096)
                        self.reap()

    def receive(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self.owner, 65536, 16)
        except ConnectionError:
            return False
        if not data:
            return False
        self.descriptors += descriptors
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            mine = [self.descriptors.pop(0) for _ in range(request["fds"])]
            try:
                answer = self.spawn(request, mine) if request["do"] == "spawn" else self.signal(request)
            finally:
                for descriptor in mine:
                    os.close(descriptor)
            self.tell({"token": request["token"], **answer})
        return True

    def spawn(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, object]:
        try:
            with (
                Path(request["stderr"]).open("ab") as stderr,
                Path(request["stdout"] or os.devnull).open("ab") as out,
            ):
                stdout = out if request["stdout"] else stderr
                process = start_group(
                    request["argv"],
                    stdin=descriptors[0] if descriptors else -1,
                    stdout=descriptors[1] if descriptors else stdout.fileno(),
                    stderr=stderr.fileno(),
                    cwd=request["cwd"],
                    env=request["env"],
                    in_child=self.in_child,
                )
        except (OSError, ValueError) as error:
            return {"error": str(error)}
        created = started_at(process.pid)
        self.children[process.pid] = _Spawned(process, request["name"], created)
        self.write_journal()
        return {"pid": process.pid, "created": created}

    def signal(self, request: dict[str, Any]) -> dict[str, object]:
        # Not reaped yet, so the pid cannot have been given to another process.
        return {"ok": request["pid"] in self.children and signal_group(request["pid"], request["signum"])}

    def reap(self) -> None:
        for pid, spawned in list(self.children.items()):
            returncode = reap(spawned.process, 0)
            if returncode is not None:
                del self.children[pid]
                self.write_journal()
                self.tell({"exited": pid, "returncode": returncode})

    def tell(self, message: dict[str, object]) -> None:
        with suppress(OSError):
            self.owner.sendall(json.dumps(message).encode() + b"\n")

    def write_journal(self) -> None:
        record = {
            "marker": self.marker,
            "guardian": self.me,
            "children": [
                {"pid": pid, "name": spawned.name, "created": spawned.created} for pid, spawned in self.children.items()
            ],
            "folders": [str(folder) for folder in self.folders],
        }
        draft = self.journal.with_suffix(".part")
        draft.write_text(json.dumps(record))
        draft.replace(self.journal)

    def end(self) -> None:
        """SIGKILL every group (a stopped process ignores anything milder), reap, delete, forget."""
        for pid in self.children:
            signal_group(pid, signal.SIGKILL)
        deadline = time.monotonic() + _KILL_DEADLINE_S
        for spawned in self.children.values():
            reap(spawned.process, deadline - time.monotonic())
        for folder in self.folders:
            remove_if_ours(folder, self.marker)
        self.journal.unlink(missing_ok=True)


def main() -> None:
    # Handlers, not SIG_IGN: an ignored signal stays ignored across exec, and a JVM could no longer be asked to end.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, lambda *_: None)
    marker, journal, descriptor, *folders = sys.argv[1:]
    owner = socket.socket(fileno=int(descriptor))
    owner.set_inheritable(False)
    guardian = _Guardian(marker, Path(journal), owner, [Path(folder) for folder in folders])
    try:
        guardian.serve()
    finally:
        guardian.end()


if __name__ == "__main__":
    main()
