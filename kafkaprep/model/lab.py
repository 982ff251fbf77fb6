"""What a lab file says, once read: the design of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Outcome, Promise

# What the paragraphs under `why` may name in braces: this run's own numbers.
WHY_NUMBERS = {
    "planned": "messages planned",
    "sent": "messages handed to the client",
    "reported": "messages reported delivered without error",
    "acked": "messages acknowledged by a broker",
    "failed": "messages whose outcome was reported as failed",
    "in_log": "messages found in the log",
    "missing": "messages reported delivered that are in no log",
    "missing_ids": "their ids, as ranges",
    "lost": "acknowledged messages that are in no log",
    "lost_ids": "their ids, as ranges",
    "reused": "offsets that were given to one message and now hold another",
    "duplicated": "messages that are in the log more than once",
    "processed": "messages the handler finished",
    "skipped": "messages in the log that the group has passed over without processing them",
    "skipped_ids": "their ids, as ranges",
    "twice": "messages the handler finished more than once",
    "twice_ids": "their ids, as ranges",
    "calls": "how often the handler finished",
    "effects": "rows in the sink",
    "effects_twice": "messages with more than one row in the sink",
    "acks": "the acks setting of the run",
    "min_isr": "the min.insync.replicas setting of the run",
    "commit": "the application's commit rule",
    "sink": "the application's sink rule",
    "paused": "the node paused first",
    "paused_at": "when, in seconds since the run began",
    "killed": "the node killed first",
    "killed_at": "when, in seconds since the run began",
    "new_leader": "the broker that led afterwards",
    "dropped_at": "when the proxy swallowed a frame, in seconds since the run began",
    "idempotence": "the enable.idempotence setting of the run",
    "crashed_at": "when the consumer was killed, in seconds since the run began",
    "crash_message": "which message of its own it stood at, counted from 1",
    "started_at": "when the next consumer had its partitions, in seconds since the run began",
}


class Stage(StrEnum):
    """Where on a message's way the lab looks, in the order of that way."""

    PRODUCER = "producer"
    TRANSACTIONS = "transactions"
    BROKER = "broker"
    CONSUMER = "consumer"
    END_TO_END = "end-to-end"


class Kind(StrEnum):
    LAB = "lab"  # `start` breaks a promise, `solution` keeps it
    EXHIBIT = "exhibit"  # each setting has a declared outcome
    INCIDENT = "incident"  # from a recording


class Capability(StrEnum):
    """What a cluster can do; a lab names what it needs."""

    KILL = "kill"
    PAUSE = "pause"
    WIPE = "wipe"
    REPLICATION = "replication"
    TRANSACTIONS = "transactions"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a lab file something stands; lines and columns count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class ClusterShape:
    brokers: int = 3
    partitions: int = 1
    replication: int = 3


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much is sent and who takes part. `message_bytes` is the payload size."""

    messages: int = 1000
    keys: int = 8
    producers: int = 1
    consumers: int = 1
    message_bytes: int = 100


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting the learner is invited to turn; no `choices` means any value the setting allows.

    `note` says what turning it does in this lab. It gives the answer away: show it after a run, not before.
    """

    scope: Scope
    name: str
    choices: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the script: `verb: argument`, for example `pause: leader` or `send: 100`."""

    verb: str
    argument: str
    place: Place

    def __str__(self) -> str:
        return f"{self.verb} {self.argument}".strip()


@dataclass(frozen=True, slots=True)
class ExhibitCase:
    """One setting of an exhibit, laid over `start`, and the outcome it must have."""

    settings: Settings
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Lab:
    """One experiment. `id` is the file's name without its ending."""

    id: str
    title: str
    stage: Stage
    kind: Kind
    goal: str
    needs: frozenset[Capability]
    cluster: ClusterShape
    traffic: Traffic
    start: Settings
    solution: Settings
    knobs: tuple[Knob, ...]
    script: tuple[Step, ...]
    promises: tuple[Promise, ...]
    predict: str
    hints: tuple[str, ...]
    debrief: str
    questions: tuple[str, ...]
    sources: tuple[str, ...]
    file: str
    exhibit: tuple[ExhibitCase, ...] = ()  # for Kind.EXHIBIT
    why: Mapping[Outcome, str] = field(default_factory=dict)  # one paragraph each, with WHY_NUMBERS in braces
    mock: str = ""  # what a run on the mock cluster shows; empty: it would prove nothing there

    def settings(self, changes: Settings, *, solution: bool) -> Settings:
        """The settings of one run: `start`, or `start` with `solution` over it, then the learner's changes."""
        base = self.start.merged(self.solution) if solution else self.start
        return base.merged(changes)


@dataclass(frozen=True, slots=True)
class BrokenLab:
    """A lab file that could not be read: still listed, with the reason. Its texts are safe to print."""

    id: str
    file: str
    error: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.error}"


LabIndex = Mapping[str, Lab | BrokenLab]
