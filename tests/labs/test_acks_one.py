"""The lab acks-one on real brokers: a leader's yes is worth one copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import program

from kafkaprep.engine.cluster.local import LocalCluster
from kafkaprep.engine.saved_run import open_run

pytestmark = pytest.mark.kafka

FORCED = range(300, 400)  # acknowledged by a leader whose followers were frozen
PAUSE_LIMIT_S = 4.0  # session and lag time: beyond it the followers are out of the ISR


@pytest.fixture(autouse=True)
def warm(cluster: LocalCluster, shared_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs attach to the shared cluster."""
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(shared_state))


def check_faults(document: dict) -> None:  # type: ignore[type-arg]
    """Both followers frozen, the leader killed, the followers back before anybody missed them, then a new leader."""
    faults = document["faults"]
    assert [fault["name"] for fault in faults] == ["pause", "pause", "kill", "resume", "resume", "new leader"]
    paused, killed, moved = {fault["broker"] for fault in faults[:2]}, faults[2], faults[5]
    assert paused == {fault["broker"] for fault in faults[3:5]} == {1, 2, 3} - {killed["broker"]}
    assert moved["broker"] in paused
    assert faults[4]["at_s"] - faults[0]["at_s"] < PAUSE_LIMIT_S


def test_the_start_loses_what_only_the_leader_had() -> None:
    done = program("lab", "acks-one", "--json", "--expect", "broken")
    document = done.document
    assert done.code == 0 and document["void"] is None
    check_faults(document)
    counts = document["counts"]
    assert counts["acked"] == counts["reported_delivered"] == 1000
    assert counts["lost"] == counts["missing"] == len(FORCED)
    assert document["fates"] == {"lost": 100, "processed_once": 900}
    (promise,) = document["promises"]
    assert (promise["name"], promise["severity"], promise["count"]) == ("no_acked_loss", "permitted", 100)
    # The old leader came back, cut its log, and other messages have the offsets that it had given out.
    classes = open_run(Path(document["history"])).verdict.classes
    assert classes["lost"] == list(FORCED)
    assert classes["offset_conflict"] == [[0, offset] for offset in FORCED]


def test_the_solution_keeps_every_acknowledged_message() -> None:
    done = program("lab", "acks-one", "--solution", "--json", "--expect", "kept")
    document = done.document
    assert done.code == 0 and document["void"] is None
    check_faults(document)
    assert document["counts"]["acked"] == document["counts"]["in_log"] == 1000
    assert document["counts"]["lost"] == 0
    assert not open_run(Path(document["history"])).verdict.classes.get("offset_conflict")


def test_min_insync_replicas_alone_does_not_help() -> None:
    done = program("lab", "acks-one", "--set", "topic.min.insync.replicas=2", "--json", "--expect", "broken")
    assert done.code == 0 and done.document["counts"]["lost"] == len(FORCED)
