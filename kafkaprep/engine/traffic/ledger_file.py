"""How rows reach a ledger: unbuffered, whole batches, in the order they were made.

What was written has left the process: a SIGKILL right after takes nothing of it away. Bodies are collected and get
their checksums when they are written, which keeps the work per message small.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

from kafkaprep.model.ledger import NO_OFFSET, ROW_BYTES, TICKS_PER_SECOND, Row, pack

# The end of a row's body after what row_prefix() makes: id, offset, ticks.
_REST = struct.Struct("<8sQqI")
_CRC = struct.Struct("<I")
_PREFIX_BYTES = 8

body = _REST.pack  # body(prefix, id, offset, ticks)


def row_prefix(kind: int, code: int, partition: int, actor: int, attempt: int = 0, error: int = 0) -> bytes:
    """The first bytes of a row, equal for many rows: made once, used often."""
    return pack(Row(kind, code, partition, actor, attempt, error, 0, NO_OFFSET, 0))[:_PREFIX_BYTES]


def ticks_since(t0: float) -> int:
    return max(0, int((time.monotonic() - t0) * TICKS_PER_SECOND)) & 0xFFFFFFFF


class LedgerFile:
    """Append bodies to `bodies`, then `flush`. An empty path keeps no ledger."""

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(Path(path), flags, 0o644) if path else -1
        self.bodies: list[bytes] = []

    def flush(self) -> None:
        bodies = self.bodies
        if not bodies:
            return
        if self._fd >= 0:
            seal, crc32 = _CRC.pack, zlib.crc32
            parts: list[bytes] = [b""] * (2 * len(bodies))
            parts[::2] = bodies
            parts[1::2] = map(seal, map(crc32, bodies))
            self._write(b"".join(parts))
        bodies.clear()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def cut(self, size: int) -> None:
        """Forget everything after `size` bytes."""
        self.bodies.clear()
        os.ftruncate(self._fd, size)

    def read_rows_bytes(self, start: int, stop: int) -> bytes:
        return os.pread(self._fd, stop - start, start)

    def replace_bytes(self, path: str, start: int, data: bytes) -> None:
        """Overwrite rows in place. O_APPEND would ignore the position, hence the second descriptor."""
        fd = os.open(Path(path), os.O_WRONLY | os.O_CLOEXEC)
        try:
            rest, at = memoryview(data), start
            while rest:
                done = os.pwrite(fd, rest, at)
                rest, at = rest[done:], at + done
        finally:
            os.close(fd)

    def close(self) -> None:
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


assert _REST.size + _CRC.size == ROW_BYTES
