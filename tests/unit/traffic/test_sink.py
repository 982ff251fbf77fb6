"""The sink: one row more, or one row a message; what is stored survives the process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from kafkaprep.engine.traffic.sink import RULES, Sink, create_sink, effects_by_id, settle_sink


@pytest.mark.parametrize(("rule", "rows"), [("append", {1: 2, 2: 1, 3: 1}), ("upsert", {1: 1, 2: 1, 3: 1})])
def test_a_second_call_is_a_second_effect_only_where_rows_are_appended(
    tmp_path: Path, rule: str, rows: dict[int, int]
) -> None:
    path = tmp_path / "sink.sqlite"
    create_sink(path, rule)
    assert effects_by_id(path) == {}
    first, second = Sink(path, rule), Sink(path, rule)
    first.store([(1, 0, 10, 0), (2, 0, 11, 0)])
    second.store(iter([(1, 0, 10, 1), (3, 0, 12, 1)]))
    first.close()
    second.close()
    assert effects_by_id(path) == rows


def test_the_rules_are_those_of_the_settings_table() -> None:
    from kafkaprep.catalog.settings import load_settings
    from kafkaprep.model.settings import Scope

    assert load_settings().find(Scope.APPLICATION, "sink").choices == RULES


def test_a_kill_takes_nothing_that_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "sink.sqlite"
    create_sink(path, "append")
    dies = (
        "import os, signal, sys; from pathlib import Path; from kafkaprep.engine.traffic.sink import Sink;"
        "sink = Sink(Path(sys.argv[1]), 'append'); sink.store([(7, 0, 7, 0)]);"
        "sink._database.execute('BEGIN IMMEDIATE');"
        "sink._database.execute('INSERT INTO effects VALUES (8, 0, 8, 0)');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", dies, str(path)], check=False).returncode == -9
    survivor = Sink(path, "append")
    survivor.store([(9, 0, 9, 1)])
    survivor.close()
    assert effects_by_id(path) == {7: 1, 9: 1}


def test_a_settled_sink_is_one_file_that_nobody_may_have_to_write_to(tmp_path: Path) -> None:
    path = tmp_path / "sink.sqlite"
    create_sink(path, "append")
    abandoned = Sink(path, "append")
    abandoned.store([(7, 0, 7, 0)])
    abandoned.close()
    settle_sink(path)
    assert [file.name for file in tmp_path.iterdir()] == ["sink.sqlite"]
    path.chmod(0o400)
    assert effects_by_id(path) == {7: 1}


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE VIEW effects AS SELECT 1 AS id",
        "CREATE VIEW effects AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n",
        "CREATE TABLE effects (name TEXT)",
        "CREATE TABLE effects (id TEXT); INSERT INTO effects VALUES ('seven')",
        "CREATE TABLE effects (id); INSERT INTO effects VALUES (NULL)",
    ],
)
def test_a_file_from_elsewhere_that_is_no_sink_is_none(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "sink.sqlite"
    database = sqlite3.connect(path)
    database.executescript(schema)
    database.close()
    assert effects_by_id(path) is None


@pytest.mark.parametrize("content", [None, b"", b"no database at all, whatever its name may say"])
def test_a_sink_that_cannot_be_read_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "sink.sqlite"
    if content is not None:
        path.write_bytes(content)
    assert effects_by_id(path) is None
