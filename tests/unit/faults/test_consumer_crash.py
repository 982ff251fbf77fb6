"""A consumer dies exactly where the script says, and the next one takes its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from saved_runs import acks_zero

from kafkaprep.engine.faults.base import LiveRun
from kafkaprep.engine.faults.crash import Crash
from kafkaprep.engine.faults.script import Script
from kafkaprep.engine.faults.start import Start
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.run import counts
from kafkaprep.engine.traffic.actors import ConsumerSnapshot
from kafkaprep.engine.traffic.specs import Barrier
from kafkaprep.errors import RunVoid
from kafkaprep.model.settings import Scope, Settings


class FakeConsumer:
    """Tells its barrier and assignment as a test sets them; `immortal` survives a kill."""

    def __init__(self, name: str, **snapshot: Any) -> None:
        self.name = name
        self.snapshot = ConsumerSnapshot(**snapshot)
        self.alive, self.immortal = True, False
        self.passed = 0

    def kill(self) -> None:
        self.alive = self.immortal

    def pass_barrier(self) -> None:
        self.passed += 1


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveRun]:
    monkeypatch.setattr(Crash, "deadline_s", 0.05)
    monkeypatch.setattr("kafkaprep.engine.faults.start._MARGIN_S", 0.0)
    anything: Any = SimpleNamespace()
    consumers: Any = [FakeConsumer("consumer-0", processed=119, barrier=Barrier("before_work", 120))]
    recorder = Recorder(tmp_path)
    yield LiveRun(
        plan=make_plan(acks_zero(), Settings({Scope.CONSUMER: {"session.timeout.ms": "50"}})),
        cluster=anything,
        inspector=anything,
        producers=[],
        consumers=consumers,
        recorder=recorder,
        stop=threading.Event(),
        partitions=(),
        start_consumer=lambda: FakeConsumer("consumer-1", assigned=(0,), processed=881),  # type: ignore[arg-type,return-value]
    )
    recorder.close()


def play(live: LiveRun, *steps: tuple[str, str]) -> Script:
    played = Script(steps)
    played.play(live)
    return played


CRASH = ("crash", "consumer before_work 120")
START = ("start", "consumer")


def test_killed_at_its_point_and_replaced(live: LiveRun) -> None:
    first = live.consumers[0]
    play(live, CRASH, START)
    assert not first.alive and live.buried == [first]
    assert [each.name for each in live.consumers] == ["consumer-1"]
    assert [(fault.name, fault.target, fault.broker) for fault in live.faults] == [
        ("crash", "consumer", None),
        ("start", "consumer", None),
    ]
    assert live.faults[0].observed == "killed at before_work, message 120"
    assert counts(live)["processed"] == 119 + 881


@pytest.mark.parametrize("barrier", [None, Barrier("after_work", 120), Barrier("before_work", 119)])
def test_a_point_that_is_not_reached_voids_the_run(live: LiveRun, barrier: Barrier | None) -> None:
    consumer: Any = live.consumers[0]
    consumer.snapshot = replace(consumer.snapshot, barrier=barrier)
    with pytest.raises(RunVoid, match=r"has finished 119 messages and does not reach before_work 120|does not reach"):
        play(live, CRASH)
    assert consumer.alive and live.faults == []


def test_a_consumer_that_ends_by_itself_is_no_crash(live: LiveRun) -> None:
    consumer: Any = live.consumers[0]
    consumer.alive, consumer.snapshot = False, replace(consumer.snapshot, barrier=None)
    with pytest.raises(RunVoid, match="had ended before it got there"):
        play(live, CRASH)


def test_one_that_still_stands_there_goes_on_in_healing(live: LiveRun) -> None:
    consumer: Any = live.consumers[0]
    consumer.immortal = True
    played = Script((CRASH,))
    with pytest.raises(RunVoid):
        played.play(live)
    assert played.undo(live) == [] and consumer.passed == 1


def test_nobody_is_started_beside_a_living_consumer(live: LiveRun) -> None:
    with pytest.raises(RunVoid, match="consumer-0 is alive"):
        play(live, START)
    assert len(live.consumers) == 1 and live.buried == []


@pytest.mark.parametrize("assigned", [None, ()])
def test_a_consumer_without_a_partition_is_not_started_yet(live: LiveRun, assigned: tuple[int, ...] | None) -> None:
    live.start_consumer = lambda: FakeConsumer("consumer-1", assigned=assigned)  # type: ignore[assignment,return-value]
    with pytest.raises(RunVoid, match="gave the new consumer no partition"):
        play(live, CRASH, START)


def test_the_wait_for_the_new_consumer_covers_the_session_of_the_dead_one(live: LiveRun) -> None:
    live.consumers[0].kill()
    step = Start("consumer")
    step.arm(live)
    assert step.deadline_s == pytest.approx(0.05)
