"""The planned ids that break a promise, and those that leave it open."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from kafkaprep.engine.audit.ledger import ACKED, FAILED, REPORTED_OK, RESENT, SENT, UNKNOWN, Ledger
from kafkaprep.engine.audit.tally import Tally

EXAMPLES = 20  # of a promise


class Standing(Enum):
    """Where a planned id stands towards the log. Only GONE may call a promise broken."""

    PRESENT = auto()  # a committed row
    GONE = auto()  # certainly no committed row
    REMOVED = auto()  # retention or compaction explains the absence; a loss before it cannot be excluded
    OPEN = auto()  # not known


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of the audit as a whole."""

    all_read_completely: bool
    all_from_zero: bool  # no partition has lost its beginning
    compacted: bool
    undecided_rows: bool
    commits_read: bool
    sends_torn: bool
    log_torn: bool
    processed_torn: bool

    @property
    def partial(self) -> bool:
        return self.sends_torn or self.log_torn or self.processed_torn or not self.all_read_completely


def _tally() -> Tally:
    return Tally(EXAMPLES)


@dataclass(slots=True)
class Groups:
    """Each pair is what breaks a promise, and what leaves it open."""

    missing: Tally = field(default_factory=_tally)  # reported without error, and gone
    missing_open: Tally = field(default_factory=_tally)
    lost: Tally = field(default_factory=_tally)  # acked, and gone
    lost_open: Tally = field(default_factory=_tally)
    absent: Tally = field(default_factory=_tally)  # gone
    absent_open: Tally = field(default_factory=_tally)
    unaccepted: Tally = field(default_factory=_tally)  # failed or unknown
    never_sent: Tally = field(default_factory=_tally)
    duplicated: Tally = field(default_factory=_tally)
    duplicated_open: Tally = field(default_factory=_tally)  # may be twice in the log, once transactions end
    duplicated_sent_once: Tally = field(default_factory=_tally)  # the application sent it only once
    reordered: Tally = field(default_factory=_tally)
    reordered_sent_once: Tally = field(default_factory=_tally)
    split_witnesses: Tally = field(default_factory=_tally)  # one id for each split key
    skipped: Tally = field(default_factory=_tally)  # never processed, and never will be
    removed_unhandled: Tally = field(default_factory=_tally)  # of `skipped`, by retention or compaction
    handled: Tally = field(default_factory=_tally)  # processed at least once
    unhandled: Tally = field(default_factory=_tally)  # not processed, though not gone
    unhandled_open: Tally = field(default_factory=_tally)  # the same, without `skipped`
    processed_twice: Tally = field(default_factory=_tally)
    processed_twice_stored_once: Tally = field(default_factory=_tally)
    aborted_seen: Tally = field(default_factory=_tally)
    aborted_open: Tally = field(default_factory=_tally)  # processed where the log shows no decided row
    phantom: Tally = field(default_factory=_tally)
    phantom_open: Tally = field(default_factory=_tally)  # processed, no row, and the position cannot be checked

    def add(self, ledger: Ledger, index: int, standing: Standing, *, skipped: bool) -> None:
        """Sorts one planned id in. `skipped`: it will never be processed, and no other copy went unread."""
        name, marks, best = ledger.ids.name(index), ledger.marks[index], ledger.best[index]
        handled = ledger.processed_rows[index]
        if standing is not Standing.PRESENT:
            (self.absent if standing is Standing.GONE else self.absent_open).add(name)
            settled = standing is Standing.REMOVED and handled
            if best in (ACKED, UNKNOWN) and not settled:
                if marks & REPORTED_OK:
                    (self.missing if standing is Standing.GONE else self.missing_open).add(name)
                if best == ACKED:
                    (self.lost if standing is Standing.GONE else self.lost_open).add(name)
        if not marks & SENT:
            self.never_sent.add(name)
        elif best in (FAILED, UNKNOWN):
            self.unaccepted.add(name)
        copies = ledger.committed_rows[index]
        if handled:
            self.handled.add(name)
            if handled > 1:
                self.processed_twice.add(name)
                if copies == 1:
                    self.processed_twice_stored_once.add(name)
        elif standing is not Standing.GONE:
            self.unhandled.add(name)
            if standing is Standing.REMOVED:
                self.removed_unhandled.add(name)
            (self.skipped if skipped else self.unhandled_open).add(name)
        if copies > 1:
            self.duplicated.add(name)
            if not marks & RESENT:
                self.duplicated_sent_once.add(name)
        elif ledger.undecided_rows[index] and copies + ledger.undecided_rows[index] > 1:
            self.duplicated_open.add(name)
