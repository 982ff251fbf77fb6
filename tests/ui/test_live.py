"""Events in, pictures out; cells by count and by fate. No screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engines import half_way, nodes, partition, the_rest
from saved_runs import LOST, save_run

from kafkaprep.catalog.labs import read_lab
from kafkaprep.cli import report
from kafkaprep.engine.saved_run import open_run
from kafkaprep.model.history import Event, EventName
from kafkaprep.model.verdict import Fate, Promise
from kafkaprep.ui import words
from kafkaprep.ui.fates import fates_by_id
from kafkaprep.ui.glyphs import FATE_STYLES, UNICODE, UNLISTED
from kafkaprep.ui.live import Feed, StepState
from kafkaprep.ui.widgets.ledgers import bar, fates_bar
from kafkaprep.ui.widgets.message_grid import fate_cells, live_cells, scale

LAB = read_lab(Path(__file__).parent / "labs" / "leader-dies.yaml")


def fed(events: list[Event]) -> Feed:
    feed = Feed(LAB)
    for event in events:
        feed.on_event(event)
    return feed


def test_half_way_one_step_is_at_hand_and_faults_keep_their_words() -> None:
    steps = fed(half_way()).snapshot().steps
    now = [mark.text for mark in steps if mark.state is StepState.NOW]
    assert now == ["await new_leader"]
    pause = next(mark for mark in steps if mark.text == "pause leader")
    assert pause.is_fault and pause.said == "broker 2: the process is stopped, its connections stay open"
    assert [mark.text for mark in steps if mark.state is StepState.DUE] == ["heal", "final read", "judge"]


def test_at_the_end_only_judging_is_left() -> None:
    steps = fed([*half_way(), *the_rest()]).snapshot().steps
    assert [mark.text for mark in steps if mark.state is not StepState.DONE] == ["judge"]


def test_a_void_marks_the_step_that_did_not_take_hold_and_the_run_goes_on_to_heal() -> None:
    void = Event(22.0, EventName.VOID, {"fault": "await new_leader", "reason": "none\x1b[31m"})
    seen = fed([*half_way(), void, *the_rest()[2:]]).snapshot()
    failed = [mark for mark in seen.steps if mark.state is StepState.FAILED]
    assert [mark.text for mark in failed] == ["await new_leader"]
    assert seen.void == failed[0].said == "await new_leader: none\\x1b[31m"


def test_partitions_stay_as_they_were_last_seen_when_nobody_answers() -> None:
    feed = Feed(LAB)
    feed.partitions(partition(2))
    feed.partitions(())
    seen = feed.snapshot()
    assert (seen.partitions, seen.answered) == (partition(2), False)
    feed.partitions(partition(2))
    assert feed.snapshot().answered


def test_what_does_not_change_makes_no_new_picture() -> None:
    feed = Feed(LAB)
    feed.nodes(nodes())
    feed.snapshot()
    feed.nodes(nodes())
    feed.partitions(())
    assert not feed.changed


@pytest.mark.parametrize(
    ("messages", "cells", "expected"),
    [(400, 400, 1), (401, 400, 2), (1000, 400, 5), (1000, 100, 10), (2000, 9999, 1), (2001, 9999, 2), (10, 0, 10)],
)
def test_the_grid_scales_so_that_all_fits(messages: int, cells: int, expected: int) -> None:
    assert scale(messages, cells) == expected


def test_a_million_messages_are_still_a_few_cells() -> None:
    counts = {"planned": 1_000_000, "sent": 700_000, "ok": 500_000, "processed": 100_000}
    cells = live_cells(counts, scale(1_000_000, 500))
    assert len(cells) == 500
    assert [cells.count(name) for name in ("processed", "reported", "sent", "planned")] == [50, 200, 100, 150]


def test_a_cell_shows_the_worst_fate_of_its_messages() -> None:
    fates = [Fate.PROCESSED_ONCE, Fate.PROCESSED_TWICE, Fate.PROCESSED_TWICE, Fate.LOST, Fate.PROCESSED_ONCE]
    assert fate_cells(fates, 2) == [Fate.PROCESSED_TWICE, Fate.LOST, Fate.PROCESSED_ONCE]


def test_every_id_has_the_fate_that_the_audit_gave_it(tmp_path: Path) -> None:
    saved = open_run(save_run(tmp_path / "run", lost=LOST, lab=LAB))
    fates = fates_by_id(saved)
    assert [number for number, fate in enumerate(fates) if fate == Fate.UNKNOWN_ABSENT] == list(LOST)
    assert {fate: fates.count(fate) for fate in set(fates)} == dict(saved.verdict.fates)


def test_an_id_that_the_audit_does_not_list_gets_no_guess(tmp_path: Path) -> None:
    saved = open_run(save_run(tmp_path / "run", lost=LOST, lab=LAB))
    classes = {**saved.verdict.classes, "unknown_absent": [300]}
    fates = fates_by_id(replace(saved, verdict=replace(saved.verdict, classes=classes)))
    assert fates[300] == Fate.UNKNOWN_ABSENT
    assert set(fates) - {fates[300]} == {UNLISTED}


def test_a_bar_is_full_only_for_all_and_empty_only_for_none() -> None:
    assert bar(0, 400, 10, UNICODE) == "░" * 10
    assert bar(1, 400, 10, UNICODE) == "█" + "░" * 9
    assert bar(399, 400, 10, UNICODE) == "█" * 9 + "░"
    assert bar(400, 400, 10, UNICODE) == "█" * 10


def test_the_bar_of_fates_has_a_cell_for_each() -> None:
    drawn = fates_bar({Fate.LOST: 1, Fate.PROCESSED_ONCE: 999_999}, 20, UNICODE).plain
    assert drawn == "✗" + "█" * 19


def test_the_app_and_the_command_use_the_same_words() -> None:
    assert words.PROMISES == report.PROMISES
    assert words.FATES == report.FATES
    assert set(words.PROMISES) == set(Promise)
    assert set(words.FATES) == set(Fate) == set(UNICODE.fates) - {UNLISTED}
    assert set(FATE_STYLES) == set(UNICODE.fates)
