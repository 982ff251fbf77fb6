"""The default backend: real Kafka on this machine, under the cluster host.

Attaches to a running host or starts one. The connection is the claim: when it ends, the host lifts our faults, and a
host that we started goes down with us unless it was told to stay.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kafkaprep import paths
from kafkaprep.engine.cluster import install
from kafkaprep.engine.cluster.base import NodeState, NodeStatus, Progress
from kafkaprep.engine.cluster.inspect import Inspector
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.process import Swept, ask_to_end, is_running, start_detached, started_at, sweep
from kafkaprep.engine.terminal_text import log_tail
from kafkaprep.engine.waiting import WaitTimeout, wait_until
from kafkaprep.errors import BrokerDidNotStart, ClusterError, RunStopped
from kafkaprep.model.lab import Capability

HOST_START_TIMEOUT_S = 20.0
NEEDED_DISK_BYTES = 500_000_000
_ANSWER_TIMEOUT_S = 90.0
_LONGEST_SOCKET_PATH = 100  # macOS allows 104 bytes, Linux 108


def state_folder() -> Path:
    return paths.writable("state", "cluster")


def journals_folder() -> Path:
    return paths.writable("state", "journals")


def sweep_leftovers() -> Swept:
    """End and delete what a killed kafkaprep left behind; what lives under a living guardian stays."""
    return sweep(journals_folder())


class HostConnection:
    """One conversation with the cluster host; safe to use from several threads. Closing it ends every claim."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(_ANSWER_TIMEOUT_S)
        self._answers = self._socket.makefile("rb")
        self._lock = threading.Lock()

    def ask(self, verb: str, progress: Callable[[str], None] | None = None, **fields: object) -> dict[str, Any]:
        """Send one request and return its answer. Raises ClusterError with the host's words, or if it is gone."""
        with self._lock:
            try:
                self._socket.sendall(json.dumps({"do": verb, **fields}).encode() + b"\n")
                while True:
                    line = self._answers.readline()
                    if not line:
                        raise ClusterError("The cluster host ended.", "Run the command again to start a new cluster.")
                    answer: dict[str, Any] = json.loads(line)
                    if "progress" not in answer:
                        break
                    if progress is not None:
                        progress(str(answer["progress"]))
            except OSError as error:
                raise ClusterError(
                    f"The cluster host does not answer ({error}).", "Run `kafkaprep cluster down`, then try again."
                ) from error
        if answer["ok"]:
            return answer
        if answer["log_tail"]:
            raise BrokerDidNotStart(answer["error"], tuple(answer["log_tail"]), answer["way_out"])
        raise ClusterError(answer["error"], answer["way_out"])

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._answers.close()
        self._socket.close()


