"""The flat arrays of one audit: every row is fed once, nothing is kept twice.

Rows come in streaming order: sends, stored rows, processed rows, then bounds and commits. An id is turned into a
dense index; the arrays are indexed by it. Per message they hold 21 bytes for the send and the counters, 6 more
where keys and producers are named, and 9 per stored row. Counters saturate at 255. What is rare (second attempts,
processed positions the log does not confirm, findings of the processed pass) lives in dicts and sets.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from kafkaprep.engine.audit.positions import ABORTED, COMMITTED, UNDECIDED, IdMap, PartitionLog, refuse_span
from kafkaprep.errors import KafkaprepError

# The best outcome over the attempts of an id; the greater wins.
NOT_SENT, FAILED, UNKNOWN, ACKED = range(4)
OUTCOMES = {"failed": FAILED, "unknown": UNKNOWN, "acked": ACKED}

# What `marks` says of an id.
PLANNED, SENT, REPORTED_OK, RESENT = 1, 2, 4, 8
KNOWN = PLANNED | SENT

SATURATED = 255
NOWHERE = -1
MAX_PARTITION = 2**15 - 1
MAX_PRODUCERS = 2**16 - 1

STATE_OF = {True: COMMITTED, False: ABORTED, None: UNDECIDED}

Name = str | int  # of a key, a transaction, a producer
Attempt = tuple[int, int, int]  # outcome, partition or NOWHERE, offset or NOWHERE


class Ledger:
    """What one audit knows. Made by LedgerBuilder; read by the classifier, never changed by it."""

    def __init__(self, dense: int) -> None:
        self.ids = IdMap(dense)
        self.marks = bytearray(dense)
        self.best = bytearray(dense)
        self.first_outcome = bytearray(dense)
        self.first_partition = array("h", [NOWHERE]) * dense
        self.first_offset = array("q", [NOWHERE]) * dense
        self.rank = array("I", [0]) * dense
        self.more_attempts: dict[int, list[Attempt]] = {}
        self.producer: array[int] | None = None  # None while there is only one
        self.key: array[int] | None = None  # numbers into key_names; None while no key is named
        self.key_names: list[Name] = []  # number - 1 → name; 0 means no key
        self.key_modulus = 0  # > 0: the key of an id is id % key_modulus
        self.txns: dict[Name, array[int]] = {}
        self.log: dict[int, PartitionLog] = {}
        self.committed_rows = bytearray(dense)
        self.aborted_rows = bytearray(dense)
        self.undecided_rows = bytearray(dense)
        self.processed_rows = bytearray(dense)
        self.unconfirmed: dict[tuple[int, int], list[int]] = {}  # processed positions without that row in the log
        self.redelivered: set[int] = set()
        self.aborted_seen: set[int] = set()
        self.undecided_seen: set[int] = set()
        self.processed_out_of_order: set[int] = set()
        self.partitions: set[int] = set()
        self.log_start: dict[int, int] = {}
        self.reads: dict[int, tuple[int, int]] = {}  # partition → read_to, end
        self.unnamed_read_is_complete = True
        self.committed_offsets: dict[int, int] | None = None  # None: not read
        self.compacted = False
        self.sends_torn = False
        self.log_torn = False
        self.processed_torn = False

    def attempts(self, index: int) -> Iterator[Attempt]:
        if self.marks[index] & SENT:
            yield self.first_outcome[index], self.first_partition[index], self.first_offset[index]
            yield from self.more_attempts.get(index, ())

    def key_of(self, index: int) -> int:
        """The number of the id's key; 0 = none. Ids that are neither planned nor sent have none."""
        if self.key_modulus and self.marks[index] & KNOWN:
            return self.ids.name(index) % self.key_modulus + 1
        return self.key[index] if self.key is not None else 0

    def key_name(self, number: int) -> Name:
        return str(number - 1) if self.key_modulus else self.key_names[number - 1]

    def start_of(self, partition: int) -> int:
        return self.log_start.get(partition, 0)

    def read_completely(self, partition: int) -> bool:
        read = self.reads.get(partition)
        if read is None:
            return self.unnamed_read_is_complete and not self.log_torn
        return read[0] >= read[1] and not self.log_torn

    def inside_read(self, partition: int, offset: int) -> bool:
        if self.read_completely(partition):
            return True
        read = self.reads.get(partition)
        return read is not None and not self.log_torn and offset < read[0]

    def has_row(self, partition: int, offset: int, index: int) -> bool:
        log = self.log.get(partition)
        return log is not None and log.find(offset, index) >= 0

    @property
    def torn(self) -> bool:
        return self.sends_torn or self.log_torn or self.processed_torn


