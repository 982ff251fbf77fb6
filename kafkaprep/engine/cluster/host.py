"""The cluster host: a detached process that keeps the local cluster.

Run as `python -m kafkaprep.engine.cluster.host SPEC.json` by `local`. It holds the lock of the state folder for its
life, owns the guardian of the JVMs, and answers JSON lines on a Unix socket. Its rules:

- An app that started it owns it: when the last connection ends, it takes the cluster down, unless `keep` was asked.
- Kept, it ends after 30 idle minutes or on `down`.
- One lab at a time holds the cluster; when that connection ends, however it ends, every fault is lifted.

A request is {"do": verb, …}; its answer {"ok": true, …} or {"ok": false, "error": text, "log_tail": […]}. `ready`
sends {"progress": text} lines before its answer.
"""

from __future__ import annotations

import json
import os
import queue
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.java import Java
from kafkaprep.engine.cluster.local import running_host
from kafkaprep.engine.cluster.nodes import Nodes
from kafkaprep.engine.process import MARKER_FILE, Child, Guardian, is_running, started_at
from kafkaprep.engine.proxy.rules import parse_rule
from kafkaprep.engine.proxy.server import ProxyServer
from kafkaprep.errors import BrokerDidNotStart, ClusterError, RunStopped

IDLE_S = 30 * 60.0
ABANDONED_S = 15.0  # started by an app that lives and does not come
_TAKE_OVER_S = 15.0  # how long a host that is going down may take
LOCK_HELD = 75  # exit code: another host has the lock (EX_TEMPFAIL)


