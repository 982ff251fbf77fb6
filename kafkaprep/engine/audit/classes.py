"""Every class, the one fate of each planned id, and the counts of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kafkaprep.engine.audit.absence import Absence
from kafkaprep.engine.audit.groups import Facts, Groups, Standing
from kafkaprep.engine.audit.ledger import ACKED, FAILED, KNOWN, PLANNED, REPORTED_OK, RESENT, SENT, UNKNOWN, Ledger
from kafkaprep.engine.audit.overlays import (
    LogFindings,
    check_acks,
    has_any_row,
    phantoms,
    walk_log,
)
from kafkaprep.engine.audit.tally import Tally
from kafkaprep.model.verdict import Fate

EXAMPLES = 1000  # of a class, in the audit of a saved run

CLASSES = (
    "never_sent",
    "lost_before_broker",
    "aborted_clean",
    "failed_but_present",
    "unknown_but_present",
    "unknown_absent",
    "lost",
    "compacted_away",
    "expired_unprocessed",
    "undecided",
    "inconclusive",
    "duplicated_in_log",
    "processed_twice",
    "redelivered",
    "unprocessed",
    "skipped",
    "pending",
    "aborted_seen",
    "undecided_seen",
    "phantom",
    "reordered",
    "processed_out_of_order",
    "offset_conflict",
    "ack_mismatch",
    "torn_txns",
    "key_split",
    "unexpected",
)

COUNTS = (
    "planned",
    "sent",
    "reported_delivered",
    "acked",
    "failed",
    "unknown",
    "in_log",
    "missing",
    "lost",
    "duplicated_in_log",
    "processed",
    "processed_twice",
    "unprocessed",
    "skipped",
    "reordered",
    "aborted_seen",
)


@dataclass(frozen=True, slots=True)
class Classification:
    """What the ledgers show. `classes` holds those that are not empty, in the order of CLASSES."""

    classes: Mapping[str, Tally]
    fates: Mapping[str, int]  # the fates that occur, in the order of Fate
    counts: Mapping[str, int]  # by the names of the JSON document
    groups: Groups
    facts: Facts


def classify(ledger: Ledger, limit: int | None = EXAMPLES) -> Classification:
    """Judges every id. At most `limit` members of each class are listed (None: all); counts are exact."""
    return _Classifier(ledger, limit).run()


class _Classifier:
    def __init__(self, ledger: Ledger, limit: int | None) -> None:
        self._ledger = ledger
        self._limit = limit
        self._absence = Absence(ledger)
        self._walk: LogFindings = walk_log(ledger)
        ack_mismatch, conflicts = check_acks(ledger)
        self._conflicts = self._walk.conflicts | conflicts
        self._phantoms = phantoms(ledger)
        self._unconfirmed = {index for indexes in ledger.unconfirmed.values() for index in indexes}
        self._overlays: dict[str, Collection[int]] = {
            "redelivered": ledger.redelivered,
            "aborted_seen": ledger.aborted_seen,
            "undecided_seen": ledger.undecided_seen,
            "reordered": self._walk.reordered,
            "processed_out_of_order": ledger.processed_out_of_order,
            "ack_mismatch": ack_mismatch,
        }
        self._tallies = {name: Tally(limit) for name in CLASSES}
        self._groups = Groups()
        self._fates = dict.fromkeys(Fate, 0)
        self._counts = dict.fromkeys(COUNTS, 0)

    def run(self) -> Classification:
        ledger = self._ledger
        for index in ledger.ids.ascending():
            marks = ledger.marks[index]
            if marks & KNOWN:
                absences, fate = self._judge(index)
                if marks & PLANNED:
                    self._fates[fate] += 1
                    self._count(index)
                    self._group(index, absences, fate)
            elif has_any_row(ledger, index) or ledger.processed_rows[index]:
                self._tallies["unexpected"].add(ledger.ids.name(index))
        assert sum(self._fates.values()) == self._counts["planned"], "every planned id has exactly one fate"
        self._add_other_members()
        return Classification(
            classes={name: tally for name, tally in self._tallies.items() if tally.count},
            fates={str(fate): count for fate, count in self._fates.items() if count},
            counts=self._all_counts(),
            groups=self._groups,
            facts=self._facts(),
        )

    def _judge(self, index: int) -> tuple[list[str], Fate]:
        """Adds a known id to its classes; gives its absence classes and its fate."""
        ledger = self._ledger
        handled = ledger.processed_rows[index]
        found: list[str] = []
        absences: list[str] = []
        if not ledger.marks[index] & SENT:
            absences.append("never_sent")
        if ledger.committed_rows[index]:
            found.extend(self._present(index, handled))
        else:
            absences.extend(self._absent(index, handled))
        if handled > 1:
            found.append("processed_twice")
        found.extend(name for name, indexes in self._overlays.items() if index in indexes)
        if index in self._phantoms and "compacted_away" not in absences:
            found.append("phantom")
        if found or absences:
            name = ledger.ids.name(index)
            for finding in (*absences, *found):
                self._tallies[finding].add(name)
        return absences, self._fate(absences, found, handled)

    def _present(self, index: int, handled: int) -> list[str]:
        ledger = self._ledger
        found = []
        if ledger.best[index] == FAILED:
            found.append("failed_but_present")
        elif ledger.best[index] == UNKNOWN:
            found.append("unknown_but_present")
        if ledger.committed_rows[index] > 1:
            found.append("duplicated_in_log")
        if not handled:
            found.append("unprocessed")
            if ledger.committed_offsets is not None:
                found.append("pending" if index in self._walk.uncommitted else "skipped")
        return found

    def _absent(self, index: int, handled: int) -> list[str]:
        """The classes of an id without a committed row that say why; the first one is its fate."""
        ledger, best = self._ledger, self._ledger.best[index]
        aborted = ledger.aborted_rows[index] > 0
        if ledger.undecided_rows[index]:
            return ["undecided"]
        if best == FAILED:
            return ["aborted_clean" if aborted else "lost_before_broker"]
        found = []
        if best == ACKED:
            if self._absence.compacted(index):
                found.append("compacted_away")
            elif self._absence.expired(index):
                if handled:
                    return []
                found.append("expired_unprocessed")
        if best in (ACKED, UNKNOWN):
            if not aborted and not self._absence.provable(index):
                found.append("inconclusive")
            elif not found:
                found.append("lost" if best == ACKED else "unknown_absent")
        return found

    def _fate(self, absences: list[str], found: list[str], handled: int) -> Fate:
        if absences:
            return Fate(absences[0])
        for fate in (Fate.SKIPPED, Fate.PENDING, Fate.UNPROCESSED):
            if fate in found:
                return fate
        return Fate.PROCESSED_TWICE if handled > 1 else Fate.PROCESSED_ONCE

    def _count(self, index: int) -> None:
        ledger, counts, marks = self._ledger, self._counts, self._ledger.marks[index]
        counts["planned"] += 1
        if marks & SENT:
            counts["sent"] += 1
            counts[("", "failed", "unknown", "acked")[ledger.best[index]]] += 1
        if marks & REPORTED_OK:
            counts["reported_delivered"] += 1
        if ledger.committed_rows[index]:
            counts["in_log"] += 1
        if ledger.processed_rows[index]:
            counts["processed"] += 1

    def _group(self, index: int, absences: list[str], fate: Fate) -> None:
        standing = self._standing(index, absences)
        beyond_reach = fate is Fate.SKIPPED or standing is Standing.REMOVED
        self._groups.add(self._ledger, index, standing, skipped=beyond_reach and self._absence.all_complete)
        groups, name = self._groups, self._ledger.ids.name(index)
        if index in self._unconfirmed or index in self._ledger.undecided_seen:
            groups.aborted_open.add(name)
        if index in self._ledger.aborted_seen:
            groups.aborted_seen.add(name)
        if index in self._phantoms and "compacted_away" not in absences:
            (groups.phantom_open if self._ledger.compacted else groups.phantom).add(name)
        elif index in self._unconfirmed and not has_any_row(self._ledger, index):
            groups.phantom_open.add(name)
        if index in self._walk.reordered and not self._ledger.undecided_rows[index]:
            groups.reordered.add(name)
            if not self._ledger.marks[index] & RESENT:
                groups.reordered_sent_once.add(name)

    def _standing(self, index: int, absences: list[str]) -> Standing:
        ledger, best = self._ledger, self._ledger.best[index]
        if ledger.committed_rows[index]:
            return Standing.PRESENT
        if ledger.undecided_rows[index]:
            return Standing.OPEN
        if best in (ACKED, UNKNOWN):
            if not absences or absences[0] in ("compacted_away", "expired_unprocessed"):
                return Standing.REMOVED
            return Standing.GONE if self._absence.firm(index) else Standing.OPEN
        return Standing.GONE if not ledger.sends_torn or self._absence.firm(index) else Standing.OPEN

    def _add_other_members(self) -> None:
        ledger, tallies = self._ledger, self._tallies
        for partition, offset in sorted(self._conflicts):
            tallies["offset_conflict"].add([partition, offset])
        for txn in sorted(filter(self._is_torn, ledger.txns), key=_by_type):
            tallies["torn_txns"].add(txn)
        for key in sorted(map(ledger.key_name, self._walk.split_keys), key=_by_type):
            tallies["key_split"].add(key)
        for name in sorted(ledger.ids.name(index) for index in self._walk.split_keys.values()):
            self._groups.split_witnesses.add(name)

    def _is_torn(self, txn: str | int) -> bool:
        members = self._ledger.txns[txn]
        return any(self._ledger.committed_rows[index] for index in members) and any(
            self._provably_absent(index) for index in members
        )

    def _provably_absent(self, index: int) -> bool:
        ledger = self._ledger
        if ledger.committed_rows[index] or ledger.undecided_rows[index]:
            return False
        if ledger.best[index] == ACKED and (self._absence.compacted(index) or self._absence.expired(index)):
            return False
        return ledger.aborted_rows[index] > 0 or self._absence.provable(index)

    def _all_counts(self) -> dict[str, int]:
        counts = self._counts | {"missing": self._groups.missing.count}
        return {name: self._tallies[name].count if name in self._tallies else counts[name] for name in COUNTS}

    def _facts(self) -> Facts:
        ledger = self._ledger
        return Facts(
            all_read_completely=self._absence.all_complete and not ledger.log_torn,
            all_from_zero=not any(ledger.log_start.values()),
            compacted=ledger.compacted,
            undecided_rows=any(ledger.undecided_rows),
            commits_read=ledger.committed_offsets is not None,
            sends_torn=ledger.sends_torn,
            log_torn=ledger.log_torn,
            processed_torn=ledger.processed_torn,
        )


def _by_type(name: str | int) -> tuple[bool, str | int]:
    return isinstance(name, str), name
