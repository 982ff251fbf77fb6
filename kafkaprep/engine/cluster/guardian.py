"""The guardian process: starts children, and kills them all when its owner is gone.

Run as `python -m kafkaprep.engine.cluster.guardian MARKER JOURNAL FD [FOLDER…]` by engine.process.Guardian, whose
socket is descriptor FD. One thread, no library that starts another: that is what makes PR_SET_PDEATHSIG, which
follows the parent *thread* and runs between fork and exec, safe here (man prctl(2)).

Requests are JSON lines: {"do":"spawn",…} and {"do":"signal",…}, answered with their token; a child's end is told
as {"exited":pid,"returncode":n}. The end of the socket is the end of the owner.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess  # noqa: TID251 - the guardian is the part of engine.process that lives in its own process
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kafkaprep.engine.process import remove_if_ours, started_at

_PR_SET_PDEATHSIG = 1
_KILL_DEADLINE_S = 5.0


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return in_child


class _Guardian:
    def __init__(self, marker: str, journal: Path, owner: socket.socket, folders: list[Path]) -> None:
        self.marker = marker
        self.journal = journal
        self.owner = owner
        self.folders = folders
        self.children: dict[int, tuple[subprocess.Popen[bytes], str, float]] = {}
        self.received = b""
        self.descriptors: list[int] = []
        self.in_child = _die_with_parent()
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

    def spawn(self, request: dict[str, object], descriptors: list[int]) -> dict[str, object]:
        with suppress(OSError), Path(str(request["stderr"])).open("ab") as stderr:
            stdout: object = stderr
            if descriptors:
                stdout = descriptors[1]
            elif request["stdout"] is not None:
                stdout = Path(str(request["stdout"])).open("ab")  # noqa: SIM115 - closed below
            try:
                process = subprocess.Popen(
                    [str(argument) for argument in request["argv"]],  # type: ignore[attr-defined]
                    stdin=descriptors[0] if descriptors else subprocess.DEVNULL,
                    stdout=stdout,  # type: ignore[arg-type]
                    stderr=stderr,
                    cwd=str(request["cwd"]),
                    env=request["env"],  # type: ignore[arg-type]
                    start_new_session=True,
                    preexec_fn=self.in_child,
                )
            except (OSError, ValueError) as error:
                return {"error": str(error)}
            finally:
                if stdout is not stderr and not descriptors:
                    stdout.close()  # type: ignore[attr-defined]
            created = started_at(process.pid)
            self.children[process.pid] = (process, str(request["name"]), created)
            self.write_journal()
            return {"pid": process.pid, "created": created}
        return {"error": f"its output file {request['stderr']} cannot be written"}

    def signal(self, request: dict[str, object]) -> dict[str, object]:
        pid = int(str(request["pid"]))
        if pid not in self.children:
            return {"ok": False}
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, int(str(request["signum"])))  # noqa: TID251 - see above
            return {"ok": True}
        return {"ok": False}

    def reap(self) -> None:
        for pid, (process, _, _) in list(self.children.items()):
            returncode = process.poll()
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
                {"pid": pid, "name": name, "created": created}
                for pid, (_, name, created) in self.children.items()
            ],
            "folders": [str(folder) for folder in self.folders],
        }
        draft = self.journal.with_suffix(".part")
        draft.write_text(json.dumps(record))
        draft.replace(self.journal)

    def end(self) -> None:
        """SIGKILL every group (a stopped process ignores anything milder), reap, delete, forget."""
        for pid in self.children:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # noqa: TID251 - see above
        deadline = time.monotonic() + _KILL_DEADLINE_S
        for process, _, _ in self.children.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for folder in self.folders:
            remove_if_ours(folder, self.marker)
        self.journal.unlink(missing_ok=True)


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
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
