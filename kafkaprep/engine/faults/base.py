"""What a step of a script is, and all it may touch.

A step arms (does its act), is observed (its effect was seen, in words for the report) and can be undone. The script
registers it for undoing before it arms. A step whose effect is not seen within `deadline_s` voids the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kafkaprep.engine.cluster.base import Cluster
from kafkaprep.engine.cluster.inspect import Inspector, PartitionState
from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.traffic.actors import ConsumerActor, ProducerActor
from kafkaprep.errors import RunVoid
from kafkaprep.model.history import EventName, FaultRecord, RunPlan


@dataclass(frozen=True, slots=True)
class SpoilRule:
    """A proxy rule of this run that has not been seen to fire yet. `number` is the proxy's id of it."""

    number: int
    name: str
    api: str
    effect: str


@dataclass(slots=True)
class LiveRun:
    """A run in progress: what the steps act on and what they leave behind.

    `leader` is the broker that the word means: the one that led partition 0 when it was first named, until a step
    saw a new leader. So `pause: leader` and a later `kill: leader` hit the same broker even if the controller has
    fenced it meanwhile.

    A fresh consumer takes the place of a dead one in `consumers`; the dead one goes to `buried`.
    """

    plan: RunPlan
    cluster: Cluster
    inspector: Inspector
    producers: Sequence[ProducerActor]
    consumers: list[ConsumerActor]
    recorder: Recorder
    stop: threading.Event
    partitions: tuple[PartitionState, ...]
    asked_to_send: int = 0
    leader: int | None = None
    faults: list[FaultRecord] = field(default_factory=list)
    rules: list[SpoilRule] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)  # nodes a step paused or killed and nothing has mended
    start_consumer: Callable[[], ConsumerActor] | None = None  # starts the next process in the first one's place
    buried: list[ConsumerActor] = field(default_factory=list)

    @property
    def all_consumers(self) -> list[ConsumerActor]:
        """Every consumer process of the run, dead or alive."""
        return [*self.buried, *self.consumers]

    def named_leader(self) -> int:
        if self.leader is None:
            self.leader = self.partitions[0].leader if not self.faults else self._current_leader()
        if self.leader is None:
            raise RunVoid("leader", "partition 0 has no leader")
        return self.leader

    def _current_leader(self) -> int | None:
        states = self.inspector.partitions(self.plan.topic)
        return states[0].leader if states else None

    def targets(self, word: str) -> tuple[int, ...]:
        """The node ids that a target word means at this moment."""
        if word == "leader":
            return (self.named_leader(),)
        if word == "followers":
            leader = self.named_leader()
            return tuple(broker for broker in self.partitions[0].replicas if broker != leader)
        if word == "controller":
            return tuple(node.id for node in self.cluster.status() if node.role == "controller")
        return (int(word.removeprefix("broker ")),)

    def client(self, word: str) -> ProducerActor | ConsumerActor | None:
        """The first consumer or producer, if that is what the target word means."""
        if word == "consumer":
            return self.consumers[0]
        return self.producers[0] if word == "producer" else None

    def took_hold(self, name: str, target: str, broker: int | None, observed: str) -> None:
        """Keep and announce a fault whose effect was seen."""
        record = FaultRecord(name, target, broker, self.recorder.now(), observed)
        self.faults.append(record)
        self.recorder.record(EventName.FAULT, **record.as_dict())


class Step(Protocol):
    """One verb of a script. `observed` answers None as long as the effect has not been seen."""

    deadline_s: float

    def arm(self, run: LiveRun) -> None: ...

    def observed(self, run: LiveRun) -> str | None: ...

    def undo(self, run: LiveRun) -> None: ...

    def waiting_for(self, run: LiveRun) -> str:
        """What has not been seen yet, for the reason of a void run."""
        ...
