"""The labs commit-before-processing and commit-after-processing: a consumer dies between its work and its commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command import program

from kafkaprep.engine.cluster.local import LocalCluster
from kafkaprep.engine.saved_run import handled_ledger
from kafkaprep.engine.traffic.sink import effects_by_id
from kafkaprep.model.ledger import RowKind, RowReader

pytestmark = pytest.mark.kafka

CRASH = 120  # the number of the message at which the first process dies


@pytest.fixture(autouse=True)
def warm(cluster: LocalCluster, shared_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs attach to the shared cluster."""
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(shared_state))


def lab(lab_id: str, *arguments: str, expect: str) -> tuple[dict[str, Any], list[list[int]]]:
    """The document of a run, and the ids each of the two consumer processes finished, in order."""
    done = program("lab", lab_id, *arguments, "--json", "--expect", expect)
    document: dict[str, Any] = done.document
    assert done.code == 0 and document["void"] is None, done.err
    assert [(fault["name"], fault["target"]) for fault in document["faults"]] == [
        ("crash", "consumer"),
        ("start", "consumer"),
    ]
    folder = Path(document["history"])
    worked = [
        [row.id for row in RowReader((folder / handled_ledger(index)).read_bytes()) if row.kind == RowKind.PROCESSED]
        for index in (0, 1)
    ]
    assert sum(document["fates"].values()) == document["counts"]["in_log"] == 1000
    return document, worked


def test_committed_before_the_work_means_skipped() -> None:
    document, (first, second) = lab("commit-before-processing", expect="broken")
    assert first == list(range(CRASH - 1))
    skipped = sorted(set(range(1000)) - {*first, *second})
    assert skipped == list(range(CRASH - 1, second[0])) and 1 <= len(skipped) <= 50
    assert document["fates"] == {"skipped": len(skipped), "processed_once": 1000 - len(skipped)}
    (promise,) = document["promises"]
    assert (promise["name"], promise["severity"], promise["count"]) == ("nothing_skipped", "permitted", len(skipped))


def test_committed_after_the_work_skips_nothing_and_repeats_some() -> None:
    document, (first, second) = lab("commit-before-processing", "--solution", expect="kept")
    assert first == list(range(CRASH - 1))
    assert {*first, *second} == set(range(1000))
    assert document["counts"]["processed_twice"] == len({*first} & {*second})


def test_appended_results_count_twice() -> None:
    document, (first, second) = lab("commit-after-processing", expect="broken")
    twice = sorted({*first} & {*second})
    assert first == list(range(CRASH)) and 1 <= len(twice) <= 50 and twice[-1] == CRASH - 1
    assert document["sink"] == {
        "rule": "append",
        "calls": 1000 + len(twice),
        "effects": 1000 + len(twice),
        "messages": 1000,
        "more_than_once": len(twice),
    }
    assert document["promises"][0]["count"] == len(twice)
    effects = effects_by_id(Path(document["history"]) / "effects.sqlite")
    assert effects is not None and sorted(one for one, rows in effects.items() if rows == 2) == twice


def test_an_upsert_makes_the_second_call_harmless() -> None:
    document, (first, second) = lab("commit-after-processing", "--solution", expect="kept")
    twice = {*first} & {*second}
    assert document["counts"]["processed_twice"] == len(twice) >= 1
    assert document["sink"]["calls"] == 1000 + len(twice)
    assert document["sink"]["effects"] == document["sink"]["messages"] == 1000


def test_no_effect_at_all_is_not_once() -> None:
    """The wrong turn: committing first trades the second effect for none."""
    arguments = ("--solution", "--set", "application.commit=before")
    document, (first, second) = lab("commit-after-processing", *arguments, expect="broken")
    skipped = sorted(set(range(1000)) - {*first, *second})
    assert document["promises"][0]["count"] == document["counts"]["skipped"] == len(skipped) >= 1
