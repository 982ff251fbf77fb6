"""The JVMs of the local cluster: one controller and its brokers, by node id.

Owns ports, property files, log folders and the life of each process. Knows nothing of topics or clients.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kafkaprep.engine.cluster.base import NodeState, NodeStatus
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.cluster.java import jvm_environment
from kafkaprep.engine.cluster.ports import PortBlock, is_listening
from kafkaprep.engine.cluster.properties import (
    CONTROLLER_ID,
    broker_properties,
    controller_properties,
    jvm_arguments,
    log4j2_text,
    properties_text,
    server_command,
)
from kafkaprep.engine.cluster.storage import bootstrap_for, lay_storage, random_id
from kafkaprep.engine.process import Child, Guardian, listens
from kafkaprep.engine.terminal_text import log_tail
from kafkaprep.engine.waiting import WaitTimeout, wait_until
from kafkaprep.errors import BrokerDidNotStart, ClusterError, RunStopped

BROKERS = (1, 2, 3)
START_TIMEOUT_S = 60.0
_SIGNAL_TIMEOUT_S = 5.0
_PORT_ATTEMPTS = 3
_WAYS_OUT = "`kafkaprep doctor` checks memory, disk and Java."


@dataclass(slots=True)
class _Node:
    id: int
    port: int  # what `is_listening` probes: CONTROLLER or CLIENT
    folder: Path
    child: Child | None = None
    listening: bool = False
    asked_to_die: bool = False
    note: str = ""
    starts: int = 0
    changing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def name(self) -> str:
        return "controller" if self.id == CONTROLLER_ID else f"broker {self.id}"

    @property
    def state(self) -> NodeState:
        if self.child is None or not self.child.alive:
            return NodeState.DEAD
        if self.child.paused:
            return NodeState.PAUSED
        return NodeState.RUNNING if self.listening else NodeState.STARTING


Advertise = Callable[[dict[int, int]], dict[int, int]]  # brokers' client ports -> the ports that clients are told


class Nodes:
    """`start` brings all four up at once; then each can be paused, resumed, killed and restarted.

    `advertise` is asked for each broker's public port before the brokers start, and again after a lost port.
    """

    def __init__(
        self, installation: Installation, folder: Path, nonce: str, guardian: Guardian, advertise: Advertise
    ) -> None:
        self._advertise = advertise
        self.internal_ports: dict[int, int] = {}  # where each broker answers with no proxy between: replication's
        self._installation = installation
        self._folder = folder
        self._log4j2 = folder / "log4j2.properties"
        self._nonce = nonce
        self._guardian = guardian
        self._nodes: dict[int, _Node] = {}
        self._stop = threading.Event()
        self._spawning = threading.Lock()

    @property
    def client_ports(self) -> dict[int, int]:
        return {broker: self._nodes[broker].port for broker in BROKERS}

    def start(self, progress: Callable[[str], None]) -> None:
        """Start every node and wait until each accepts connections.

        A port lost to somebody else between our release and the JVM's bind is retried with a new block, three times
        in all. Raises BrokerDidNotStart.
        """
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_all(progress)
                return
            except BrokerDidNotStart as error:
                lost_port = any("Address already in use" in line for line in error.log_tail)
                self._kill_all()
                if not lost_port or attempt == _PORT_ATTEMPTS or self._stop.is_set():
                    raise
                progress("A port was taken in between; trying others.")

    def _start_all(self, progress: Callable[[str], None]) -> None:
        block = PortBlock(1 + 2 * len(BROKERS))
        controller_port, *rest = block.ports
        cluster_id = random_id()
        folder = self._folder / f"nodes-{len(list(self._folder.glob('nodes-*')))}"
        self._nodes = {CONTROLLER_ID: _Node(CONTROLLER_ID, controller_port, folder / str(CONTROLLER_ID))}
        texts = {CONTROLLER_ID: controller_properties(folder=folder / str(CONTROLLER_ID) / "log", port=controller_port)}
        self.internal_ports = dict(zip(BROKERS, rest[: len(BROKERS)], strict=True))
        client_ports = dict(zip(BROKERS, rest[len(BROKERS) :], strict=True))
        advertised = self._advertise(client_ports)
        for broker in BROKERS:
            self._nodes[broker] = _Node(broker, client_ports[broker], folder / str(broker))
            texts[broker] = broker_properties(
                broker,
                folder=folder / str(broker) / "log",
                controller_port=controller_port,
                internal_port=self.internal_ports[broker],
                client_port=client_ports[broker],
                advertised_client_port=advertised[broker],
            )
        bootstrap = bootstrap_for(self._installation.kafka_version, self._java_command)
        for node in self._nodes.values():
            node.folder.mkdir(mode=0o700, parents=True)
            (node.folder / "server.properties").write_text(properties_text(texts[node.id]), encoding="ascii")
            lay_storage(node.folder / "log", node.id, cluster_id, bootstrap if node.id == CONTROLLER_ID else None)
        self._log4j2.write_text(log4j2_text(), encoding="ascii")
        block.release()
        for node in self._nodes.values():
            self._spawn(node)
        for node in self._nodes.values():
            self._await_listening(node)
            progress(f"{node.name} listens")

    def _spawn(self, node: _Node) -> None:
        with self._spawning:
            if self._stop.is_set():
                raise RunStopped
            node.listening = False
            node.asked_to_die = False
            node.starts += 1
            node.child = self._guardian.spawn(
                node.name,
                server_command(self._installation, self._nonce, node.folder / "server.properties", log4j2=self._log4j2),
                cwd=node.folder,
                stderr=node.log,
                env=jvm_environment(),
            )

    def _await_listening(self, node: _Node) -> None:
        def ready() -> bool:
            child = node.child
            if child is None or not child.alive:
                raise self._did_not_start(node)
            return is_listening(node.port) and listens(child.pid, node.port)

        try:
            wait_until(ready, START_TIMEOUT_S, self._stop, f"{node.name} did not listen within {START_TIMEOUT_S:g} s.")
        except WaitTimeout as error:
            raise BrokerDidNotStart(error.message, log_tail(node.log), _WAYS_OUT) from error
        node.listening = True

    def _did_not_start(self, node: _Node) -> BrokerDidNotStart:
        code = None if node.child is None else node.child.returncode
        if code == -signal.SIGKILL:
            reason = "was killed by the system, most likely for lack of memory"
        elif code is not None and code < 0:
            reason = f"was ended by {signal.Signals(-code).name}"
        else:
            reason = f"ended with code {code}"
        return BrokerDidNotStart(f"{node.name.capitalize()} {reason} while starting.", log_tail(node.log), _WAYS_OUT)

    def _java_command(self) -> list[str]:
        arguments = jvm_arguments(self._installation, self._nonce, log4j2=self._log4j2)
        return [str(self._installation.java.path), *arguments]

    def status(self) -> tuple[NodeStatus, ...]:
        return tuple(
            NodeStatus(
                id=node.id,
                role="controller" if node.id == CONTROLLER_ID else "broker",
                state=node.state,
                pid=node.child.pid if node.child is not None and node.child.alive else None,
                port=node.port,
                note=node.note,
            )
            for node in self._nodes.values()
        )

    def ended(self, child: Child) -> None:
        """Told by the guardian that a process ended: note it unless we asked for it."""
        for node in self._nodes.values():
            if node.child is child and not node.asked_to_die:
                by_system = child.returncode == -signal.SIGKILL
                cause = "was killed by the system" if by_system else f"ended by itself (code {child.returncode})"
                node.note = f"{node.name} {cause}"

    def pause(self, node_id: int) -> None:
        node, child = self._living(node_id)
        with node.changing:
            child.signal(signal.SIGSTOP)
            self._await(lambda: child.paused, f"{node.name} does not stop on SIGSTOP.")

    def resume(self, node_id: int) -> None:
        node, child = self._living(node_id)
        with node.changing:
            child.signal(signal.SIGCONT)
            self._await(lambda: not child.paused, f"{node.name} does not go on after SIGCONT.")

    def kill(self, node_id: int) -> None:
        node, child = self._living(node_id)
        with node.changing:
            node.asked_to_die = True
            child.signal(signal.SIGKILL)
            self._await(lambda: not child.alive, f"{node.name} does not die on SIGKILL.")

    def restart(self, node_id: int) -> None:
        """Start a dead node on its old log and wait until it listens. Raises BrokerDidNotStart."""
        node = self._known(node_id)
        with node.changing:
            if node.state is NodeState.DEAD:
                self._spawn(node)
            self._await_listening(node)

    def mend(self) -> list[str]:
        """Resume what is paused, restart what is dead; what could not be mended, in words."""
        failures: list[str] = []
        for node in self._nodes.values():
            with suppress(ClusterError):
                if node.state is NodeState.PAUSED:
                    self.resume(node.id)
        dead = [node for node in self._nodes.values() if node.state is NodeState.DEAD]
        for node in dead:
            with suppress(ClusterError):
                self._spawn(node)
        for node in dead:
            try:
                self._await_listening(node)
            except ClusterError as error:
                failures.append(str(error))
        return failures

    def forget_deaths(self) -> None:
        """Drop the notes of deaths that no one asked for; a restart keeps them, so that a run hears of them."""
        for node in self._nodes.values():
            node.note = ""

    def end(self) -> None:
        """End every JVM at once, for good; their data is disposable."""
        with self._spawning:  # so that no thread starts another one behind our back
            self._stop.set()
        self._kill_all()

    def _kill_all(self) -> None:
        for node in self._nodes.values():
            node.asked_to_die = True
            if node.child is not None:
                with suppress(ClusterError):
                    node.child.signal(signal.SIGKILL)
        for node in self._nodes.values():
            if node.child is not None:
                node.child.wait(_SIGNAL_TIMEOUT_S)

    def _await(self, condition: Callable[[], bool], message: str) -> None:
        try:
            wait_until(condition, _SIGNAL_TIMEOUT_S, self._stop, message)
        except WaitTimeout as error:
            raise ClusterError(error.message) from error

    def _known(self, node_id: int) -> _Node:
        if node_id not in self._nodes:
            raise ClusterError(f"There is no node {node_id}.")
        return self._nodes[node_id]

    def _living(self, node_id: int) -> tuple[_Node, Child]:
        node = self._known(node_id)
        if node.child is None or not node.child.alive:
            raise ClusterError(f"{node.name.capitalize()} is not running.")
        return node, node.child
