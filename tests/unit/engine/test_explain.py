"""Why a run ended as it did, in the lab's words and this run's own numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saved_runs import FAULTS, LOST, MESSAGES, acks_zero, save_run

from kafkaprep.engine.explain import missing_ids, numbers, ranges, why
from kafkaprep.engine.prove import Proof, claims
from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.saved_run import BOUNDS, open_run
from kafkaprep.model.history import EventName
from kafkaprep.model.lab import WHY_NUMBERS, ExhibitCase, Kind
from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Outcome


@pytest.mark.parametrize("lost", [(), LOST])
@pytest.mark.parametrize("faults", [(), FAULTS])
def test_every_placeholder_is_filled(tmp_path: Path, lost: range, faults: tuple) -> None:  # type: ignore[type-arg]
    saved = open_run(save_run(tmp_path / "run", lost=lost, faults=faults))
    assert numbers(saved).keys() == WHY_NUMBERS.keys()
    everything = " ".join(f"{name}={{{name}}}" for name in WHY_NUMBERS)
    lab = replace(acks_zero(), why={Outcome.BROKEN: everything, Outcome.KEPT: everything})
    text = why(lab, saved)
    assert not re.search(r"[{}]", text)
    assert all(re.search(rf"\b{name}=\S", text) for name in WHY_NUMBERS)


def test_the_numbers_are_those_of_the_run(tmp_path: Path) -> None:
    saved = open_run(save_run(tmp_path / "run", lost=[*LOST, 7]))
    filled = numbers(saved)
    wanted = {
        "planned": "400", "sent": "400", "reported": "400", "failed": "0", "in_log": "299", "missing": "101",
        "missing_ids": "7, 300–399", "lost": "0", "duplicated": "0", "processed": "299", "acks": "0",
        "paused": "2", "paused_at": "1.25", "killed": "2", "killed_at": "1.93", "new_leader": "3",
        "acked": "0", "lost_ids": "none", "reused": "0", "skipped": "0", "skipped_ids": "none", "twice": "0",
        "twice_ids": "none", "calls": "299", "effects": "–", "effects_twice": "–", "min_isr": "1", "commit": "after",
        "sink": "–", "crashed_at": "–", "crash_message": "–", "started_at": "–",
    }  # fmt: skip
    assert wanted.items() <= filled.items()


def test_acks_that_nobody_set_are_the_default(tmp_path: Path) -> None:
    lab = replace(acks_zero(), start=Settings())
    assert numbers(open_run(save_run(tmp_path / "run", lab=lab)))["acks"] == "all"


def test_a_run_without_faults_says_so_with_dashes(tmp_path: Path) -> None:
    filled = numbers(open_run(save_run(tmp_path / "run", faults=())))
    assert {filled[name] for name in ("paused", "paused_at", "killed", "killed_at", "new_leader")} == {"–"}
    assert filled["missing_ids"] == "none"


def test_a_void_run_gets_its_reason_and_no_conclusion(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    recorder = Recorder(folder)
    recorder.record(EventName.VOID, fault="await new_leader", reason="no new leader within 20 s")
    recorder.close()
    text = why(acks_zero(), open_run(folder))
    assert "await new_leader" in text and "no new leader within 20 s" in text and "proves nothing" in text
    assert "reported delivered" not in text


def test_an_inconclusive_run_is_not_explained_by_the_lab(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    bounds = json.loads((folder / BOUNDS).read_text())
    bounds["partitions"]["0"]["read_to"] = 5
    (folder / BOUNDS).write_text(json.dumps(bounds))
    assert "not proven" in why(acks_zero(), open_run(folder))


def test_a_lab_without_a_paragraph_gets_the_counts(tmp_path: Path) -> None:
    text = why(replace(acks_zero(), why={}), open_run(save_run(tmp_path / "run", lost=LOST)))
    assert text == "400 messages were reported delivered, 300 are in the log, 300 were processed."


def test_braces_that_name_nothing_stay(tmp_path: Path) -> None:
    lab = replace(acks_zero(), why={Outcome.BROKEN: "{nothing} {} {missing}"})
    assert why(lab, open_run(save_run(tmp_path / "run", lost=LOST))) == "{nothing} {} 100"


def test_missing_ids_are_all_of_them(tmp_path: Path) -> None:
    saved = open_run(save_run(tmp_path / "run", lost=LOST))
    assert missing_ids(saved) == list(LOST)
    assert len(missing_ids(saved)) == saved.verdict.counts["missing"]
    assert missing_ids(open_run(save_run(tmp_path / "kept", solution=True))) == []
    assert MESSAGES == 400


@pytest.mark.parametrize(
    ("ids", "text"),
    [([], ""), ([5], "5"), ([1, 2, 3], "1–3"), ([3, 1, 2, 7], "1–3, 7"), ([0, 2, 4], "0, 2, 4")],
)
def test_ranges(ids: list[int], text: str) -> None:
    assert ranges(ids) == text


@given(st.sets(st.integers(0, 60)))
def test_ranges_name_every_id_and_no_other(ids: set[int]) -> None:
    named: list[int] = []
    for part in filter(None, ranges(ids).split(", ")):
        first, _, last = part.partition("–")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(ids)


# What a lab claims


def test_a_lab_claims_that_start_breaks_and_solution_keeps() -> None:
    start, solution = claims(acks_zero())
    assert (start.name, start.solution, start.outcome) == ("start", False, Outcome.BROKEN)
    assert (solution.name, solution.solution, solution.outcome) == ("solution", True, Outcome.KEPT)


def test_an_exhibit_claims_what_each_case_declares() -> None:
    cases = (
        ExhibitCase(Settings({Scope.PRODUCER: {"acks": "1"}}), Outcome.BROKEN),
        ExhibitCase(Settings({Scope.PRODUCER: {"acks": "all"}}), Outcome.KEPT),
    )
    made = claims(replace(acks_zero(), kind=Kind.EXHIBIT, exhibit=cases))
    assert [(claim.name, claim.outcome) for claim in made] == [("case 1", Outcome.BROKEN), ("case 2", Outcome.KEPT)]
    assert [claim.changes for claim in made] == [case.settings for case in cases]
    assert not any(claim.solution for claim in made)


@pytest.mark.parametrize(
    ("outcomes", "holds"),
    [([], False), (["broken"], True), (["broken", "broken"], True), (["broken", "kept"], False), (["void"], False)],
)
def test_a_claim_holds_only_if_every_run_agrees(outcomes: list[str], holds: bool) -> None:
    proof = Proof(claims(acks_zero())[0], outcomes, [1.0] * len(outcomes))
    assert proof.holds is holds
    assert proof.as_dict()["agreeing"] == outcomes.count("broken")
    assert proof.as_dict()["runs"] == len(outcomes)
