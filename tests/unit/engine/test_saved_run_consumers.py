"""A run whose consumer died: every ledger counts, a missing one proves nothing, effects are judged from the sink."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from saved_runs import FAULTS, MESSAGES, processed, save_run, write_bounds, write_rows

from kafkaprep.engine.recording import opened, pack
from kafkaprep.engine.saved_run import HISTORY, PLAN, SINK, handled_ledger, open_run
from kafkaprep.engine.traffic.sink import Sink, create_sink, settle_sink
from kafkaprep.model.history import EventName
from kafkaprep.model.verdict import Outcome

CRASH = 120


def crashed(folder: Path, promise: str, first: range, second: range, application: dict[str, str]) -> Path:
    """A run in which consumer 0 processed `first` and died, and consumer 1 processed `second`."""
    save_run(folder, solution=True, faults=FAULTS[:0])
    plan = json.loads((folder / PLAN).read_text())
    plan["promises"] = [promise]
    plan["settings"]["application"] = application
    (folder / PLAN).write_text(json.dumps(plan))
    events = [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]
    for event in events:
        if event["event"] == EventName.COUNTS:
            event["processed"] = len(first) + len(second)
    lines = [json.dumps(event) for event in events]
    started = json.dumps({"at_s": 1.0, "event": EventName.CONSUMER_STARTED, "index": 1})
    (folder / HISTORY).write_text("\n".join([lines[0], started, *lines[1:]]) + "\n")
    write_rows(folder / handled_ledger(0), [processed(m, m) for m in first])
    write_rows(folder / handled_ledger(1), [processed(m, m) for m in second])
    write_bounds(folder, end=MESSAGES)
    return folder


def with_sink(folder: Path, rule: str, *calls: range) -> Path:
    create_sink(folder / SINK, rule)
    for consumer, ids in enumerate(calls):
        sink = Sink(folder / SINK, rule)
        sink.store((one, 0, one, consumer) for one in ids)
        sink.close()
    return folder


def test_skipped_is_what_neither_process_worked_on(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "run", "nothing_skipped", range(CRASH), range(150, MESSAGES), {"commit": "before"})
    saved = open_run(folder)
    assert saved.outcome is Outcome.BROKEN
    assert saved.verdict.fates == {"skipped": 30, "processed_once": MESSAGES - 30}
    (promise,) = saved.verdict.promises
    assert (
        promise.count == 30 and promise.examples == tuple(range(CRASH, CRASH + 20)) and promise.severity == "permitted"
    )


def test_a_ledger_that_is_missing_proves_nothing(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "run", "nothing_skipped", range(CRASH), range(100, MESSAGES), {})
    assert open_run(folder).outcome is Outcome.KEPT
    (folder / handled_ledger(1)).unlink()
    saved = open_run(folder)
    assert saved.outcome is Outcome.INCONCLUSIVE and saved.verdict.partial


@pytest.mark.parametrize("index", ["1", None, 1.5])
def test_a_damaged_record_of_a_consumer_cuts_the_history_off(tmp_path: Path, index: object) -> None:
    folder = crashed(tmp_path / "run", "nothing_skipped", range(CRASH), range(CRASH, MESSAGES), {})
    text = (folder / HISTORY).read_text().replace('"index": 1', f'"index": {json.dumps(index)}')
    (folder / HISTORY).write_text(text)
    assert open_run(folder).void is not None


@pytest.mark.parametrize(("rule", "outcome", "effects"), [("append", "broken", 20), ("upsert", "kept", 0)])
def test_two_calls_are_judged_by_their_effects(tmp_path: Path, rule: str, outcome: str, effects: int) -> None:
    first, second = range(CRASH), range(100, MESSAGES)
    folder = crashed(tmp_path / "run", "processed_once", first, second, {"commit": "after", "sink": rule})
    saved = open_run(with_sink(folder, rule, first, second))
    assert saved.outcome == outcome and saved.verdict.fates["processed_twice"] == 20
    assert saved.verdict.promises[0].count == effects
    assert saved.document()["sink"] == {
        "rule": rule,
        "calls": MESSAGES + 20,
        "effects": MESSAGES + effects,
        "messages": MESSAGES,
        "more_than_once": effects,
    }


def test_a_skipped_message_has_no_effect_and_never_will(tmp_path: Path) -> None:
    first, second = range(CRASH), range(150, MESSAGES)
    folder = crashed(tmp_path / "run", "processed_once", first, second, {"commit": "before", "sink": "upsert"})
    with_sink(folder, "upsert", range(CRASH + 1), second)  # it died between the effect of 120 and its row
    (promise,) = open_run(folder).verdict.promises
    assert (promise.outcome, promise.count, promise.examples[0]) == (Outcome.BROKEN, 29, CRASH + 1)


@pytest.mark.parametrize("stored", [None, range(0), range(MESSAGES - 1)])
def test_a_sink_that_lacks_effects_or_is_gone_proves_nothing(tmp_path: Path, stored: range | None) -> None:
    folder = crashed(tmp_path / "run", "processed_once", range(CRASH), range(CRASH, MESSAGES), {"sink": "upsert"})
    if stored is not None:
        with_sink(folder, "upsert", stored)
    assert open_run(folder).outcome is Outcome.INCONCLUSIVE


def test_without_a_sink_the_calls_count(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "run", "processed_once", range(CRASH), range(100, MESSAGES), {"commit": "after"})
    saved = open_run(folder)
    assert saved.outcome is Outcome.BROKEN and "sink" not in saved.document()


def test_a_recording_carries_the_sink_and_every_ledger(tmp_path: Path) -> None:
    first, second = range(CRASH), range(100, MESSAGES)
    folder = crashed(tmp_path / "run", "processed_once", first, second, {"commit": "after", "sink": "upsert"})
    with_sink(folder, "upsert", first, second)
    settle_sink(folder / SINK)
    pack(folder, tmp_path / "a.kprun")
    with opened(tmp_path / "a.kprun") as saved:
        assert saved.outcome is Outcome.KEPT
        assert saved.document()["sink"] == open_run(folder).document()["sink"]
