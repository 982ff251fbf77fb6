"""The classes that compare positions: order, keys, and offsets that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kafkaprep.engine.audit.ledger import ACKED, KNOWN, NOWHERE, Ledger
from kafkaprep.engine.audit.positions import COMMITTED, PartitionLog


@dataclass(slots=True)
class LogFindings:
    """What one walk over the stored rows shows. The sets hold indexes."""

    reordered: set[int] = field(default_factory=set)
    split_keys: dict[int, int] = field(default_factory=dict)  # key number → an index stored in its second partition
    uncommitted: set[int] = field(default_factory=set)  # has a committed row the group has not committed beyond
    conflicts: set[tuple[int, int]] = field(default_factory=set)


def walk_log(ledger: Ledger) -> LogFindings:
    found = LogFindings()
    key_home: dict[int, int] = {}
    for partition in sorted(ledger.log):
        _walk_partition(ledger, partition, ledger.log[partition], key_home, found)
    return found


def _walk_partition(
    ledger: Ledger, partition: int, log: PartitionLog, key_home: dict[int, int], found: LogFindings
) -> None:
    start = ledger.start_of(partition)
    offsets = ledger.committed_offsets
    next_offset = None if offsets is None else offsets.get(partition, 0)
    producers, ranks, marks = ledger.producer, ledger.rank, ledger.marks
    has_keys = bool(ledger.key_modulus) or ledger.key is not None
    furthest: dict[int, int] = {}  # producer → greatest rank at lower offsets
    here: dict[int, int] = {}  # the same at this offset: ids that share a position have no order among them
    copies_seen: set[int] = set()
    last = -1
    for offset, index, state in log.rows():
        if offset == last and offset >= start:
            found.conflicts.add((partition, offset))
        if offset != last and here:
            for producer, rank in here.items():
                furthest[producer] = max(rank, furthest.get(producer, -1))
            here.clear()
        last = offset
        if not (state & COMMITTED and marks[index] & KNOWN):
            continue
        if next_offset is not None and next_offset <= offset and not ledger.processed_rows[index]:
            found.uncommitted.add(index)
        if has_keys and (key := ledger.key_of(index)) and key_home.setdefault(key, partition) != partition:
            found.split_keys.setdefault(key, index)
        if ledger.committed_rows[index] > 1:
            if index in copies_seen:
                continue
            copies_seen.add(index)
        if ledger.best[index]:
            producer = producers[index] if producers is not None else 0
            if ranks[index] < furthest.get(producer, -1):
                found.reordered.add(index)
            else:
                here[producer] = max(ranks[index], here.get(producer, -1))


def check_acks(ledger: Ledger) -> tuple[set[int], set[tuple[int, int]]]:
    """The present ids that are not at an offset they were acked at, where the read would have shown them; and the
    positions for which acks, log rows and processed rows name more than one id (two log rows apart)."""
    mismatches: set[int] = set()
    conflicts: set[tuple[int, int]] = set()
    gone: dict[tuple[int, int], int] = {}  # acked positions that hold no row → the id acked there
    for index, partition, offset in _acks(ledger):
        log = ledger.log.get(partition)
        stored = [] if log is None else log.indexes_at(offset)
        if (stored == [index] and not ledger.unconfirmed) or offset < ledger.start_of(partition):
            continue
        position = (partition, offset)
        if index not in stored and ledger.committed_rows[index] and ledger.inside_read(partition, offset):
            mismatches.add(index)
        witnesses = stored or [gone.setdefault(position, index)]
        if any(witness != index for witness in (*witnesses, *ledger.unconfirmed.get(position, ()))):
            conflicts.add(position)
    for (partition, offset), indexes in ledger.unconfirmed.items():
        if offset >= ledger.start_of(partition):
            log = ledger.log.get(partition)
            if len(indexes) > 1 or (log is not None and log.indexes_at(offset)):
                conflicts.add((partition, offset))
    return (set() if ledger.compacted else mismatches), conflicts


def phantoms(ledger: Ledger) -> set[int]:
    """Ids without any row, processed at a position where the read would have shown one."""
    found: set[int] = set()
    for (partition, offset), indexes in ledger.unconfirmed.items():
        if offset >= ledger.start_of(partition) and ledger.inside_read(partition, offset):
            found.update(index for index in indexes if not has_any_row(ledger, index))
    return found


def has_any_row(ledger: Ledger, index: int) -> bool:
    return bool(ledger.committed_rows[index] or ledger.aborted_rows[index] or ledger.undecided_rows[index])


def _acks(ledger: Ledger) -> Iterator[tuple[int, int, int]]:
    """Index, partition and offset of every acked attempt whose offset is known."""
    for index, best in enumerate(ledger.best):
        if best == ACKED and index not in ledger.more_attempts:
            if ledger.first_offset[index] != NOWHERE:
                yield index, ledger.first_partition[index], ledger.first_offset[index]
        elif best == ACKED:
            for outcome, partition, offset in ledger.attempts(index):
                if outcome == ACKED and offset != NOWHERE:
                    yield index, partition, offset
