"""A saved run is judged from its files alone; whatever is missing or damaged can only make the verdict weaker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from saved_runs import (
    DURATIONS,
    FAULTS,
    LOST,
    MESSAGES,
    called,
    processed,
    reported,
    save_run,
    stored,
    write_bounds,
    write_rows,
)

from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.saved_run import BOUNDS, HISTORY, LOG_LEDGER, PLAN, handled_ledger, open_run, sends_ledger
from kafkaprep.errors import KafkaprepError, UsageError
from kafkaprep.model.history import Event, EventName
from kafkaprep.model.ledger import ROW_BYTES, SendOutcome
from kafkaprep.model.verdict import Outcome

TOP_LEVEL = (
    *("format", "lab", "outcome", "cluster", "void", "client", "seed", "settings", "counts", "fates"),
    *("promises", "faults", "durations", "latency_ms", "history"),
)


def test_a_run_with_losses_is_broken_and_names_each_of_them(tmp_path: Path) -> None:
    saved = open_run(save_run(tmp_path / "run", lost=LOST))
    assert saved.outcome is Outcome.BROKEN
    assert saved.void is None
    assert saved.verdict.counts["missing"] == len(LOST)
    assert saved.verdict.classes["unknown_absent"] == list(LOST)
    (promise,) = saved.verdict.promises
    assert (promise.count, promise.examples) == (len(LOST), tuple(LOST)[:20])
    assert saved.verdict.fates["unknown_absent"] == len(LOST)
    assert sum(saved.verdict.fates.values()) == MESSAGES


def test_a_run_without_losses_is_kept(tmp_path: Path) -> None:
    saved = open_run(save_run(tmp_path / "run", solution=True))
    assert saved.outcome is Outcome.KEPT
    assert saved.verdict.counts["missing"] == 0
    assert saved.verdict.counts["acked"] == saved.verdict.counts["in_log"] == MESSAGES
    assert saved.verdict.fates["processed_once"] == MESSAGES


def test_one_acknowledged_message_less_breaks_the_solution(tmp_path: Path) -> None:
    saved = open_run(save_run(tmp_path / "run", solution=True, lost=[17]))
    assert saved.outcome is Outcome.BROKEN
    assert saved.verdict.classes["lost"] == [17]


def test_a_message_that_failed_openly_is_not_missing(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", solution=True, lost=[MESSAGES - 1])
    rows = [
        row
        for message in range(MESSAGES - 1)
        for row in (called(message), reported(message, SendOutcome.ACKED, message))
    ]
    rows += [called(MESSAGES - 1), reported(MESSAGES - 1, SendOutcome.FAILED, error=10)]
    write_rows(folder / sends_ledger(0), rows)
    saved = open_run(folder)
    assert saved.outcome is Outcome.KEPT
    assert saved.verdict.counts["failed"] == saved.verdict.fates["lost_before_broker"] == 1


def test_the_document_has_every_field(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    document = json.loads(json.dumps(open_run(folder).document()))
    assert tuple(document) == TOP_LEVEL
    assert document["outcome"] == "broken"
    assert document["void"] is None
    assert document["seed"] == 7
    assert document["settings"]["producer"]["acks"] == "0"
    assert document["faults"] == [fault.as_dict() for fault in FAULTS]
    assert document["durations"] == DURATIONS
    assert document["history"] == str(folder)
    assert set(document["settings"]) == {"producer", "consumer", "topic", "broker", "application"}


def test_judging_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    first, second = (json.dumps(open_run(folder).document()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("lost", [(), LOST])  # even where the log ledger holds every message
def test_without_bounds_nothing_is_proven(tmp_path: Path, lost: range) -> None:
    folder = save_run(tmp_path / "run", solution=True, lost=lost)
    assert open_run(folder).outcome is not Outcome.INCONCLUSIVE
    for damage in ("{", "[]", '{"partitions": {}, "committed_offsets": null}', None):
        if damage is None:
            (folder / BOUNDS).unlink()
        else:
            (folder / BOUNDS).write_text(damage)
        saved = open_run(folder)
        assert saved.outcome is Outcome.INCONCLUSIVE
        assert saved.verdict.counts["missing"] == 0


def test_a_read_that_ended_short_proves_no_loss(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    write_bounds(folder, end=MESSAGES, read_to=MESSAGES - len(LOST))
    saved = open_run(folder)
    assert saved.outcome is Outcome.INCONCLUSIVE
    assert saved.verdict.partial


@pytest.mark.parametrize(
    ("ledger", "promise"), [(sends_ledger(0), "no_reported_loss"), (handled_ledger(0), "processed_once")]
)
@pytest.mark.parametrize("cut", [0, 1, 31, 32 * 10 + 5, None])
def test_a_torn_or_missing_ledger_is_never_kept(tmp_path: Path, ledger: str, promise: str, cut: int | None) -> None:
    folder = save_run(tmp_path / "run", solution=True)
    plan = json.loads((folder / PLAN).read_text())
    (folder / PLAN).write_text(json.dumps({**plan, "promises": [promise]}))
    assert open_run(folder).outcome is Outcome.KEPT
    path = folder / ledger
    if cut is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:cut])
    assert open_run(folder).outcome is not Outcome.KEPT


@pytest.mark.parametrize("cut", [31, 32 * 10 + 5, None])
def test_a_torn_or_missing_log_ledger_proves_no_loss(tmp_path: Path, cut: int | None) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    path = folder / LOG_LEDGER
    if cut is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:cut])
    assert open_run(folder).outcome is Outcome.INCONCLUSIVE


def test_a_flipped_bit_ends_a_ledger_there(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", solution=True)
    data = bytearray((folder / LOG_LEDGER).read_bytes())
    data[32 * 50 + 20] ^= 1
    (folder / LOG_LEDGER).write_bytes(data)
    saved = open_run(folder)
    assert saved.outcome is Outcome.INCONCLUSIVE
    assert saved.verdict.counts["in_log"] == 50


@pytest.mark.parametrize("damage", ["torn", "no end", "missing", "empty"])
def test_a_history_without_its_end_voids_the_run(tmp_path: Path, damage: str) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    history = folder / HISTORY
    text = history.read_text()
    match damage:
        case "torn":
            history.write_text(text[:-10])
        case "no end":
            history.write_text("".join(text.splitlines(keepends=True)[:-1]))
        case "missing":
            history.unlink()
        case _:
            history.write_text("")
    saved = open_run(folder)
    assert saved.outcome is Outcome.INCONCLUSIVE
    assert saved.void == {"fault": "the run itself", "reason": "it was cut off before its end"}
    assert saved.verdict.outcome is Outcome.BROKEN  # what the ledgers say is not forgotten
    saved.document()


@pytest.mark.parametrize(
    "line",
    [
        '{"at_s": 1, "event": "void"}',
        '{"at_s": 1, "event": "void", "fault": [], "reason": null}',
        '{"at_s": 1, "event": "fault", "name": "kill"}',
        '{"at_s": 1, "event": "fault", "name": "kill", "target": "x", "broker": [], "at_s": 1, "observed": ""}',
        '{"at_s": 1, "event": "no such event"}',
        "[1]",
        "5",
        "null",
    ],
)
def test_a_damaged_line_voids_the_run(tmp_path: Path, line: str) -> None:
    folder = save_run(tmp_path / "run", solution=True)
    first, *rest = (folder / HISTORY).read_text().splitlines()
    (folder / HISTORY).write_text("\n".join([first, line, *rest]) + "\n")
    saved = open_run(folder)
    assert saved.outcome is Outcome.INCONCLUSIVE
    assert saved.torn_history
    saved.document()


def test_a_void_run_is_inconclusive_for_its_first_reason(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", solution=True)
    recorder = Recorder(folder)
    recorder.record(EventName.VOID, fault="kill leader", reason="no new leader within 20 s")
    recorder.record(EventName.VOID, fault="healing", reason="later")
    recorder.close()
    saved = open_run(folder)
    assert saved.outcome is Outcome.INCONCLUSIVE
    assert saved.document()["void"] == {"fault": "kill leader", "reason": "no new leader within 20 s"}
    assert saved.document()["outcome"] == "inconclusive"


@pytest.mark.parametrize("plan", [None, "{", "[]", "{}", '{"format": 2}'])
def test_a_folder_without_a_plan_is_no_run(tmp_path: Path, plan: str | None) -> None:
    if plan is not None:
        (tmp_path / PLAN).write_text(plan)
    with pytest.raises(UsageError, match="holds no saved run"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    "field", ["messages", "keys", "partitions", "producers", "consumers", "settings", "promises", "replication"]
)
@pytest.mark.parametrize("value", [None, "x", -1, [1], {"a": 1}])
def test_a_damaged_plan_is_one_usage_error(tmp_path: Path, field: str, value: object) -> None:
    folder = save_run(tmp_path / "run")
    plan = json.loads((folder / PLAN).read_text())
    (folder / PLAN).write_text(json.dumps({**plan, field: value}))
    with pytest.raises(UsageError):
        open_run(folder).document()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([HISTORY, BOUNDS, PLAN, LOG_LEDGER, sends_ledger(0), handled_ledger(0)]),
    how=st.sampled_from(["cut", "overwrite", "delete", "drop line"]),
    where=st.floats(0, 1, exclude_max=True),
    noise=st.binary(min_size=8, max_size=8),
)
def test_no_damage_ever_turns_a_loss_into_kept(tmp_path: Path, name: str, how: str, where: float, noise: bytes) -> None:
    """Cut or overwrite one file of a run that lost messages: an error, inconclusive or broken, never kept."""
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    save_run(folder, solution=True, lost=LOST)
    path = folder / name
    data = path.read_bytes()
    start = int(len(data) * where)
    lines = data.splitlines(keepends=True)
    # A ledger cut between two rows looks whole: see the next test.
    assume(not (how == "cut" and name == sends_ledger(0) and start and start % ROW_BYTES == 0))
    if how == "delete":
        path.unlink()
    else:
        damaged = {
            "cut": data[:start],
            "overwrite": data[:start] + noise + data[start + 8 :],
            "drop line": b"".join(line for number, line in enumerate(lines) if number != int(len(lines) * where)),
        }
        path.write_bytes(damaged[how])
    try:
        saved = open_run(folder)
        saved.document()
    except KafkaprepError:
        return
    assert saved.outcome is not Outcome.KEPT or name == PLAN  # another plan may be a kept one


@pytest.mark.parametrize("name", [sends_ledger(0), LOG_LEDGER, handled_ledger(0)])
def test_a_ledger_cut_between_two_rows_is_partial(name: str, tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", solution=True)
    assert not open_run(folder).verdict.partial
    path = folder / name
    path.write_bytes(path.read_bytes()[:-ROW_BYTES])
    assert open_run(folder).verdict.partial, "the history tells of one row more"


def test_a_send_ledger_cut_between_two_rows_is_never_kept(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", solution=True, lost=LOST)
    path = folder / sends_ledger(0)
    path.write_bytes(path.read_bytes()[: ROW_BYTES * MESSAGES])
    assert open_run(folder).outcome is not Outcome.KEPT


# The recorder


def test_events_are_written_as_they_happen_and_heard(tmp_path: Path) -> None:
    heard: list[Event] = []
    recorder = Recorder(tmp_path, heard.append)
    recorder.record(EventName.NOTE, text="one")
    recorder.show(EventName.COUNTS, sent=1)
    first = (tmp_path / HISTORY).read_text()
    assert json.loads(first)["text"] == "one"  # before close: a run that dies can be judged
    recorder.close()
    recorder.record(EventName.NOTE, text="too late")
    assert (tmp_path / HISTORY).read_text() == first
    assert [event.event for event in heard] == [EventName.NOTE, EventName.COUNTS, EventName.NOTE]
    assert 0 <= heard[0].at_s <= recorder.now()


def test_what_is_stored_twice_counts_once(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", solution=True)
    rows = [stored(message, message) for message in range(MESSAGES)]
    write_rows(folder / LOG_LEDGER, [*rows, *rows[:5]])
    assert open_run(folder).verdict.counts["duplicated_in_log"] == 0
    write_rows(folder / LOG_LEDGER, [*rows, stored(5, MESSAGES)])
    write_rows(folder / handled_ledger(0), [processed(m, m) for m in range(MESSAGES)] + [processed(5, MESSAGES)])
    write_bounds(folder, end=MESSAGES + 1)
    saved = open_run(folder)
    assert saved.verdict.counts["duplicated_in_log"] == saved.verdict.counts["processed_twice"] == 1
