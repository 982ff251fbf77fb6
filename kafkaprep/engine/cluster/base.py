"""What a lab may ask of a cluster; every backend answers this protocol.

A backend declares its capabilities; a lab that needs one it lacks is refused with the reason before anything starts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from kafkaprep.model.lab import Capability

if TYPE_CHECKING:
    from kafkaprep.engine.cluster.inspect import Inspector

Progress = Callable[[str], None]


class NodeState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One process of the cluster. `note` explains a death that no one asked for, `death` what a kill has done."""

    id: int
    role: str  # controller | broker
    state: NodeState
    pid: int | None
    port: int
    note: str = ""
    death: str = "the process is gone"


@runtime_checkable
class Proxied(Protocol):
    """A cluster with a proxy before each broker (Capability.PROXY). A rule is a document of proxy.rules."""

    def add_rule(self, rule: Mapping[str, object]) -> int:
        """The rule's id; it is in force for every frame from now on. Raises ClusterError if it makes no sense."""
        ...

    def rule_counts(self) -> dict[int, dict[str, int]]:
        """What each rule has done so far: matched, acted, dropped, delayed, held, released, closed."""
        ...

    def clear_rules(self) -> None:
        """End all rules; what they hold is let go."""


class Cluster(Protocol):
    """A Kafka cluster a lab runs on. Broker ids are Kafka's node ids.

    `close` leaves the cluster as it was found: one that we started is taken down, one that stood stays up.
    """

    backend: str
    version: str
    view: str  # what a run on it shows less than a real cluster; empty for one that is real
    capabilities: frozenset[Capability]
    bootstrap: str
    direct_bootstrap: str  # past any proxy: for the final reader and for observation
    brokers: tuple[int, ...]
    client_config: Path | None  # a .properties file that every client reads: how to log in

    def inspector(self, stop: threading.Event) -> Inspector:
        """A new inspector of this cluster, once it has started."""
        ...

    def start(self, progress: Progress, stop: threading.Event) -> None:
        """Attach, starting what is needed; returns when every broker answers. Raises ClusterError."""

    def status(self) -> tuple[NodeStatus, ...]: ...

    def pause(self, node: int) -> None:
        """Freeze the process (SIGSTOP); returns when the system reports it stopped."""

    def resume(self, node: int) -> None: ...

    def kill(self, node: int) -> None:
        """SIGKILL; returns when the process is gone. Its page cache, and so its log, survives."""

    def restart(self, node: int) -> None:
        """Start a dead node again on its old log; returns when it listens."""

    def mend(self) -> None:
        """Resume what is paused and restart what is dead; returns when all listens. Raises ClusterError."""

    def begin_lab(self) -> None:
        """Claim the cluster for one lab. Raises ClusterError if another lab has it."""

    def end_lab(self) -> None:
        """Give it back at once; what is still paused or dead is mended before the next lab begins."""

    def close(self) -> None: ...