def _check_space(folder: Path) -> None:
    """Refuse to start where the brokers would fill the disk. Raises ClusterError."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED_DISK_BYTES:
        raise ClusterError(
            f"{folder} has {free / 1e6:.0f} MB free; the cluster needs {NEEDED_DISK_BYTES / 1e6:.0f} MB.",
            "Free some, or set KAFKAPREP_STATE_DIR to a folder with more.",
        )


def running_host() -> dict[str, Any] | None:
    """The record of the living host (pid, created, nonce, socket), or None."""
    try:
        record: dict[str, Any] = json.loads((state_folder() / "host.json").read_text())
        return record if is_running(int(record["pid"]), float(record["created"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def connect() -> HostConnection | None:
    """A connection to the living host, or None if there is none."""
    record = running_host()
    if record is None:
        return None
    try:
        return HostConnection(str(record["socket"]))
    except OSError:
        return None


def _attach() -> HostConnection | None:
    """A connection to a host that answers: one that is going down may still accept it."""
    connection = connect()
    if connection is not None:
        try:
            connection.ask("status")
        except ClusterError:
            connection.close()
            return None
    return connection


def _socket_path(folder: Path, nonce: str) -> Path:
    path = folder / f"{nonce}.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    return Path(tempfile.gettempdir()) / f"kafkaprep-{nonce}" / "host.sock"


def start_host(installation: Installation, *, keep: bool, stop: threading.Event) -> HostConnection:
    """Start the detached host and connect to it. Raises ClusterError.

    Of two that start at once, one gets the lock; the loser connects to the winner.
    """
    folder = state_folder()
    nonce = secrets.token_hex(8)
    spec_file = folder / f"spec-{nonce}.json"
    spec = {
        "nonce": nonce,
        "keep": keep,
        "app": {"pid": os.getpid(), "created": started_at(os.getpid())},
        "socket": str(_socket_path(folder, nonce)),
        "journals": str(journals_folder()),
        "installation": asdict(installation),
    }
    spec_file.write_text(json.dumps(spec, default=str))
    log = folder / "host.log"
    log.write_bytes(b"")
    pid = start_detached([sys.executable, "-m", "kafkaprep.engine.cluster.host", str(spec_file)], cwd=folder, log=log)
    created = started_at(pid)

    def connected() -> HostConnection | None:
        connection = connect()
        if connection is None and not is_running(pid, created) and running_host() is None:
            raise BrokerDidNotStart(
                "The cluster host ended at once.", log_tail(log), "`kafkaprep doctor` checks what it needs."
            )
        return connection

    try:
        found = wait_until(connected, HOST_START_TIMEOUT_S, stop, "The cluster host does not answer.")
    except WaitTimeout as error:
        ask_to_end(pid, created, 5)
        raise BrokerDidNotStart(error.message, log_tail(log)) from error
    except RunStopped:
        ask_to_end(pid, created, 5)
        raise
    finally:
        spec_file.unlink(missing_ok=True)  # the host has read it, or will never
    assert found is not None
    return found


class LocalCluster:
    """`Cluster` over the cluster host. See base.Cluster for what each method promises."""

    backend = "local"
    view = ""
    client_config: Path | None = None
    capabilities = frozenset(
        {Capability.KILL, Capability.PAUSE, Capability.REPLICATION, Capability.TRANSACTIONS, Capability.PROXY}
    )

    def __init__(self, installation: Installation | None = None, *, keep: bool = False) -> None:
        self._installation = installation
        self._keep = keep
        self._connection: HostConnection | None = None
        self.version = ""
        self.bootstrap = ""
        self.direct_bootstrap = ""
        self.brokers: tuple[int, ...] = ()

    def start(self, progress: Progress, stop: threading.Event) -> None:
        connection = _attach()
        if connection is None:
            swept = sweep_leftovers()
            if swept.processes:
                progress(f"Swept {swept.processes} processes that a killed kafkaprep had left behind.")
            found = self._installation or install.installation()
            if found is None:
                raise ClusterError("Kafka is not installed.", "Run `kafkaprep cluster install`.")
            _check_space(state_folder())
            progress("Starting 1 controller and 3 brokers")
            connection = start_host(found, keep=self._keep, stop=stop)
        self._connection = connection
        if self._keep:
            connection.ask("keep")
        # In a thread, so that Ctrl-C is noticed while the host is busy starting.
        outcome: list[dict[str, Any] | ClusterError] = []

        def ask() -> None:
            try:
                outcome.append(connection.ask("ready", progress))
            except ClusterError as error:
                outcome.append(error)

        asking = threading.Thread(target=ask, name="await cluster", daemon=True)
        asking.start()
        wait_until(lambda: not asking.is_alive(), _ANSWER_TIMEOUT_S + 5, stop, "The cluster host does not answer.")
        answer = outcome[0]
        if isinstance(answer, ClusterError):
            raise answer
        ports = {int(broker): int(port) for broker, port in answer["ports"].items()}
        self.version = str(answer["version"])
        self.brokers = tuple(sorted(ports))
        self.bootstrap = ",".join(f"127.0.0.1:{ports[broker]}" for broker in self.brokers)
        internal = {int(broker): int(port) for broker, port in answer["internal_ports"].items()}
        # Metadata names the addresses of the listener it was asked on, so this way never meets a proxy.
        self.direct_bootstrap = ",".join(f"127.0.0.1:{internal[broker]}" for broker in self.brokers)

    def inspector(self, stop: threading.Event) -> Inspector:
        return Inspector(self.direct_bootstrap, stop)

    def status(self) -> tuple[NodeStatus, ...]:
        return tuple(NodeStatus(**{**node, "state": NodeState(node["state"])}) for node in self._ask("status")["nodes"])

    def details(self) -> dict[str, Any]:
        """The host's own account: nonce, folder, Java, who holds it."""
        return self._ask("status")

    def pause(self, node: int) -> None:
        self._ask("pause", node=node)

    def resume(self, node: int) -> None:
        self._ask("resume", node=node)

    def kill(self, node: int) -> None:
        self._ask("kill", node=node)

    def restart(self, node: int) -> None:
        self._ask("restart", node=node)

    def begin_lab(self) -> None:
        self._ask("begin_lab", pid=os.getpid())

    def add_rule(self, rule: Mapping[str, object]) -> int:
        return int(self._ask("add_rule", rule=dict(rule))["rule"])

    def rule_counts(self) -> dict[int, dict[str, int]]:
        return {int(rule): dict(counts) for rule, counts in self._ask("rule_counts")["counts"].items()}

    def clear_rules(self) -> None:
        self._ask("clear_rules")

    def mend(self) -> None:
        failures = self._ask("mend")["failures"]
        if failures:
            raise ClusterError(str(failures[0]), "Run `kafkaprep cluster down`, then try again.")

    def end_lab(self) -> None:
        self._ask("end_lab")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, verb: str, **fields: object) -> dict[str, Any]:
        if self._connection is None:
            raise ClusterError("Not attached to a cluster.")
        return self._connection.ask(verb, None, **fields)


def take_down(timeout_s: float = 15.0) -> bool:
    """End the running host and its cluster; False if none ran. Raises ClusterError if it will not end."""
    record = running_host()
    if record is None:
        sweep_leftovers()
        return False
    pid, created = int(record["pid"]), float(record["created"])
    connection = connect()
    if connection is not None:
        with suppress(ClusterError):
            connection.ask("down")
        connection.close()
    with suppress(WaitTimeout):
        wait_until(lambda: not is_running(pid, created), timeout_s, threading.Event(), "")
    if not ask_to_end(pid, created, timeout_s):
        raise ClusterError(f"The cluster host (process {pid}) does not end.", f"End it with `kill -9 {pid}`.")
    sweep_leftovers()
    return True
