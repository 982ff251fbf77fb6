"""A script acts in order, believes only what it observes, and lifts whatever it left."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ours import soon
from saved_runs import acks_zero

from kafkaprep.engine.cluster.base import NodeState, NodeStatus
from kafkaprep.engine.cluster.inspect import PartitionState
from kafkaprep.engine.faults import awaits, script
from kafkaprep.engine.faults.awaits import NewLeader, ReportedOrStalled
from kafkaprep.engine.faults.base import LiveRun
from kafkaprep.engine.faults.kill import Kill
from kafkaprep.engine.faults.pause import Pause, Resume
from kafkaprep.engine.faults.script import Script, unknown_verbs
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.traffic.actors import ConsumerSnapshot, ProducerSnapshot
from kafkaprep.errors import ClusterError, RunStopped, RunVoid
from kafkaprep.model.history import EventName
from kafkaprep.model.script import VERBS
from kafkaprep.model.settings import Settings

CONTROLLER, BROKERS = 100, (1, 2, 3)


class FakeCluster:
    """Nodes that obey at once, unless `deaf` to a verb or `failing` at it; `did` is what was asked of them."""

    def __init__(self) -> None:
        self.states = dict.fromkeys((CONTROLLER, *BROKERS), NodeState.RUNNING)
        self.did: list[tuple[str, int]] = []
        self.deaf: set[str] = set()
        self.failing: set[tuple[str, int]] = set()

    def status(self) -> tuple[NodeStatus, ...]:
        return tuple(
            NodeStatus(node, "controller" if node == CONTROLLER else "broker", state, 1, 1)
            for node, state in self.states.items()
        )

    def _do(self, verb: str, node: int, state: NodeState) -> None:
        self.did.append((verb, node))
        if (verb, node) in self.failing:
            raise ClusterError(f"{verb} {node} failed.")
        if verb not in self.deaf:
            self.states[node] = state

    def pause(self, node: int) -> None:
        self._do("pause", node, NodeState.PAUSED)

    def resume(self, node: int) -> None:
        self._do("resume", node, NodeState.RUNNING)

    def kill(self, node: int) -> None:
        self._do("kill", node, NodeState.DEAD)

    def restart(self, node: int) -> None:
        self._do("restart", node, NodeState.RUNNING)


class FakeInspector:
    """What the controller says. It fences dead and paused brokers: their partitions move to the next replica."""

    def __init__(self, cluster: FakeCluster, leaders: Sequence[int]) -> None:
        self._cluster = cluster
        self.leaders: list[int | None] = list(leaders)
        self.elects = True
        self.silent = False

    def partitions(self, topic: str) -> tuple[PartitionState, ...]:
        if self.silent:
            return ()
        usable = [node for node in BROKERS if self._cluster.states[node] is NodeState.RUNNING]
        if self.elects:
            self.leaders = [leader if leader in usable else usable[0] for leader in self.leaders]
        return tuple(
            PartitionState(number, leader, tuple(usable), BROKERS) for number, leader in enumerate(self.leaders)
        )


class FakeClient:
    """A producer or consumer: what it has told, and what it was asked to do."""

    def __init__(self, name: str, snapshot: Any) -> None:
        self.name = name
        self.snapshot = snapshot
        self.alive, self.paused = True, False
        self.did: list[str] = []
        self.sent: list[int] = []
        self.takes = True

    def send(self, count: int) -> None:
        self.sent.append(count)
        if self.takes:
            seen = self.snapshot
            self.snapshot = replace(seen, planned_sent=seen.planned_sent + count, called=seen.called + count)

    def report(self, count: int, ok: bool = True) -> None:
        seen = self.snapshot
        self.snapshot = replace(seen, reported=seen.reported + count, ok=seen.ok + count * ok)

    def kill(self) -> None:
        self.did.append("kill")
        self.alive = False

    def pause(self) -> None:
        self.did.append("pause")
        self.paused = True

    def resume(self) -> None:
        self.did.append("resume")
        self.paused = False


class World:
    """A run in progress whose cluster and clients are fakes."""

    def __init__(self, folder: Path, leaders: Sequence[int] = (2,), producers: int = 1, messages: int = 1000) -> None:
        self.cluster = FakeCluster()
        self.inspector = FakeInspector(self.cluster, leaders)
        self.producers = [FakeClient(f"producer-{n}", ProducerSnapshot()) for n in range(producers)]
        self.consumers = [FakeClient(f"consumer-{n}", ConsumerSnapshot()) for n in range(2)]
        self.recorder = Recorder(folder)
        self.stop = threading.Event()
        parts: Any = SimpleNamespace(**vars(self))
        self.run = LiveRun(
            plan=make_plan(acks_zero(), Settings(), messages=messages),
            cluster=parts.cluster,
            inspector=parts.inspector,
            producers=parts.producers,
            consumers=parts.consumers,
            recorder=self.recorder,
            stop=self.stop,
            partitions=self.inspector.partitions("t"),
        )

    @property
    def producer(self) -> FakeClient:
        return self.producers[0]

    def play(self, *steps: str) -> Script:
        played = Script(tuple((verb, argument) for verb, _, argument in (step.partition(" ") for step in steps)))
        self.scripts.append(played)
        played.play(self.run)
        return played

    @property
    def scripts(self) -> list[Script]:
        return self.__dict__.setdefault("_scripts", [])

    def events(self, *names: EventName) -> list[dict[str, Any]]:
        lines = (self.recorder.folder / "history.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] in names]

    def faults(self) -> list[tuple[str, str, int | None]]:
        return [(fault.name, fault.target, fault.broker) for fault in self.run.faults]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(tmp_path, **options))
        return made[-1]

    yield make
    for world in made:
        world.recorder.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for step in (Kill, Pause, Resume, NewLeader, awaits._Await, script.Send):
        monkeypatch.setattr(step, "deadline_s", 0.05)


# Order


def test_steps_are_played_in_order_each_observed_before_the_next(world: World) -> None:
    world.play("pause leader", "kill leader", "await new_leader", "send 100")
    assert world.cluster.did == [("pause", 2), ("kill", 2)]
    assert world.producer.sent == [100]
    steps = [(event["event"], event["step"]) for event in world.events(EventName.STEP_STARTED, EventName.STEP_DONE)]
    names = ("pause leader", "kill leader", "await new_leader", "send 100")
    assert steps == [(kind, name) for name in names for kind in ("step_started", "step_done")]
    assert [event["index"] for event in world.events(EventName.STEP_DONE)] == [0, 1, 2, 3]
    assert all(event["observed"] for event in world.events(EventName.STEP_DONE))
    assert world.faults() == [("pause", "leader", 2), ("kill", "leader", 2), ("new leader", "broker 2", 1)]
    assert [event["broker"] for event in world.events(EventName.FAULT)] == [2, 2, 1]


def test_a_step_waits_until_its_effect_is_seen(world: World) -> None:
    world.cluster.deaf = {"kill"}

    def die() -> None:
        soon(lambda: ("kill", 2) in world.cluster.did, "nothing was killed")
        assert world.faults() == []
        world.cluster.states[2] = NodeState.DEAD

    dying = threading.Thread(target=die)
    dying.start()
    world.play("kill leader", "send 1")
    dying.join()
    assert world.producer.sent == [1]


def test_every_verb_of_the_catalog_can_be_played() -> None:
    assert set(script.VERBS) == set(VERBS)
    conditions = VERBS["await"].forms
    assert set(awaits.CONDITIONS) == set(conditions)
    assert unknown_verbs([("send", "1"), ("explode", "leader")]) == ["explode"]


# Undo


def test_undo_comes_in_reverse_order_and_once(world: World) -> None:
    played = world.play("pause broker 1", "kill broker 2", "pause broker 3")
    world.cluster.did.clear()
    assert played.undo(world.run) == []
    assert world.cluster.did == [("resume", 3), ("restart", 2), ("resume", 1)]
    assert set(world.cluster.states.values()) == {NodeState.RUNNING}
    assert played.undo(world.run) == []
    assert len(world.cluster.did) == 3


def test_a_failure_half_way_is_undone_as_well(world: World) -> None:
    """`pause: followers` hits the first and fails at the second: the first must go on, and the pause before it too."""
    world.cluster.failing = {("pause", 3)}
    with pytest.raises(RunVoid, match=r"pause followers: pause 3 failed"):
        world.play("pause leader", "pause followers", "send 1")
    assert world.producer.sent == []
    assert world.cluster.states[1] is world.cluster.states[2] is NodeState.PAUSED
    assert world.run.touched == {1, 2, 3}
    assert world.scripts[0].undo(world.run) == []
    assert set(world.cluster.states.values()) == {NodeState.RUNNING}
    assert [act for act in world.cluster.did if act[0] == "resume"] == [("resume", 1), ("resume", 2)]


def test_what_cannot_be_undone_is_told_and_stops_no_other_undo(world: World) -> None:
    played = world.play("pause broker 1", "kill broker 2")
    world.cluster.failing = {("restart", 2)}
    assert played.undo(world.run) == ["restart 2 failed."]
    assert world.cluster.states[1] is NodeState.RUNNING


def test_a_paused_node_that_was_killed_is_restarted_not_resumed(world: World) -> None:
    played = world.play("pause leader", "kill leader")
    world.cluster.did.clear()
    played.undo(world.run)
    assert world.cluster.did == [("restart", 2)]


def test_a_paused_consumer_goes_on(world: World) -> None:
    world.play("pause consumer").undo(world.run)
    assert world.consumers[0].did == ["pause", "resume"]
    assert world.consumers[1].did == []
    assert not world.run.touched


# Void


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("step", "deaf", "reason"),
    [
        ("pause leader", "pause", "the system does not report node 2 as stopped"),
        ("kill leader", "kill", "the process did not die"),
        ("resume leader", "", "no paused process is leader"),
        ("await new_leader", "", "no new leader within 0.05 s (leaders are {0: 2})"),
        ("await all_reported", "", "7 messages have no delivery report"),
        ("await consumer_caught_up", "", "the consumers did not catch up"),
        ("send 10", "send", "the client did not take 10 messages"),
    ],
)
def test_a_step_that_is_not_observed_voids_the_run_and_says_why(
    world: World, step: str, deaf: str, reason: str
) -> None:
    world.producer.send(7)
    world.producer.report(0)
    world.producer.snapshot = replace(world.producer.snapshot, ok=1)
    world.run.asked_to_send = 7
    world.cluster.deaf = {deaf}
    world.producer.takes = deaf != "send"
    with pytest.raises(RunVoid) as caught:
        world.play(step, "kill broker 1")
    assert (caught.value.fault, caught.value.reason) == (step, reason)
    assert ("kill", 1) not in world.cluster.did
    assert world.faults() == []
    assert world.events(EventName.STEP_DONE) == []


@pytest.mark.usefixtures("hurried")
def test_an_isr_that_stays_short_voids_the_run(world: World) -> None:
    world.play("kill broker 1")
    with pytest.raises(RunVoid, match="the ISR did not become full"):
        world.play("await isr_full")
    world.scripts[0].undo(world.run)
    world.play("await isr_full")


def test_a_partition_without_a_leader_has_no_leader_to_kill(make_world: Callable[..., World]) -> None:
    world = make_world()
    world.run.partitions = (PartitionState(0, None, (), BROKERS),)
    with pytest.raises(RunVoid, match="partition 0 has no leader"):
        world.play("kill leader")


def test_stop_ends_the_script_and_is_no_void_run(world: World) -> None:
    world.inspector.elects = False
    threading.Timer(0.05, world.stop.set).start()
    with pytest.raises(RunStopped):
        world.play("kill leader", "await new_leader", "send 1")
    assert world.producer.sent == []
    world.scripts[0].undo(world.run)
    assert world.cluster.states[2] is NodeState.RUNNING


# Words for targets


def test_the_leader_is_the_same_broker_though_it_was_fenced_meanwhile(world: World) -> None:
    world.play("pause leader")
    assert world.inspector.partitions("t")[0].leader == 1
    world.play("kill leader")
    assert world.cluster.did == [("pause", 2), ("kill", 2)]


def test_after_a_new_leader_was_seen_the_word_means_that_one(world: World) -> None:
    world.play("kill leader", "await new_leader", "kill leader", "await new_leader")
    assert world.cluster.did == [("kill", 2), ("kill", 1)]
    assert world.faults()[-1] == ("new leader", "broker 1", 3)


def test_the_followers_are_the_other_replicas(world: World) -> None:
    world.play("pause followers", "kill leader", "resume followers", "await new_leader")
    assert world.cluster.did == [("pause", 1), ("pause", 3), ("kill", 2), ("resume", 1), ("resume", 3)]


def test_the_controller_and_a_broker_by_its_id(world: World) -> None:
    world.play("pause controller", "resume controller", "kill broker 3")
    assert world.cluster.did == [("pause", CONTROLLER), ("resume", CONTROLLER), ("kill", 3)]


def test_clients_are_killed_paused_and_resumed(world: World) -> None:
    world.play("pause consumer", "resume consumer", "kill consumer", "kill producer")
    assert world.consumers[0].did == ["pause", "resume", "kill"]
    assert world.producer.did == ["kill"]
    assert world.faults()[-1] == ("kill", "producer", None)
    assert not world.run.touched


# Conditions


def test_a_new_leader_is_needed_for_every_partition_that_the_old_one_led(make_world: Callable[..., World]) -> None:
    world = make_world(leaders=(2, 1, 2))
    world.inspector.elects = False
    world.play("kill leader")
    step = NewLeader()
    assert step.observed(world.run) is None
    world.inspector.leaders = [3, 1, 2]
    assert step.observed(world.run) is None
    assert "{0: 3, 2: 2}" in step.waiting_for(world.run)
    world.inspector.leaders = [3, 1, None]
    assert step.observed(world.run) is None
    world.inspector.silent = True
    assert step.observed(world.run) is None
    world.inspector.silent = False
    world.inspector.leaders = [3, 1, 1]
    assert step.observed(world.run) == "leader moved 2→3"
    assert world.faults()[-1] == ("new leader", "broker 2", 3)
    assert [state.leader for state in world.run.partitions] == [3, 1, 1]
    assert world.run.targets("leader") == (3,)


def test_a_leader_of_other_partitions_does_not_count(make_world: Callable[..., World]) -> None:
    world = make_world(leaders=(2, 1))
    world.inspector.elects = False
    world.play("kill leader")
    world.inspector.leaders = [2, 3]
    assert NewLeader().observed(world.run) is None


class TestReportedOrStalled:
    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(awaits.time, "monotonic", lambda: self.now)

    def test_all_reported(self, world: World) -> None:
        world.play("send 5")
        world.producer.report(5)
        assert ReportedOrStalled().observed(world.run) == "all reported"

    def test_no_report_for_a_second_is_a_stall(self, world: World) -> None:
        world.play("send 5")
        world.producer.report(2)
        step = ReportedOrStalled()
        assert step.observed(world.run) is None
        self.now += 0.99
        assert step.observed(world.run) is None
        self.now += 0.02
        assert step.observed(world.run) == "stalled with 3 unreported"

    def test_every_report_starts_the_second_anew(self, world: World) -> None:
        world.play("send 5")
        step = ReportedOrStalled()
        for _ in range(4):
            assert step.observed(world.run) is None
            self.now += 0.9
            world.producer.report(1)
        assert step.observed(world.run) is None
        assert step.waiting_for(world.run) == "reports still trickle in, 1 due"
        self.now += 1.0
        assert step.observed(world.run) == "stalled with 1 unreported"

    def test_what_the_client_has_not_taken_yet_is_due_as_well(self, world: World) -> None:
        world.producer.takes = False
        world.run.asked_to_send = 5
        step = ReportedOrStalled()
        assert step.observed(world.run) is None
        world.producer.snapshot = replace(world.producer.snapshot, stopped=True)
        assert step.observed(world.run) == "all reported"


def test_refused_calls_are_not_due(world: World) -> None:
    world.play("send 5")
    world.producer.report(3)
    world.producer.snapshot = replace(world.producer.snapshot, refused=2)
    world.play("await all_reported")


def test_the_consumers_catch_up_with_what_was_accepted(world: World) -> None:
    world.play("send 10")
    world.producer.report(6)
    world.producer.report(4, ok=False)
    for consumer in world.consumers:
        consumer.snapshot = replace(consumer.snapshot, processed=3)
    world.play("await consumer_caught_up")
    assert world.events(EventName.STEP_DONE)[-1]["observed"] == "6 messages processed"


# Sending


def test_sends_are_shared_among_the_producers_and_rest_is_the_rest(make_world: Callable[..., World]) -> None:
    world = make_world(producers=3, messages=1000)
    world.play("send 100", "send 50", "send rest")
    assert [producer.sent for producer in world.producers] == [[34, 17, 284], [33, 17, 283], [33, 16, 283]]
    assert world.run.asked_to_send == sum(sum(producer.sent) for producer in world.producers) == 1000


def test_no_more_than_planned_is_sent(make_world: Callable[..., World]) -> None:
    world = make_world(messages=400)
    world.play("send 300", "send 300", "send rest")
    assert world.producer.sent == [300, 100, 0]


def test_an_application_that_stops_sending_does_not_void_the_run(world: World) -> None:
    world.producer.takes = False
    world.producer.snapshot = replace(world.producer.snapshot, stopped=True)
    world.play("send 100")
    assert world.events(EventName.STEP_DONE)[0]["observed"] == "the application stopped sending"


def test_outwait_lets_the_time_run_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from kafkaprep.engine.faults import outwait

    monkeypatch.setitem(outwait._DURATIONS_S, "parked_fetch", 0.05)
    began = time.monotonic()
    world.play("outwait parked_fetch")
    assert time.monotonic() - began >= 0.05
