"""What was planned and what happened, in the order it happened.

An event is one JSON object per line: {"at_s": seconds since the run began, "event": name, …fields}. The names
are the EventName members; the fields of each are listed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kafkaprep.model.settings import Settings


class EventName(StrEnum):
    RUN_STARTED = "run_started"  # cluster, client
    STEP_STARTED = "step_started"  # step, index
    STEP_DONE = "step_done"  # step, index, observed
    FAULT = "fault"  # name, target, broker, observed
    COUNTS = "counts"  # planned, sent, reported, ok, errors, delivered, processed; at the end also stored
    CLUSTER_STATE = "cluster_state"  # leader, isr, brokers
    PHASE = "phase"  # phase: start_cluster | traffic | heal | final_read | audit
    VOID = "void"  # fault, reason
    NOTE = "note"  # text
    CONSUMER_STARTED = "consumer_started"  # index: of its ledger; only those that were not there from the start
    RUN_ENDED = "run_ended"  # durations


@dataclass(frozen=True, slots=True)
class Event:
    at_s: float
    event: EventName
    fields: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        return {"at_s": round(self.at_s, 4), "event": str(self.event), **self.fields}


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault as it took hold. `at_s` counts from the start of the run."""

    name: str
    target: str
    broker: int | None
    at_s: float
    observed: str

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "target": self.target,
            "broker": self.broker,
            "at_s": round(self.at_s, 3),
            "observed": self.observed,
        }


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that decides a run, fixed before it starts and saved as plan.json.

    `nonce` (16 hex digits) is in every payload, so that nothing foreign is ever counted.
    """

    lab: str
    nonce: str
    seed: int
    messages: int
    keys: int
    partitions: int
    replication: int
    producers: int
    consumers: int
    message_bytes: int
    topic: str
    group: str
    settings: Settings
    promises: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]
    compacted: bool = False

    def as_dict(self) -> dict[str, object]:
        return {
            "format": 1,
            "lab": self.lab,
            "nonce": self.nonce,
            "seed": self.seed,
            "messages": self.messages,
            "keys": self.keys,
            "partitions": self.partitions,
            "replication": self.replication,
            "producers": self.producers,
            "consumers": self.consumers,
            "message_bytes": self.message_bytes,
            "topic": self.topic,
            "group": self.group,
            "settings": self.settings.as_dict(),
            "promises": list(self.promises),
            "steps": [list(step) for step in self.steps],
            "compacted": self.compacted,
        }
