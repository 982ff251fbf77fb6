"""Starts, signals and sweeps processes: the only module that may.

Every child lives under a guardian: a small process that owns the children and holds one socket to its owner. When
the owner dies, however it dies, the socket ends and the guardian SIGKILLs every child's process group. A journal
written before a child is relied on lets the next start sweep up what survived the guardian itself; a process is
signalled then only if its pid, its start time and the marker in its command line all agree.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import psutil

from kafkaprep.errors import ClusterError

MARKER_FILE = ".kafkaprep"  # holds the nonce of a folder that may be deleted
_SCRUBBED = (
    "KAFKA_",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "CLASSPATH",
    "LOG_DIR",
    "JMX_PORT",
)
_START_TOLERANCE_S = 2.0
_GUARDIAN_END_S = 10.0
_PR_SET_PDEATHSIG = 1


class Finished(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def child_environment() -> dict[str, str]:
    """Our environment without what would change a JVM or a Kafka start behind our back."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SCRUBBED)}


def scrubbed_variables() -> list[str]:
    """The names, never the values, of the variables children do not inherit."""
    return sorted(name for name in os.environ if name.startswith(_SCRUBBED))


def run_briefly(
    argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Finished:
    """Run `argv` to its end. Raises ClusterError when it cannot start or takes longer than `timeout_s`."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env=dict(child_environment() if env is None else env),
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{argv[0]} did not finish within {timeout_s:g} s.") from error
    except OSError as error:
        raise ClusterError(f"{argv[0]} could not be started: {error.strerror}.") from error
    return Finished(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def start_detached(argv: Sequence[str], *, cwd: Path, log: Path) -> int:
    """Start a process that outlives us, in its own session, its output in `log`; returns its pid."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=cwd,
            env=child_environment(),
        )
    # It is meant to outlive us: a thread reaps it if it ends first, so that no zombie looks alive.
    threading.Thread(target=started.wait, name=f"reap {started.pid}", daemon=True).start()
    return started.pid


def die_with_parent() -> Callable[[], None] | None:
    """What a child runs between fork and exec so that Linux kills it with its parent; None elsewhere.

    PR_SET_PDEATHSIG follows the parent *thread* and is not seen by a child whose parent died before the call (man
    PR_SET_PDEATHSIG(2const)), hence the check after it. Only a single-threaded parent, the guardian, may use it.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def start_group(
    argv: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    cwd: str,
    env: Mapping[str, str],
    in_child: Callable[[], None] | None,
) -> subprocess.Popen[bytes]:
    """Start `argv` as the leader of its own session and group, on the given descriptors. Raises OSError."""
    return subprocess.Popen(
        list(argv),
        stdin=stdin if stdin >= 0 else subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=dict(env),
        start_new_session=True,
        preexec_fn=in_child,
    )


def signal_group(pid: int, signum: int) -> bool:
    """Signal the group led by `pid`, which the caller has started and not reaped; False if it has gone."""
    try:
        os.killpg(pid, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def reap(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """The return code of an ended child, None if it still lives after `timeout_s`."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, timeout_s))
    return None


class _GuardianLost(ClusterError):
    """The guardian is dead, and its children with it."""


class Child:
    """One process under a guardian. `pid` is also its process group; `returncode` is None while it lives."""

    def __init__(
        self,
        guardian: Guardian,
        name: str,
        pid: int,
        created: float,
        stdin: BinaryIO | None,
        stdout: BinaryIO | None,
    ) -> None:
        self._guardian = guardian
        self._ended = threading.Event()
        self.name = name
        self.pid = pid
        self.created = created
        self.stdin = stdin
        self.stdout = stdout
        self.returncode: int | None = None

    def signal(self, signum: int) -> bool:
        """Send `signum` to the child's whole process group; False if it has ended already.

        The guardian is its parent and signals only what it has not reaped, so a reused pid is never hit. Children
        of a dead guardian have ended.
        """
        try:
            return self._guardian._signal(self.pid, signum)
        except _GuardianLost:
            return False

    def wait(self, timeout_s: float) -> int | None:
        """The return code (negative: the signal that ended it), or None if it still lives after `timeout_s`."""
        self._ended.wait(timeout_s)
        return self.returncode

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    @property
    def paused(self) -> bool:
        """Whether the operating system reports the process as stopped (SIGSTOP took hold)."""
        with suppress(psutil.Error):
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        return False

    def _end(self, returncode: int) -> None:
        self.returncode = returncode
        self._ended.set()


