"""A recording holds what judging needs and nothing else, and is unpacked with suspicion."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from kafkaprep.engine.recording import label, opened, pack
from kafkaprep.engine.saved_run import open_run
from kafkaprep.errors import UsageError

PLAN = {
    "format": 1,
    "lab": "acks-zero",
    "messages": 0,
    "keys": 1,
    "partitions": 1,
    "replication": 3,
    "producers": 1,
    "consumers": 1,
    "seed": 1,
    "settings": {},
    "promises": ["no_reported_loss"],
    "steps": [],
}
STARTED = {
    "at_s": 0.0,
    "event": "run_started",
    "began": "2026-01-01T00:00:00+00:00",
    "kafkaprep": "0.1.0",
    "cluster": {"version": "4.4.0"},
    "client": {"name": "librdkafka", "version": "2.16.0"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    (made / "plan.json").write_text(json.dumps(PLAN))
    (made / "history.jsonl").write_text(json.dumps(STARTED) + "\n")
    (made / "sends-0.ledger").write_bytes(b"")
    (made / "producer-0.log").write_text("not for sharing")
    return made


def test_a_packed_run_is_judged_like_its_folder(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.kprun"
    assert pack(folder, file) == file.stat().st_size
    with opened(file) as saved:
        document = saved.document()
        assert not (saved.folder / "producer-0.log").exists()
        assert str(label(saved)) == (
            "RECORDED 2026-01-01T00:00:00+00:00 on Kafka 4.4.0 with librdkafka 2.16.0 (kafkaprep 0.1.0)"
        )
        scratch = saved.folder
    assert not scratch.exists()
    expected = open_run(folder).document()
    assert {**document, "history": ""} == {**expected, "history": ""}


def test_the_same_run_packs_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a")
    pack(folder, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_only_a_run_is_packed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no saved run"):
        pack(tmp_path, tmp_path / "x")


@pytest.mark.parametrize(
    "name", ["../plan.json", "/etc/passwd", "evil.py", "a/plan.json", "plan.json/", "sends-0.ledger\n"]
)
def test_strangers_are_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.kprun"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(UsageError, match="what no recording has"), opened(file):
        pass


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all" * 100])
def test_damage_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bad.kprun"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="is no recording, or a damaged one"), opened(file):
        pass


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafkaprep.engine.recording._LARGEST_BYTES", 10_000)
    file = tmp_path / "bomb.kprun"
    with zipfile.ZipFile(file, "w", compression=zipfile.ZIP_LZMA) as archive:
        archive.writestr("plan.json", b"0" * 10_001)
    with pytest.raises(UsageError, match="too large"), opened(file):
        pass


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no recording at"), opened(tmp_path / "none.kprun"):
        pass
