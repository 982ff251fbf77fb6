"""Kafkaprep's names for things as sentences on a screen; no widget here."""

from __future__ import annotations

from kafkaprep.engine.saved_run import SavedRun
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Fate, Outcome, Promise, Severity

PROMISES = {
    Promise.NO_REPORTED_LOSS: "every message reported delivered is in the log",
    Promise.NO_ACKED_LOSS: "every acknowledged message is in the log",
    Promise.ALL_ARRIVE: "every planned message is in the log",
    Promise.ALL_ACCEPTED: "every message is accepted",
    Promise.NO_LOG_DUPLICATES: "no message is in the log twice",
    Promise.ORDER_KEPT: "the log keeps the order of sending",
    Promise.KEYS_TOGETHER: "each key stays in one partition",
    Promise.NOTHING_SKIPPED: "the consumer misses no message",
    Promise.PROCESSED_ONCE: "every message is processed exactly once",
    Promise.NO_ABORTED_SEEN: "no aborted message is processed",
    Promise.NO_PHANTOM: "nothing is processed that is in no log",
    Promise.READABLE_WITHIN: "messages can be read in time",
    Promise.SINK_MATCHES: "the sink holds what was sent",
}
FATES: dict[str, str] = {
    Fate.NEVER_SENT: "never sent",
    Fate.LOST_BEFORE_BROKER: "failed before any broker had them",
    Fate.ABORTED_CLEAN: "aborted",
    Fate.COMPACTED_AWAY: "compacted away",
    Fate.EXPIRED_UNPROCESSED: "expired unread",
    Fate.INCONCLUSIVE: "not decided by what could be read",
    Fate.UNDECIDED: "in an open transaction",
    Fate.UNKNOWN_ABSENT: "never acknowledged and in no log",
    Fate.LOST: "acknowledged and lost",
    Fate.SKIPPED: "in the log, skipped by the consumer",
    Fate.PENDING: "in the log, not processed",
    Fate.UNPROCESSED: "in the log, not processed (commits not read)",
    Fate.PROCESSED_TWICE: "processed more than once",
    Fate.PROCESSED_ONCE: "processed once",
}
SEVERITIES = {
    Severity.EXPECTED: "certain",
    Severity.PERMITTED: "allowed: they never promised otherwise",
    Severity.VIOLATION: "not allowed: this is a bug, in Kafka or in kafkaprep",
}

# What a lab's promise asks the learner to predict: a name of engine.predict.COUNTED, and the words for it.
PREDICTED = {
    Promise.NO_REPORTED_LOSS: "lost",
    Promise.NO_ACKED_LOSS: "lost",
    Promise.NO_LOG_DUPLICATES: "duplicated",
    Promise.PROCESSED_ONCE: "processed_twice",
    Promise.NOTHING_SKIPPED: "skipped",
    Promise.ORDER_KEPT: "reordered",
    Promise.ALL_ACCEPTED: "failed",
}


def predicted_name(lab: Lab) -> str:
    """What is predicted in this lab: a count, or the outcome where no count is the point."""
    return next((PREDICTED[promise] for promise in lab.promises if promise in PREDICTED), "outcome")


def headline(saved: SavedRun) -> str:
    """One sentence after the outcome's word."""
    counts = saved.verdict.counts
    if saved.void is not None:
        return f"{sanitise(saved.void['fault'])}: {sanitise(saved.void['reason'])}"
    if counts["missing"]:
        return f"{counts['missing']} messages were reported delivered and are in no log."
    if saved.outcome is Outcome.KEPT:
        return f"All {counts['reported_delivered']} messages reported delivered are in the log."
    broken = [promise for promise in saved.verdict.promises if promise.outcome is Outcome.BROKEN]
    if broken:
        return f"{broken[0].count} messages break the promise that {PROMISES[broken[0].name]}."
    return "Not enough could be proven."


def command_line(lab_id: str, changes: Settings, *, solution: bool = False) -> str:
    """The command that repeats this choice in a shell."""
    sets = "".join(f" --set {scope}.{name}={value}" for scope, name, value in changes)
    return f"kafkaprep lab {lab_id}{' --solution' if solution else ''}{sets}"


def plural(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def megabytes(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"
