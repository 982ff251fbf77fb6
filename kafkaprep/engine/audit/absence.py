"""When a message that has no row is provably gone, expired or compacted away."""

from __future__ import annotations

from kafkaprep.engine.audit.ledger import ACKED, FAILED, NOWHERE, UNKNOWN, Ledger
from kafkaprep.engine.audit.positions import COMMITTED


class Absence:
    """Answers questions about the absence of ids in one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._complete = {p: ledger.read_completely(p) for p in ledger.partitions}
        self._whole = {p: done and ledger.start_of(p) == 0 for p, done in self._complete.items()}
        self.all_complete = all(self._complete.values())
        self.all_whole = all(self._whole.values())
        self._last_of_key = _last_of_key(ledger) if ledger.compacted else {}

    def provable(self, index: int) -> bool:
        """Whether the final read would have shown the id, had it been in the log.

        An acked attempt with an offset needs that position to be inside the read; without one, its partition read
        completely from offset 0. The same holds for an attempt of unknown outcome, and for a failed one where
        nothing better is known; beside an acked attempt, an unknown one needs its partition read completely.
        Where the sends are torn, every id may have had an attempt that nobody recorded.
        """
        ledger = self._ledger
        best = ledger.best[index]
        if ledger.sends_torn and not (self.all_complete if best == ACKED else self.all_whole):
            return False
        for outcome, partition, offset in ledger.attempts(index):
            if outcome == ACKED and offset != NOWHERE:
                shown = ledger.inside_read(partition, offset)
            elif outcome == UNKNOWN and best == ACKED:
                shown = self._is_complete(partition)
            elif outcome in (ACKED, UNKNOWN) or best == FAILED:
                shown = self._is_whole(partition)
            else:
                shown = True
            if not shown:
                return False
        return True

    def firm(self, index: int) -> bool:
        """Whether a promise may be called broken on this absence alone.

        Stricter than the classes: on a compacted topic an id without an acked offset may have been stored and
        cleaned, and a later message of its key may stand where a short read did not reach.
        """
        if self._ledger.compacted and (self._ledger.best[index] != ACKED or not self.all_complete):
            return False
        return self.provable(index)

    def compacted(self, index: int) -> bool:
        """Of an acked, absent id: a later committed message has its key, at every place it was acked."""
        key = self._ledger.key_of(index)
        if not self._ledger.compacted or not key:
            return False
        return all(
            offset != NOWHERE
            and self._last_of_key.get((partition, key), -1) > offset
            and not self._ledger.has_row(partition, offset, index)
            for partition, offset in self._acked(index)
        )

    def expired(self, index: int) -> bool:
        """Of an acked, absent id: the log now starts beyond every place it was acked."""
        return all(
            offset != NOWHERE
            and offset < self._ledger.start_of(partition)
            and not self._ledger.has_row(partition, offset, index)
            for partition, offset in self._acked(index)
        )

    def _acked(self, index: int) -> list[tuple[int, int]]:
        return [(p, o) for outcome, p, o in self._ledger.attempts(index) if outcome == ACKED]

    def _is_complete(self, partition: int) -> bool:
        return self.all_complete if partition == NOWHERE else self._complete[partition]

    def _is_whole(self, partition: int) -> bool:
        return self.all_whole if partition == NOWHERE else self._whole[partition]


def _last_of_key(ledger: Ledger) -> dict[tuple[int, int], int]:
    """The last committed offset of each key in each partition."""
    last: dict[tuple[int, int], int] = {}
    for partition, log in ledger.log.items():
        for offset, index, state in log.rows():
            if state & COMMITTED and (key := ledger.key_of(index)):
                last[partition, key] = offset
    return last