class Host:
    """The server. `serve` returns when the cluster is down."""

    def __init__(self, spec: dict[str, Any], folder: Path) -> None:
        self._nonce: str = spec["nonce"]
        self._keep = bool(spec["keep"])
        self._folder = folder
        self._installation = _installation(spec["installation"])
        self._failure: ClusterError | None = None
        self._progress: list[str] = []
        self._ready = False
        self._changed = threading.Condition()
        self._connections: set[int] = set()
        self._idle_since = time.monotonic()
        self._app: dict[str, Any] | None = spec["app"]  # who started us, until the first connection
        self._lab: tuple[int, int] | None = None  # connection, pid of the app
        self._mending = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._ending = False
        self._address = Path(spec["socket"])
        self._data = folder / f"cluster-{self._nonce}"
        self._data.mkdir(mode=0o700)
        (self._data / MARKER_FILE).write_text(self._nonce)
        self._guardian = Guardian(
            self._nonce,
            Path(spec["journals"]) / f"{self._nonce}.json",
            log=folder / "guardian.log",
            folders=[self._data, *([] if self._address.parent == folder else [self._address.parent])],
            on_exit=self._child_ended,
            on_lost=self._guardian_lost,
        )
        self._proxy: ProxyServer | None = None
        self._nodes = Nodes(self._installation, self._data, self._nonce, self._guardian, self._advertise)

    def serve(self, listener: socket.socket) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: self._end())
        threading.Thread(target=self._start_nodes, name="start", daemon=True).start()
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._ending and not self._idle_for_too_long():
                for key, _ in selector.select(timeout=0.5 if self._app else 5):
                    if key.fileobj is listener:
                        self._welcome(listener)
        # First of all, so that nobody attaches to a cluster that is going down.
        (self._folder / "host.json").unlink(missing_ok=True)
        listener.close()
        self._address.unlink(missing_ok=True)
        self._nodes.end()
        if self._proxy is not None:
            self._proxy.stop()
        self._guardian.close()
        with self._changed:
            self._changed.notify_all()

    def _welcome(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setblocking(True)
        with self._changed:
            if self._ending:
                connection.close()
                return
            self._app = None
            self._connections.add(connection.fileno())
        threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _advertise(self, client_ports: dict[int, int]) -> dict[int, int]:
        """Put a proxy before each broker; its port is what clients are told."""
        if self._proxy is not None:
            self._proxy.stop()
        self._proxy = ProxyServer({broker: (0, port) for broker, port in client_ports.items()})
        self._proxy.start()
        return self._proxy.ports

    @property
    def _proxies(self) -> ProxyServer:
        if self._proxy is None:
            raise ClusterError("The cluster has not started.")
        return self._proxy

    def _idle_for_too_long(self) -> bool:
        with self._changed:
            if self._app and not is_running(int(self._app["pid"]), float(self._app["created"])):
                return True
            limit = IDLE_S if self._keep else ABANDONED_S
            return not self._connections and time.monotonic() - self._idle_since > limit

    def _end(self) -> None:
        """Let `serve` return. Called from signal handlers too, so it takes no lock."""
        self._ending = True
        with suppress(OSError):
            os.write(self._wake_write, b"x")

    def _start_nodes(self) -> None:
        try:
            self._nodes.start(self._say)
        except RunStopped:
            self._failure = ClusterError("The cluster was taken down while it was starting.")
        except ClusterError as error:
            self._failure = error
        except Exception as error:  # whatever it is, whoever waits must hear of it
            self._failure = ClusterError(f"The cluster host failed: {error!r}.")
            raise
        finally:
            with self._changed:
                self._ready = self._failure is None
                self._changed.notify_all()

    def _say(self, text: str) -> None:
        with self._changed:
            self._progress.append(text)
            self._changed.notify_all()

    def _child_ended(self, child: Child) -> None:
        self._nodes.ended(child)

    def _guardian_lost(self) -> None:
        with self._changed:
            self._failure = ClusterError("The guardian of the brokers was killed, and the brokers with it.")
            self._changed.notify_all()
        self._end()

    def _converse(self, connection: socket.socket) -> None:
        """Read requests until the connection ends; a second thread answers them.

        So the end is noticed at once, also while an answer is being worked on.
        """
        number = connection.fileno()
        requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        answering = threading.Thread(
            target=self._answer_all, args=(requests, connection, number), name=f"answer {number}", daemon=True
        )
        answering.start()
        with connection, connection.makefile("rb") as lines:
            with suppress(OSError):
                for line in lines:
                    requests.put(line)
            requests.put(None)
            self._left(number)
            answering.join()  # until then nobody else may get this descriptor's number

    def _answer_all(self, requests: queue.SimpleQueue[bytes | None], connection: socket.socket, number: int) -> None:
        def send(message: dict[str, object]) -> None:
            connection.sendall(json.dumps(message).encode() + b"\n")

        # Whoever was there may be gone, or not speak our language: the same end.
        with suppress(OSError, ValueError, KeyError, TypeError):
            while (line := requests.get()) is not None:
                send(self._answer(json.loads(line), number, send))
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def _left(self, number: int) -> None:
        with self._changed:
            self._connections.discard(number)
            self._idle_since = time.monotonic()
            held = self._lab is not None and self._lab[0] == number
            ending = not self._connections and not self._keep
            if ending:
                self._end()  # whatever is broken goes down with the rest
        if held and not ending:
            self._release_lab()

    def _answer(
        self, request: dict[str, Any], number: int, send: Callable[[dict[str, object]], None]
    ) -> dict[str, Any]:
        try:
            if self._ending:
                raise self._failure or RunStopped()
            return {"ok": True, **(self._do(request, number, send) or {})}
        except BrokerDidNotStart as error:
            return {"ok": False, "error": error.message, "way_out": error.way_out, "log_tail": list(error.log_tail)}
        except ClusterError as error:
            return {"ok": False, "error": error.message, "way_out": error.way_out, "log_tail": []}
        except RunStopped:
            return {"ok": False, "error": "The cluster is being taken down.", "way_out": "", "log_tail": []}

    def _do(
        self, request: dict[str, Any], number: int, send: Callable[[dict[str, object]], None]
    ) -> dict[str, object] | None:
        match request["do"]:
            case "ready":
                self._await_ready(send)
                return {
                    "version": self._installation.kafka_version,
                    "ports": {str(broker): port for broker, port in self._proxies.ports.items()},
                    "internal_ports": {str(broker): port for broker, port in self._nodes.internal_ports.items()},
                }
            case "status":
                return {
                    "nonce": self._nonce,
                    "keep": self._keep,
                    "ready": self._ready,
                    "version": self._installation.kafka_version,
                    "java": self._installation.java.version,
                    "folder": str(self._data),
                    "lab_pid": None if self._lab is None else self._lab[1],
                    "nodes": [asdict(node) for node in self._nodes.status()],
                }
            case "pause" | "resume" | "kill" | "restart" as verb:
                getattr(self._nodes, verb)(int(request["node"]))
                return None
            case "add_rule":
                return {"rule": self._proxies.add_rule(parse_rule(request["rule"]))}
            case "rule_counts":
                return {"counts": {str(rule): asdict(counts) for rule, counts in self._proxies.counters().items()}}
            case "clear_rules":
                self._proxies.clear()
                return None
            case "begin_lab":
                self._begin_lab(number, int(request["pid"]))
                return None
            case "mend":
                self._proxies.clear(drop_held=True)  # so that no late frame lands after the final read
                return {"failures": self._nodes.mend()}
            case "end_lab":
                self._release_lab()
                return None
            case "keep":
                self._keep = True
                return None
            case "down":
                self._end()
                return None
            case unknown:
                raise ClusterError(f"The cluster host does not know {unknown!r}.")

    def _await_ready(self, send: Callable[[dict[str, object]], None]) -> None:
        told = 0
        while True:
            with self._changed:
                while not (self._ready or self._failure or self._ending or len(self._progress) > told):
                    self._changed.wait()
                news, told = self._progress[told:], len(self._progress)
                ready, failure = self._ready, self._failure
            for text in news:
                send({"progress": text})
            if failure is not None:
                self._end()
                raise failure
            if ready:
                return
            if self._ending:
                raise RunStopped

    def _begin_lab(self, number: int, pid: int) -> None:
        with self._changed:
            free = self._changed.wait_for(lambda: self._lab is None and not self._mending, timeout=60)
            if not free:
                holder = self._lab[1] if self._lab else "an earlier run"
                raise ClusterError(f"Another lab (process {holder}) is using the cluster.", "Wait for it to end.")
            self._lab = (number, pid)
        failures = self._nodes.mend()  # what died while nobody looked
        if failures:
            with self._changed:
                self._lab = None
                self._changed.notify_all()
            raise ClusterError(failures[0], "Run `kafkaprep cluster down`, then try again.")
        self._nodes.forget_deaths()

    def _release_lab(self) -> None:
        """Give the cluster back at once; what is still broken is mended behind the scenes.

        The next lab has to wait for that in `begin_lab`.
        """
        if self._proxy is not None:
            self._proxy.clear(drop_held=True)
        with self._changed:
            self._lab = None
            self._mending = True
        threading.Thread(target=self._mend, name="mend", daemon=True).start()

    def _mend(self) -> None:
        try:
            with suppress(RunStopped):
                for failure in self._nodes.mend():
                    print(failure, file=sys.stderr, flush=True)  # to host.log
        finally:
            with self._changed:
                self._mending = False
                self._changed.notify_all()


def _installation(record: dict[str, Any]) -> Installation:
    java = record["java"]
    archive = record["archive"]
    return Installation(
        kafka_version=record["kafka_version"],
        java=Java(Path(java["path"]), java["version"], java["origin"], java["build"]),
        classpath=tuple(Path(jar) for jar in record["classpath"]),
        jvm_flags=tuple(record["jvm_flags"]),
        origin=record["origin"],
        archive=None if archive is None else Path(archive),
    )


def _take_over(lock: FileLock) -> bool:
    """Take the lock of the state folder; False if another host serves there. One that is going down is waited for."""
    deadline = time.monotonic() + _TAKE_OVER_S
    while True:
        try:
            lock.acquire(timeout=0.1)
            return True
        except Timeout:
            if running_host() is not None or time.monotonic() > deadline:
                return False


def main() -> int:
    spec_file = Path(sys.argv[1])
    spec = json.loads(spec_file.read_text())
    spec_file.unlink(missing_ok=True)
    folder = spec_file.parent
    lock = FileLock(folder / "lock")
    if not _take_over(lock):
        return LOCK_HELD
    for left_behind in folder.glob("*.sock"):
        left_behind.unlink(missing_ok=True)
    address = Path(spec["socket"])
    if address.parent != folder:
        address.parent.mkdir(mode=0o700)
        (address.parent / MARKER_FILE).write_text(spec["nonce"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(address))
        address.chmod(0o600)
        listener.listen(16)
        listener.setblocking(False)
        host = Host(spec, folder)
        record = {
            "pid": os.getpid(),
            "created": started_at(os.getpid()),
            "nonce": spec["nonce"],
            "socket": str(address),
        }
        draft = folder / "host.part"
        draft.write_text(json.dumps(record))
        draft.replace(folder / "host.json")
        try:
            host.serve(listener)
        finally:
            (folder / "host.json").unlink(missing_ok=True)
            address.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
