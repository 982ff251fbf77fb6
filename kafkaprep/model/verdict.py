"""What a run proved: outcomes, promises, severities and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Ordered kept < inconclusive < broken; of several, the worst wins."""

    KEPT = "kept"
    INCONCLUSIVE = "inconclusive"
    BROKEN = "broken"

    @property
    def rank(self) -> int:
        return list(Outcome).index(self)


def worst(outcomes: list[Outcome]) -> Outcome:
    """The worst of `outcomes`; none at all proves nothing, so it is inconclusive."""
    return max(outcomes, key=lambda outcome: outcome.rank, default=Outcome.INCONCLUSIVE)


class Severity(StrEnum):
    """What the settings of the run allow a finding to be."""

    EXPECTED = "expected"  # these settings always do this
    PERMITTED = "permitted"  # these settings never promised otherwise
    VIOLATION = "violation"  # these settings promised otherwise: a bug, ours or Kafka's


class Promise(StrEnum):
    """The closed list a lab may promise."""

    NO_REPORTED_LOSS = "no_reported_loss"
    NO_ACKED_LOSS = "no_acked_loss"
    ALL_ARRIVE = "all_arrive"
    ALL_ACCEPTED = "all_accepted"
    NO_LOG_DUPLICATES = "no_log_duplicates"
    ORDER_KEPT = "order_kept"
    KEYS_TOGETHER = "keys_together"
    NOTHING_SKIPPED = "nothing_skipped"
    PROCESSED_ONCE = "processed_once"
    NO_ABORTED_SEEN = "no_aborted_seen"
    NO_PHANTOM = "no_phantom"
    READABLE_WITHIN = "readable_within"
    SINK_MATCHES = "sink_matches"


class Fate(StrEnum):
    """What became of a planned message; each id has exactly one. First match wins, in this order."""

    NEVER_SENT = "never_sent"
    LOST_BEFORE_BROKER = "lost_before_broker"
    ABORTED_CLEAN = "aborted_clean"
    COMPACTED_AWAY = "compacted_away"
    EXPIRED_UNPROCESSED = "expired_unprocessed"
    INCONCLUSIVE = "inconclusive"
    UNDECIDED = "undecided"
    UNKNOWN_ABSENT = "unknown_absent"
    LOST = "lost"
    SKIPPED = "skipped"
    PENDING = "pending"
    UNPROCESSED = "unprocessed"  # in the log, and the group's commits were not read: skipped or pending
    PROCESSED_TWICE = "processed_twice"
    PROCESSED_ONCE = "processed_once"


@dataclass(frozen=True, slots=True)
class PromiseResult:
    """`count` messages broke (or leave open) the promise; `examples` holds at most 20 ids, sorted."""

    name: Promise
    outcome: Outcome
    count: int
    examples: tuple[int, ...]
    severity: Severity | None  # None where nothing was found

    def as_dict(self) -> dict[str, object]:
        return {
            "name": str(self.name),
            "outcome": str(self.outcome),
            "count": self.count,
            "examples": list(self.examples),
            "severity": None if self.severity is None else str(self.severity),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ledgers prove. `counts` and `fates` use the names of the JSON document (DESIGN §4).

    `classes` maps each class of the audit that is not empty to its sorted members (bounded in a saved run).
    """

    outcome: Outcome
    counts: Mapping[str, int]
    fates: Mapping[str, int]
    promises: tuple[PromiseResult, ...]
    classes: Mapping[str, list[object]]
    partial: bool  # a ledger was torn, or a final read ended short
