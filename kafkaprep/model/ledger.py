"""The rows of a run's binary ledgers: 32 bytes each, little-endian, CRC last.

A row is written before the act it announces (CALLED) or right after the observation it records. A file may be
torn by a crash: `RowReader` stops at the first row that is short or fails its CRC and says so.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

_BODY = struct.Struct("<BBhBBhQqI")  # kind code partition actor attempt error id offset ticks
_CRC = struct.Struct("<I")
ROW_BYTES = _BODY.size + _CRC.size
TICKS_PER_SECOND = 10_000  # `ticks` counts 100 µs since the run began (monotonic clock)

NO_PARTITION = -1
NO_OFFSET = -1


class RowKind(IntEnum):
    CALLED = 1  # produce() is about to be called
    REPORTED = 2  # the delivery report arrived; code = SendOutcome, error = Kafka's error code
    REFUSED = 3  # produce() raised: the attempt does not exist
    DELIVERED = 4  # poll() returned the message to the consumer
    PROCESSED = 5  # the handler finished
    COMMITTED = 6  # a commit was answered; offset = next offset, code 1 = accepted, 0 = refused
    STORED = 7  # the final reader saw the message; code = Committed


class SendOutcome(IntEnum):
    UNKNOWN = 0
    FAILED = 1
    ACKED = 2


class Committed(IntEnum):
    """Of a stored message: in an aborted transaction, committed (or not transactional), or undecided."""

    FALSE = 0
    TRUE = 1
    NULL = 2


class Row(NamedTuple):
    kind: int
    code: int
    partition: int
    actor: int
    attempt: int
    error: int
    id: int
    offset: int
    ticks: int


def pack(row: Row) -> bytes:
    body = _BODY.pack(*row)
    return body + _CRC.pack(zlib.crc32(body))


@dataclass(slots=True)
class RowReader:
    """Iterates the whole rows of a ledger's bytes; `torn` is true once a damaged tail was met."""

    data: bytes
    torn: bool = False

    def __iter__(self) -> Iterator[Row]:
        data, size = self.data, len(self.data)
        for start in range(0, size - ROW_BYTES + 1, ROW_BYTES):
            body = data[start : start + _BODY.size]
            (crc,) = _CRC.unpack_from(data, start + _BODY.size)
            if zlib.crc32(body) != crc:
                self.torn = True
                return
            yield Row._make(_BODY.unpack(body))
        if size % ROW_BYTES:
            self.torn = True
