"""Engines without brokers: what a worker would tell, at the test's pace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from saved_runs import FAULTS, LOST, save_run

from kafkaprep.engine.cluster.base import NodeState, NodeStatus
from kafkaprep.engine.cluster.inspect import PartitionState
from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.waiting import wait_until
from kafkaprep.errors import KafkaprepError, RunStopped
from kafkaprep.model.history import Event, EventName
from kafkaprep.ui.lab_worker import Post, judge
from kafkaprep.ui.live import Feed
from kafkaprep.ui.messages import Judged, RunEnded, RunJudged, RunProgressed, RunRequest

SAVED = Path("saved/20260101-120000-leader-dies")  # what a picture shows instead of a temporary folder
PATIENCE_S = 20.0


def nodes(*, second: NodeState = NodeState.RUNNING) -> tuple[NodeStatus, ...]:
    """A controller and three brokers, the second one in any state."""
    states = {1: NodeState.RUNNING, 2: second, 3: NodeState.RUNNING}
    brokers = [NodeStatus(number, "broker", state, 4000 + number, 9000) for number, state in states.items()]
    return (NodeStatus(100, "controller", NodeState.RUNNING, 4100, 9100), *brokers)


def partition(leader: int, isr: tuple[int, ...] = (1, 2, 3)) -> tuple[PartitionState, ...]:
    return (PartitionState(0, leader, isr, (1, 2, 3)),)


def step(index: int, at_s: float, observed: str) -> list[Event]:
    return [
        Event(at_s, EventName.STEP_STARTED, {"step": "", "index": index}),
        Event(at_s + 0.1, EventName.STEP_DONE, {"step": "", "index": index, "observed": observed}),
    ]


def counted(sent: int, ok: int, processed: int) -> Event:
    fields = {"planned": 400, "sent": sent, "reported": ok, "ok": ok, "errors": 0, "processed": processed}
    return Event(1.5, EventName.COUNTS, fields)


def half_way() -> list[Event]:
    """Leader frozen and killed; a new one is awaited."""
    return [
        Event(0.0, EventName.PHASE, {"phase": "prepare"}),
        Event(0.6, EventName.PHASE, {"phase": "traffic"}),
        *step(0, 0.7, "300 messages handed to the client"),
        *step(1, 0.9, "all 300 messages reported"),
        Event(1.2, EventName.STEP_STARTED, {"step": "", "index": 2}),
        Event(1.25, EventName.FAULT, FAULTS[0].as_dict()),
        Event(1.3, EventName.STEP_DONE, {"step": "", "index": 2, "observed": "paused: node 2"}),
        *step(3, 1.4, "100 messages handed to the client"),
        Event(1.6, EventName.STEP_STARTED, {"step": "", "index": 4}),
        Event(1.93, EventName.FAULT, FAULTS[1].as_dict()),
        Event(1.95, EventName.STEP_DONE, {"step": "", "index": 4, "observed": "killed: node 2"}),
        Event(2.0, EventName.STEP_STARTED, {"step": "", "index": 5}),
        counted(400, 400, 290),
    ]


def the_rest() -> list[Event]:
    return [
        Event(5.5, EventName.FAULT, FAULTS[2].as_dict()),
        Event(5.6, EventName.STEP_DONE, {"step": "", "index": 5, "observed": "leader moved 2→3"}),
        Event(5.7, EventName.PHASE, {"phase": "heal"}),
        Event(8.0, EventName.PHASE, {"phase": "final_read"}),
        Event(8.5, EventName.RUN_ENDED, {"durations": {}}),
    ]


class ScriptedEngine:
    """Plays `half_way`, waits for `go_on` (set from the start unless `hold`), then judges a made-up run."""

    def __init__(self, folder: Path, *, hold: bool = False, lost: Sequence[int] = LOST) -> None:
        self.requests: list[RunRequest] = []
        self.go_on = threading.Event()
        self.paused = threading.Event()  # half way was told
        self.error: KafkaprepError | None = None
        self.void = False
        self.closed = False
        self.stopped = 0
        self._folder = folder
        self._lost = lost
        if not hold:
            self.go_on.set()

    def play(self, request: RunRequest, post: Post, stop: threading.Event) -> None:
        self.requests.append(request)
        if self.error is not None:
            post(RunEnded(self.error))
            return
        feed = Feed(request.lab)
        feed.nodes(nodes(second=NodeState.DEAD))
        feed.partitions(partition(2))
        self._tell(feed, post, half_way(), 2.1)
        self.paused.set()
        try:
            wait_until(self.go_on.is_set, PATIENCE_S, stop, "The test does not go on.")
        except RunStopped:
            self.stopped += 1
            post(RunEnded())
            return
        feed.partitions(partition(3, (1, 3)))
        self._tell(feed, post, the_rest(), 8.5)
        post(RunJudged(self._judged(request)))

    def cluster_state(self) -> str:
        return "starts with a run"

    def close(self) -> None:
        self.closed = True

    @staticmethod
    def _tell(feed: Feed, post: Callable[..., object], events: Sequence[Event], elapsed_s: float) -> None:
        for event in events:
            feed.on_event(event)
        post(RunProgressed(replace(feed.snapshot(), elapsed_s=elapsed_s)))

    def _judged(self, request: RunRequest) -> Judged:
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = self._folder / f"run-{len(self.requests)}"
        solution = request.solution or request.changes.merged(request.lab.start) != request.lab.start
        lost = () if solution else self._lost
        save_run(folder, solution=request.solution, lost=lost, lab=request.lab)
        if self.void:
            recorder = Recorder(folder)
            recorder.record(EventName.VOID, fault="await new_leader", reason="no new leader within 20 s")
            recorder.close()
        judged = judge(request, folder)
        return replace(judged, saved=replace(judged.saved, folder=SAVED))
