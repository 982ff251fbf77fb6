"""The application's own database: one SQLite file a run.

It outlives every consumer process. The handler's effect is a row in it: with `append` one more row each time, with
`upsert` one row for each message id. An effect is in the file when `store` returns, and a SIGKILL afterwards takes
nothing away (a power cut could).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

RULES = ("append", "upsert")
_BUSY_S = 10.0
_COLUMNS = '"partition" INTEGER NOT NULL, "offset" INTEGER NOT NULL, consumer INTEGER NOT NULL'
_CREATE = {
    "append": f"CREATE TABLE effects (id INTEGER NOT NULL, {_COLUMNS})",
    "upsert": f"CREATE TABLE effects (id INTEGER PRIMARY KEY, {_COLUMNS})",
}
_INSERT = 'INSERT INTO effects (id, "partition", "offset", consumer) VALUES (?, ?, ?, ?)'
_STORE = {
    "append": _INSERT,
    "upsert": f"""{_INSERT} ON CONFLICT (id) DO UPDATE SET
        "partition" = excluded."partition", "offset" = excluded."offset", consumer = excluded.consumer""",
}

Effect = tuple[int, int, int, int]  # id, partition, offset, consumer


def create_sink(path: Path, rule: str) -> None:
    """Make the empty sink at `path`, before anybody writes to it."""
    database = _connect(path)
    try:
        database.execute("PRAGMA journal_mode = WAL")  # kept in the file
        database.execute(_CREATE[rule])
    finally:
        database.close()


class Sink:
    """A consumer's connection to the sink."""

    def __init__(self, path: Path, rule: str) -> None:
        self._database = _connect(path)
        self._database.execute("PRAGMA synchronous = OFF")
        self._statement = _STORE[rule]

    def store(self, effects: Iterable[Effect]) -> None:
        """Store them in one transaction."""
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(self._statement, effects)
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


def effects_by_id(path: Path) -> dict[int, int] | None:
    """How many rows each message id has in the sink; None if it cannot be read."""
    if not path.is_file():
        return None
    try:
        database = _connect(path)
        try:
            return {int(message): int(rows) for message, rows in database.execute(_COUNT)}
        finally:
            database.close()
    except (sqlite3.Error, TypeError, ValueError):
        return None


_COUNT = "SELECT id, COUNT(*) FROM effects GROUP BY id"


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
