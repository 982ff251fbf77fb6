"""Where a message stands: dense indexes for ids, sorted rows for offsets."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from kafkaprep.errors import KafkaprepError

# The state bits of a stored row. A row has one of the first three, unless a document contradicts itself.
COMMITTED, ABORTED, UNDECIDED, PROCESSED = 1, 2, 4, 8

MAX_SPAN = 2**32 - 2


def refuse_span(partition: int, first: int, last: int) -> None:
    if last - first > MAX_SPAN:
        raise KafkaprepError(
            f"Partition {partition} spans offsets {first} to {last}; the audit takes a span of at most {MAX_SPAN}.",
            "Audit a shorter run.",
        )


class IdMap:
    """Ids to indexes: an id below `dense` is its own index, any other gets the next free one."""

    __slots__ = ("_indexes", "_names", "dense")

    def __init__(self, dense: int) -> None:
        self.dense = dense
        self._indexes: dict[int, int] = {}
        self._names: list[int] = []

    def __len__(self) -> int:
        return self.dense + len(self._names)

    def index(self, message: int) -> int:
        if 0 <= message < self.dense:
            return message
        index = self._indexes.get(message)
        if index is None:
            index = self._indexes[message] = len(self)
            self._names.append(message)
        return index

    def name(self, index: int) -> int:
        return index if index < self.dense else self._names[index - self.dense]

    def ascending(self) -> Iterator[int]:
        """Every index, in the order of the ids."""
        yield from range(self.dense)
        yield from sorted(range(self.dense, len(self)), key=self.name)


class PartitionLog:
    """The rows of one partition, sorted by offset; offsets are relative to the first, as u32.

    Rows that come out of order, or name a second id for an offset, wait in `_late` until `seal` merges them.
    """

    __slots__ = ("_late", "base", "indexes", "offsets", "partition", "states")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.base = 0
        self.offsets = array("I")
        self.indexes = array("I")
        self.states = bytearray()
        self._late: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, offset: int, index: int, state: int) -> None:
        if not self.offsets:
            self.base = offset
        relative = offset - self.base
        if not self.offsets or relative > self.offsets[-1]:
            refuse_span(self.partition, self.base, offset)
            self.offsets.append(relative)
            self.indexes.append(index)
            self.states.append(state)
        elif relative == self.offsets[-1] and index == self.indexes[-1]:
            self.states[-1] |= state
        else:
            self._late.append((offset, index, state))

    def seal(self) -> None:
        """Sorts, if rows came mixed, and merges repeated rows."""
        if not self._late:
            return
        rows = sorted([*self._late, *((self.base + o, i, s) for o, i, s in self._rows())])
        self._late = []
        refuse_span(self.partition, rows[0][0], rows[-1][0])
        self.base = rows[0][0]
        self.offsets, self.indexes, self.states = array("I"), array("I"), bytearray()
        for offset, index, state in rows:
            relative = offset - self.base
            if self.offsets and relative == self.offsets[-1] and index == self.indexes[-1]:
                self.states[-1] |= state
            else:
                self.offsets.append(relative)
                self.indexes.append(index)
                self.states.append(state)

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.offsets, self.indexes, self.states, strict=True)

    def rows(self) -> Iterator[tuple[int, int, int]]:
        """Offset, index, state, by offset."""
        base = self.base
        for offset, index, state in self._rows():
            yield base + offset, index, state

    def find(self, offset: int, index: int) -> int:
        """The number of the row of that id at that offset, or -1."""
        relative = offset - self.base
        row = bisect_left(self.offsets, relative)
        while row < len(self.offsets) and self.offsets[row] == relative:
            if self.indexes[row] == index:
                return row
            row += 1
        return -1

    def indexes_at(self, offset: int) -> list[int]:
        relative = offset - self.base
        row = bisect_left(self.offsets, relative)
        found = []
        while row < len(self.offsets) and self.offsets[row] == relative:
            found.append(self.indexes[row])
            row += 1
        return found

    def processed(self, row: int) -> bool:
        return bool(self.states[row] & PROCESSED)

    def mark_processed(self, row: int) -> None:
        self.states[row] |= PROCESSED
