"""The application's own database: one SQLite file a run.

It outlives every consumer process. The handler's effect is a row in it: with `append` one more row each time, with
`upsert` one row for each message id. An effect is in the file when `store` returns, and a SIGKILL afterwards takes
nothing away (a power cut could). Whoever counts the effects trusts nothing in the file: a run may come from elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

RULES = ("append", "upsert")
_BUSY_S = 10.0
_MOST_STEPS = 200_000_000  # of SQLite's machine, for counting; a million rows take a tenth of it
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


def settle_sink(path: Path) -> None:
    """Make the sink one file that can be read anywhere, once nobody writes to it any more."""
    database = _connect(path)
    try:
        database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error:
        pass  # what cannot be read will say so
    finally:
        database.close()


def effects_by_id(path: Path) -> dict[int, int] | None:
    """How many rows each message id has in the sink; None if it cannot be read."""
    if not path.is_file():
        return None
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        try:
            database.execute("PRAGMA trusted_schema = OFF")
            database.set_progress_handler(lambda: 1, _MOST_STEPS)
            if database.execute(_KIND).fetchall() != [("table",)]:
                return None
            return {int(message): int(rows) for message, rows in database.execute(_COUNT)}
        finally:
            database.close()
    except (sqlite3.Error, TypeError, ValueError, OverflowError):
        return None


_KIND = "SELECT type FROM sqlite_master WHERE name = 'effects'"
_COUNT = "SELECT id, COUNT(*) FROM effects GROUP BY id"


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
