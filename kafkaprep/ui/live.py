"""A run as it happens: events in, at any rate; pictures of the moment out."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from kafkaprep.engine.cluster.base import NodeStatus
from kafkaprep.engine.cluster.inspect import PartitionState
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.model.history import Event, EventName
from kafkaprep.model.lab import Lab

CLUSTER, PREPARE, HEAL, FINAL_READ, JUDGE = "cluster", "prepare", "heal", "final read", "judge"
_MEANING = {
    CLUSTER: "1 controller and 3 brokers answer",
    PREPARE: "a fresh topic, producer and consumer",
    HEAL: "faults lifted, brokers back, ISR full",
    FINAL_READ: "the log is read to its end",
    JUDGE: "the three ledgers are compared",
}


class StepState(StrEnum):
    DUE = "due"
    NOW = "now"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepMark:
    """One line of the timeline. `said` is what was observed, or what the step is for while it is due."""

    text: str
    state: StepState = StepState.DUE
    at_s: float | None = None
    said: str = ""
    is_fault: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the run screen draws. `download` is done and total bytes while Kafka is being fetched."""

    steps: tuple[StepMark, ...]
    saying: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    nodes: tuple[NodeStatus, ...] = ()
    partitions: tuple[PartitionState, ...] = ()
    answered: bool = True  # whether the partitions are what a broker says now, or what one said last
    elapsed_s: float = 0.0
    void: str = ""
    download: tuple[int, int] | None = None


class Feed:
    """Takes what the engine tells, from any thread, and makes snapshots of it."""

    def __init__(self, lab: Lab) -> None:
        before = [StepMark(name, said=_MEANING[name]) for name in (CLUSTER, PREPARE)]
        after = [StepMark(name, said=_MEANING[name]) for name in (HEAL, FINAL_READ, JUDGE)]
        self._first = len(before)
        self._steps = [*before, *(StepMark(sanitise(str(step))) for step in lab.script), *after]
        self._picture = Snapshot((), counts={"planned": lab.traffic.messages})
        self._zero_s: float | None = None  # the run's zero on the monotonic clock
        self._lock = threading.Lock()
        self.changed = True
        self._now(0)

    def snapshot(self) -> Snapshot:
        """The picture now; `changed` is false until something else is told."""
        with self._lock:
            self.changed = False
            elapsed = 0.0 if self._zero_s is None else time.monotonic() - self._zero_s
            return replace(self._picture, steps=tuple(self._steps), elapsed_s=elapsed)

    def say(self, text: str) -> None:
        self._update(saying=sanitise(text), download=None)

    def fetched(self, text: str, done: int, total: int) -> None:
        self._update(saying=sanitise(text), download=(done, total))

    def nodes(self, nodes: Sequence[NodeStatus]) -> None:
        if tuple(nodes) != self._picture.nodes:
            self._update(nodes=tuple(nodes))

    def partitions(self, partitions: Sequence[PartitionState]) -> None:
        """What a broker says; nothing, if nobody answers: then the last word stays, marked as old."""
        picture = self._picture
        if not partitions and picture.partitions:
            if picture.answered:
                self._update(answered=False)
        elif tuple(partitions) != picture.partitions or not picture.answered:
            self._update(partitions=tuple(partitions), answered=True)

    def on_event(self, event: Event) -> None:
        """Called by the recorder, in the engine's threads."""
        fields = event.fields
        with self._lock:
            self.changed = True
            if self._zero_s is None:
                self._zero_s = time.monotonic() - event.at_s
            match event.event:
                case EventName.PHASE:
                    self._phase(str(fields["phase"]), event.at_s)
                case EventName.STEP_STARTED:
                    self._now(self._first + int(str(fields["index"])))
                case EventName.STEP_DONE:
                    self._done(self._first + int(str(fields["index"])), event.at_s, str(fields["observed"]))
                case EventName.FAULT:
                    self._fault(event)
                case EventName.COUNTS:
                    counts = {name: int(str(value)) for name, value in fields.items()}
                    self._picture = replace(self._picture, counts=counts)
                case EventName.VOID:
                    self._void(sanitise(f"{fields['fault']}: {fields['reason']}"), event.at_s)
                case EventName.NOTE:
                    self._picture = replace(self._picture, saying=sanitise(str(fields["text"])))
                case EventName.RUN_ENDED:
                    self._done(len(self._steps) - 2, event.at_s)
                    self._now(len(self._steps) - 1)
                case _:
                    pass

    def _update(self, **changes: object) -> None:
        with self._lock:
            self.changed = True
            self._picture = replace(self._picture, **changes)  # type: ignore[arg-type]

    def _phase(self, phase: str, at_s: float) -> None:
        end = len(self._steps)
        begun = {"prepare": 1, "traffic": self._first, "heal": end - 3, "final_read": end - 2}.get(phase)
        if begun is None:
            return
        for index in range(begun):
            if self._steps[index].state is StepState.NOW:
                self._done(index, at_s)
        if phase != "traffic":
            self._now(begun)
        self._picture = replace(self._picture, saying="")

    def _now(self, index: int) -> None:
        self._steps[index] = replace(self._steps[index], state=StepState.NOW)

    def _done(self, index: int, at_s: float, said: str = "") -> None:
        mark = self._steps[index]
        if mark.state is StepState.FAILED:
            return
        told = mark.said if mark.is_fault or not said else sanitise(said)
        self._steps[index] = replace(mark, state=StepState.DONE, at_s=at_s, said=told)

    def _fault(self, event: Event) -> None:
        fields = event.fields
        broker = fields["broker"]
        named = "" if broker is None or fields["name"] == "new leader" else f"broker {broker}: "
        said = sanitise(f"{named}{fields['observed']}")
        for index, mark in enumerate(self._steps):
            if mark.state is StepState.NOW:
                said = f"{mark.said}; {said}" if mark.is_fault else said
                self._steps[index] = replace(mark, said=said, is_fault=True, at_s=event.at_s)

    def _void(self, reason: str, at_s: float) -> None:
        self._picture = replace(self._picture, void=reason)
        for index, mark in enumerate(self._steps):
            if mark.state is StepState.NOW:
                self._steps[index] = replace(mark, state=StepState.FAILED, at_s=at_s, said=reason)
