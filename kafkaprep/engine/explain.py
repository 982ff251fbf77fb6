"""Tells why a run ended as it did, in this run's own numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kafkaprep.engine.saved_run import SavedRun
from kafkaprep.model.history import EventName
from kafkaprep.model.lab import WHY_NUMBERS, Lab
from kafkaprep.model.script import crash_point
from kafkaprep.model.settings import Scope
from kafkaprep.model.verdict import Outcome

_MISSING_CLASSES = ("lost", "unknown_absent")


def ranges(ids: Iterable[int]) -> str:
    """`300–399, 412`: sorted ids as ranges."""
    parts: list[tuple[int, int]] = []
    for each in sorted(ids):
        if parts and each == parts[-1][1] + 1:
            parts[-1] = (parts[-1][0], each)
        else:
            parts.append((each, each))
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in parts)


def missing_ids(saved: SavedRun) -> list[int]:
    """The ids reported delivered and provably in no log, as far as the audit lists them (1000 a class)."""
    reported_loss = [promise for promise in saved.verdict.promises if promise.name == "no_reported_loss"]
    if reported_loss and not reported_loss[0].count:
        return []
    found: set[int] = set()
    for name in _MISSING_CLASSES:
        found.update(int(str(member)) for member in saved.verdict.classes.get(name, ()))
    return sorted(found)


def _listed(saved: SavedRun, name: str) -> str:
    """The ids of a class as ranges, as far as the audit lists them."""
    return ranges(int(str(member)) for member in saved.verdict.classes.get(name, ())) or "none"


def numbers(saved: SavedRun) -> dict[str, str]:
    """A text for each of WHY_NUMBERS; `–` where the run has no such thing."""
    counts = saved.verdict.counts
    faults = list(saved.of(EventName.FAULT))

    def first(name: str, what: str) -> str:
        for fault in faults:
            if fault["name"] == name and fault[what] is not None:
                value = fault[what]
                return f"{value:.2f}" if isinstance(value, float) else str(value)
        return "–"

    crash_message = next(
        (str(point[1]) for point in (crash_point(verb, argument) for verb, argument in saved.plan["steps"]) if point),
        "–",
    )
    effects = saved.effects
    filled = {
        "planned": str(counts["planned"]),
        "sent": str(counts["sent"]),
        "reported": str(counts["reported_delivered"]),
        "acked": str(counts["acked"]),
        "failed": str(counts["failed"]),
        "in_log": str(counts["in_log"]),
        "missing": str(counts["missing"]),
        "missing_ids": ranges(missing_ids(saved)) or "none",
        "lost": str(counts["lost"]),
        "lost_ids": _listed(saved, "lost"),
        "reused": str(len(saved.verdict.classes.get("offset_conflict", ()))),
        "duplicated": str(counts["duplicated_in_log"]),
        "processed": str(counts["processed"]),
        "skipped": str(counts["skipped"]),
        "skipped_ids": _listed(saved, "skipped"),
        "twice": str(counts["processed_twice"]),
        "twice_ids": _listed(saved, "processed_twice"),
        "calls": str(saved.handler_calls),
        "effects": "–" if effects is None else str(sum(effects.values())),
        "effects_twice": "–" if effects is None else str(sum(rows > 1 for rows in effects.values())),
        "acks": saved.settings.get(Scope.PRODUCER, "acks", "all"),
        "min_isr": saved.settings.get(Scope.TOPIC, "min.insync.replicas", "1"),
        "commit": saved.settings.get(Scope.APPLICATION, "commit", "after"),
        "sink": saved.settings.get(Scope.APPLICATION, "sink", "–"),
        "paused": first("pause", "broker"),
        "paused_at": first("pause", "at_s"),
        "killed": first("kill", "broker"),
        "killed_at": first("kill", "at_s"),
        "new_leader": first("new leader", "broker"),
        "dropped_at": first("drop response", "at_s"),
        "idempotence": saved.settings.get(Scope.PRODUCER, "enable.idempotence", "false"),
        "crashed_at": first("crash", "at_s"),
        "crash_message": crash_message,
        "started_at": first("start", "at_s"),
    }
    assert filled.keys() == WHY_NUMBERS.keys()
    return filled


def why(lab: Lab, saved: SavedRun) -> str:
    """One paragraph. A void or inconclusive run gets its reason, a lab without a paragraph the counts."""
    if saved.void is not None:
        return (
            f"This run proves nothing: {saved.void['fault']} did not go as planned ({saved.void['reason']}). "
            "Nothing is concluded from it; run it again."
        )
    if saved.outcome is Outcome.INCONCLUSIVE:
        return "The log could not be read to its end, or a ledger is damaged, so absence is not proven."
    filled = numbers(saved)
    template = lab.why.get(saved.outcome) or _PLAIN
    return re.sub(r"\{(\w+)\}", lambda match: filled.get(match[1], match[0]), template)


_PLAIN = "{reported} messages were reported delivered, {in_log} are in the log, {processed} were processed."