class LedgerBuilder:
    """Feeds one Ledger. Order: sent, stored, processed, then bounds and commits; `build` ends it.

    `planned` None means that the plan is the ids sent. Ids below `dense` index the arrays themselves; others go
    through a dict. `key_modulus` > 0 gives every id the key id % key_modulus.
    """

    def __init__(self, planned: Iterable[int] | None = None, dense: int = 0, key_modulus: int = 0) -> None:
        self._ledger = Ledger(dense)
        self._ledger.key_modulus = key_modulus
        self._planned_by_sends = planned is None
        self._next_rank = 0
        self._producers: dict[Name | None, int] = {}
        self._keys: dict[Name, int] = {}
        self._sealed = False
        self._furthest: dict[int, int] = {}  # partition → greatest offset processed for the first time
        for message in planned or ():
            self._ledger.marks[self._index(message)] |= PLANNED

    def next_rank(self) -> int:
        """The row number for an attempt that is announced now and fed to `sent` later."""
        self._next_rank += 1
        return self._next_rank - 1

    def sent(
        self,
        message: int,
        outcome: int,
        partition: int | None = None,
        offset: int | None = None,
        *,
        producer: Name | None = None,
        key: Name | None = None,
        txn: Name | None = None,
        reported_ok: bool | None = None,
        rank: int | None = None,
    ) -> None:
        """One attempt. `reported_ok` None derives it: acked was reported without error, nothing else was."""
        ledger, index = self._ledger, self._index(message)
        rank = self.next_rank() if rank is None else rank
        where = NOWHERE if partition is None else self._named(partition)
        at = NOWHERE if offset is None or offset < 0 or where == NOWHERE else offset
        if ledger.marks[index] & SENT:
            ledger.more_attempts.setdefault(index, []).append((outcome, where, at))
            ledger.marks[index] |= RESENT
            first = rank < ledger.rank[index]
        else:
            ledger.first_outcome[index] = outcome
            ledger.first_partition[index], ledger.first_offset[index] = where, at
            first = True
        if first:
            ledger.rank[index] = rank
            self._set_producer(index, producer)
        if key is not None:
            self._set_key(index, key)
        if txn is not None:
            ledger.txns.setdefault(txn, array("I")).append(index)
        ledger.best[index] = max(ledger.best[index], outcome)
        ledger.marks[index] |= SENT | (PLANNED if self._planned_by_sends else 0)
        if outcome == ACKED if reported_ok is None else reported_ok:
            ledger.marks[index] |= REPORTED_OK

    def stored(self, partition: int, offset: int, message: int, committed: bool | None) -> None:
        """One row of the final read; repeated identical rows count once."""
        assert not self._sealed, "stored rows come before processed rows"
        log = self._ledger.log.get(self._named(partition))
        if log is None:
            log = self._ledger.log[partition] = PartitionLog(partition)
        log.add(_position(offset), self._index(message), STATE_OF[committed])

    def processed(self, partition: int, offset: int, message: int) -> None:
        """One finished handling, by whichever consumer."""
        self._seal()
        ledger, index = self._ledger, self._index(message)
        log = ledger.log.get(self._named(partition))
        row = -1 if log is None else log.find(_position(offset), index)
        _count(ledger.processed_rows, index)
        if log is None or row < 0:
            here = ledger.unconfirmed.setdefault((partition, offset), [])
            if index in here:
                ledger.redelivered.add(index)
            else:
                here.append(index)
            return
        if log.processed(row):
            ledger.redelivered.add(index)
        else:
            log.mark_processed(row)
            if ledger.marks[index] & KNOWN:
                if offset < self._furthest.get(partition, -1):
                    ledger.processed_out_of_order.add(index)
                else:
                    self._furthest[partition] = offset
        if log.states[row] & ABORTED:
            ledger.aborted_seen.add(index)
        if log.states[row] & UNDECIDED:
            ledger.undecided_seen.add(index)

    def log_start(self, partition: int, offset: int) -> None:
        self._ledger.log_start[self._named(partition)] = _position(offset)

    def final_read(self, partition: int, read_to: int, end: int) -> None:
        self._ledger.reads[self._named(partition)] = (read_to, end)

    def name_partition(self, partition: int) -> None:
        """The partition exists, though no row may name it."""
        self._named(partition)

    def unnamed_reads_are_missing(self) -> None:
        """A partition without `final_read` was not read, instead of read completely."""
        self._ledger.unnamed_read_is_complete = False

    def commits_were_read(self) -> None:
        if self._ledger.committed_offsets is None:
            self._ledger.committed_offsets = {}

    def committed_offset(self, partition: int, next_offset: int) -> None:
        self.commits_were_read()
        assert self._ledger.committed_offsets is not None
        self._ledger.committed_offsets[self._named(partition)] = max(next_offset, 0)

    def compacted(self) -> None:
        self._ledger.compacted = True

    def torn(self, *, sends: bool = False, log: bool = False, processed: bool = False) -> None:
        """The ledger ended in a damaged row, so that its last rows may be missing."""
        self._ledger.sends_torn |= sends
        self._ledger.log_torn |= log
        self._ledger.processed_torn |= processed

    def build(self) -> Ledger:
        self._seal()
        for partition, log in self._ledger.log.items():
            if partition in self._ledger.log_start and len(log):
                refuse_span(partition, self._ledger.log_start[partition], log.base + log.offsets[-1])
        return self._ledger

    def _seal(self) -> None:
        if self._sealed:
            return
        self._sealed, ledger = True, self._ledger
        for log in ledger.log.values():
            log.seal()
            for index, state in zip(log.indexes, log.states, strict=True):
                if state & COMMITTED:
                    _count(ledger.committed_rows, index)
                if state & ABORTED:
                    _count(ledger.aborted_rows, index)
                if state & UNDECIDED:
                    _count(ledger.undecided_rows, index)

    def _index(self, message: int) -> int:
        ledger = self._ledger
        if 0 <= message < ledger.ids.dense:
            return message
        index = ledger.ids.index(message)
        if index == len(ledger.marks):
            for counters in (ledger.marks, ledger.best, ledger.first_outcome, ledger.processed_rows):
                counters.append(0)
            for counters in (ledger.committed_rows, ledger.aborted_rows, ledger.undecided_rows):
                counters.append(0)
            ledger.first_partition.append(NOWHERE)
            ledger.first_offset.append(NOWHERE)
            ledger.rank.append(0)
            for numbers in (ledger.producer, ledger.key):
                if numbers is not None:
                    numbers.append(0)
        return index

    def _named(self, partition: int) -> int:
        if partition in self._ledger.partitions:
            return partition
        if not 0 <= partition <= MAX_PARTITION:
            raise KafkaprepError(f"Partition {partition} is outside 0 to {MAX_PARTITION}.")
        self._ledger.partitions.add(partition)
        return partition

    def _set_producer(self, index: int, producer: Name | None) -> None:
        ledger, number = self._ledger, self._producers.setdefault(producer, len(self._producers))
        if number > MAX_PRODUCERS:
            raise KafkaprepError(f"The audit takes at most {MAX_PRODUCERS + 1} producers.")
        if number and ledger.producer is None:
            ledger.producer = array("H", [0]) * len(ledger.marks)
        if ledger.producer is not None:
            ledger.producer[index] = number

    def _set_key(self, index: int, key: Name) -> None:
        ledger = self._ledger
        if ledger.key is None:
            ledger.key = array("I", [0]) * len(ledger.marks)
        if ledger.key[index] == 0:
            if key not in self._keys:
                ledger.key_names.append(key)
                self._keys[key] = len(ledger.key_names)
            ledger.key[index] = self._keys[key]


def _count(counters: bytearray, index: int) -> None:
    if counters[index] < SATURATED:
        counters[index] += 1


def _position(offset: int) -> int:
    if not 0 <= offset < 2**63:
        raise KafkaprepError(f"Offset {offset} is not one that Kafka can give.")
    return offset