class Guardian:
    """A guardian process and the children it starts for us.

    `marker` is in the command line of every child, `journal` lists them, `folders` are deleted with them (only if
    they hold MARKER_FILE with `marker`). `on_exit(child)` runs on the reader thread when a child ends, and
    `on_lost()` when the guardian itself died: its children are dead by then or being killed.
    """

    def __init__(
        self,
        marker: str,
        journal: Path,
        *,
        log: Path,
        folders: Sequence[Path] = (),
        on_exit: Callable[[Child], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.marker = marker
        self.journal = journal
        self.lost = False
        self._on_exit = on_exit
        self._on_lost = on_lost
        self._children: dict[int, Child] = {}
        self._exited_early: dict[int, int] = {}
        self._inputs: list[BinaryIO] = []
        self._replies: dict[int, dict[str, object]] = {}
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._next = 0
        self._closing = False
        ours, theirs = socket.socketpair()
        argv = [
            sys.executable,
            *("-m", "kafkaprep.engine.cluster.guardian"),
            *(marker, str(journal), str(theirs.fileno()), *(str(folder) for folder in folders)),
        ]
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=child_environment(),
            )
        self._socket = ours
        self._reader = threading.Thread(target=self._read, name="guardian reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        stderr: Path,
        stdout: Path | None = None,
        pipes: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Child:
        """Start `argv` under the guardian; the journal names it before this returns.

        With `pipes`, the child's stdin and stdout are pipes that we hold; otherwise stdin is empty and stdout goes
        to `stdout` (or joins `stderr`). Raises ClusterError if it cannot be started.
        """
        theirs: list[int] = []
        stdin_file: BinaryIO | None = None
        stdout_file: BinaryIO | None = None
        if pipes:
            stdin_read, stdin_write = os.pipe()
            stdout_read, stdout_write = os.pipe()
            theirs = [stdin_read, stdout_write]
            stdin_file = os.fdopen(stdin_write, "wb", buffering=0)
            stdout_file = os.fdopen(stdout_read, "rb")
        request: dict[str, object] = {
            "do": "spawn",
            "name": name,
            "argv": list(argv),
            "cwd": str(cwd),
            "stderr": str(stderr),
            "stdout": None if stdout is None else str(stdout),
            "env": dict(child_environment() if env is None else env),
        }
        try:
            reply = self._ask(request, theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        if "error" in reply:
            for file in (stdin_file, stdout_file):
                if file is not None:
                    file.close()
            raise ClusterError(f"{name} could not be started: {reply['error']}.")
        pid, created = int(str(reply["pid"])), float(str(reply["created"]))
        child = Child(self, name, pid, created, stdin_file, stdout_file)
        if stdin_file is not None:
            self._inputs.append(stdin_file)
        with self._changed:
            if pid in self._exited_early:
                child._end(self._exited_early.pop(pid))
            elif self.lost:
                child._end(-signal.SIGKILL)
            else:
                self._children[pid] = child
        return child

    def close(self) -> None:
        """Kill every child, delete the folders, end the guardian. Bounded: 10 s. Safe to call twice.

        Our ends of the children's input are closed; their output ends by itself.
        """
        self._closing = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        if reap(self._process, _GUARDIAN_END_S) is None:
            self._process.kill()
            self._process.wait()
            sweep_journal(self.journal)
        self._reader.join(5)
        self._socket.close()
        for stdin in self._inputs:
            with suppress(OSError):
                stdin.close()

    def _signal(self, pid: int, signum: int) -> bool:
        return bool(self._ask({"do": "signal", "pid": pid, "signum": int(signum)}, []).get("ok", False))

    def _ask(self, request: dict[str, object], descriptors: list[int]) -> dict[str, object]:
        with self._sending:
            self._next += 1
            token = self._next
            line = json.dumps({**request, "token": token, "fds": len(descriptors)}).encode() + b"\n"
            try:
                sent = socket.send_fds(self._socket, [line], descriptors)
                self._socket.sendall(line[sent:])
            except OSError as error:
                raise _GuardianLost("The guardian of our processes was killed; nothing can be started.") from error
        with self._changed:
            answered = self._changed.wait_for(lambda: token in self._replies or self.lost, timeout=20)
            if token in self._replies:
                return self._replies.pop(token)
        if answered:
            raise _GuardianLost("The guardian of our processes was killed.", "Run the command again.")
        raise ClusterError("The guardian of our processes does not answer.", "Run the command again.")

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines, suppress(OSError, ValueError):
            for line in lines:
                self._take(json.loads(line))
        with self._changed:
            self.lost = True
            orphans = list(self._children.values())
            self._children.clear()
        if not self._closing:
            # The socket ends a moment before the process does, and the journal of a living guardian is left alone.
            if reap(self._process, _GUARDIAN_END_S) is None:
                self._process.kill()
                self._process.wait()
            # Linux has killed them with their parent (PDEATHSIG); elsewhere the journal tells us whom to kill.
            sweep_journal(self.journal)
        for child in orphans:
            child._end(-signal.SIGKILL)
        with self._changed:
            self._changed.notify_all()
        if not self._closing and self._on_lost is not None:
            self._on_lost()

    def _take(self, message: dict[str, object]) -> None:
        if "exited" not in message:
            with self._changed:
                self._replies[int(str(message["token"]))] = message
                self._changed.notify_all()
            return
        pid, returncode = int(str(message["exited"])), int(str(message["returncode"]))
        with self._changed:
            child = self._children.pop(pid, None)
            if child is None:
                self._exited_early[pid] = returncode
        if child is not None:
            child._end(returncode)
            if self._on_exit is not None:
                self._on_exit(child)


def is_running(pid: int, created: float) -> bool:
    """Whether the process started at `created` (epoch seconds) under `pid` still lives (zombies do not)."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < _START_TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE
    return False


def started_at(pid: int) -> float:
    """When the process began, in epoch seconds; 0 if it has gone."""
    with suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return 0.0


def listens(pid: int, port: int) -> bool:
    """Whether it is process `pid` that listens on `port`: a port lost to somebody else accepts connections too."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.AccessDenied:
        return True  # some systems do not say; the connection was accepted
    except psutil.Error:
        return False
    return any(each.laddr.port == port and each.status == psutil.CONN_LISTEN for each in connections)


def ask_to_end(pid: int, created: float, timeout_s: float) -> bool:
    """SIGTERM the process of ours that began at `created`, wait for its end; False if it still lives."""
    if is_running(pid, created):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            process.terminate()
            process.wait(timeout_s)
    return not is_running(pid, created)


def kill_if_ours(pid: int, created: float, marker: str) -> bool:
    """SIGKILL the process group of `pid`, if pid, start time and marker all agree; True if it was ours."""
    if not is_running(pid, created):
        return False
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        if not any(marker in argument for argument in process.cmdline()):
            return False
        os.killpg(pid, signal.SIGKILL)
        with suppress(psutil.TimeoutExpired):
            process.wait(5)
        return True
    return False


def remove_if_ours(folder: Path, marker: str) -> bool:
    """Delete `folder` if it is a real folder holding MARKER_FILE with `marker`; symbolic links are not followed."""
    marker_file = folder / MARKER_FILE
    try:
        if folder.is_symlink() or marker_file.is_symlink() or marker_file.read_text().strip() != marker:
            return False
    except OSError:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


class Swept(NamedTuple):
    """What a sweep found: processes killed and folders removed."""

    processes: int
    folders: int


def sweep_journal(journal: Path) -> Swept:
    """End what a dead guardian's journal lists; a journal whose guardian lives is left alone."""
    try:
        record = json.loads(journal.read_text())
        guardian, marker = record["guardian"], str(record["marker"])
        if is_running(int(guardian["pid"]), float(guardian["created"])):
            return Swept(0, 0)
        killed = sum(kill_if_ours(int(child["pid"]), float(child["created"]), marker) for child in record["children"])
        removed = sum(remove_if_ours(Path(folder), marker) for folder in record["folders"])
    except FileNotFoundError:
        return Swept(0, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return Swept(0, 0)  # torn by a full disk: nothing in it can be trusted, so nothing is signalled
    journal.unlink(missing_ok=True)
    return Swept(killed, removed)


def sweep(journals: Path) -> Swept:
    """Sweep every journal in the folder `journals`."""
    found = [sweep_journal(journal) for journal in sorted(journals.glob("*.json"))]
    return Swept(sum(swept.processes for swept in found), sum(swept.folders for swept in found))
