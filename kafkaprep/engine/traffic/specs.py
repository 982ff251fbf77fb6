"""What a child is told at its start: plain values, one JSON file per child.

A barrier names a point of the child's work and counts from 1: at the n-th send, report or message the child says
so and stands still until it is told to go on, or is killed there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kafkaprep.engine.client_properties import read_client_properties

MAX_ACTOR = 255


class Barrier(NamedTuple):
    at: str
    n: int


PRODUCER_BARRIERS = ("before_send", "after_call", "after_report")
CONSUMER_BARRIERS = ("before_commit", "after_commit", "before_work", "after_work")


def _barriers(given: Iterable[Any], allowed: tuple[str, ...]) -> tuple[Barrier, ...]:
    barriers = tuple(Barrier(one["at"], int(one["n"])) if isinstance(one, dict) else one for one in given)
    for barrier in barriers:
        if barrier.at not in allowed or barrier.n < 1:
            raise ValueError(f"no such barrier: {barrier.at} {barrier.n}")
    return barriers


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """`ledger` belongs to this one process: nothing may follow the row a crash has torn.

    `client_config` names the .properties file of a cluster that asks for a login. Each child reads it itself: a spec is
    kept with the run, and no secret may be.

    `t0` is the monotonic clock at the run's start, which all processes of a machine share.
    """

    name: str
    bootstrap: str
    topic: str
    nonce: str
    actor: int
    t0: float
    ledger: str
    client_config: str = ""

    @property
    def nonce_bytes(self) -> bytes:
        return bytes.fromhex(self.nonce)

    def connection(self) -> dict[str, str]:
        """The client properties, read now. Raises ContentError."""
        return read_client_properties(Path(self.client_config)) if self.client_config else {}

    def as_dict(self) -> dict[str, Any]:
        fields = asdict(self)
        if "barriers" in fields:
            fields["barriers"] = [{"at": at, "n": n} for at, n in fields["barriers"]]
        return fields

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_dict(), ensure_ascii=False), encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerSpec(ChildSpec):
    """The ids of producer `index` are those with id % producers == index; the first `skip` of them are left out.

    `ledger` may be empty: nothing is recorded then, which only a benchmark wants.
    """

    messages: int
    keys: int
    message_bytes: int
    producers: int = 1
    index: int = 0
    skip: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    application: Mapping[str, str] = field(default_factory=dict)
    barriers: tuple[Barrier, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "barriers", _barriers(self.barriers, PRODUCER_BARRIERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSpec(ChildSpec):
    """`commit_every` is how many messages one poll may hand over, and so one commit covers, unless commit is auto.

    `sink` is the file that the handler stores its effects in; empty if its ledger row is its only effect.
    """

    group: str
    commit_every: int = 50
    sink: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    application: Mapping[str, str] = field(default_factory=dict)
    barriers: tuple[Barrier, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "barriers", _barriers(self.barriers, CONSUMER_BARRIERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSpec(ChildSpec):
    """`transactional` is false only if no producer of the run had a transactional.id."""

    bounds: str
    transactional: bool = True


def read_producer_spec(path: Path) -> ProducerSpec:
    return ProducerSpec(**json.loads(path.read_text(encoding="utf-8")))


def read_consumer_spec(path: Path) -> ConsumerSpec:
    return ConsumerSpec(**json.loads(path.read_text(encoding="utf-8")))


def read_reader_spec(path: Path) -> ReaderSpec:
    return ReaderSpec(**json.loads(path.read_text(encoding="utf-8")))
