"""`start: consumer`: a fresh process takes the dead one's place.

It is seen when it has the partitions. It gets them only when the group has given the dead member up, which takes
session.timeout.ms.
"""

from __future__ import annotations

from kafkaprep.engine.faults.base import LiveRun
from kafkaprep.engine.traffic.actors import ConsumerActor
from kafkaprep.errors import ClusterError, RunVoid
from kafkaprep.model.settings import Scope

_USUAL_SESSION_MS = "45000"  # librdkafka's session.timeout.ms
_MARGIN_S = 30.0


class Start:
    deadline_s = _MARGIN_S

    def __init__(self, target: str) -> None:
        self._target = target
        self._consumer: ConsumerActor | None = None

    def arm(self, run: LiveRun) -> None:
        if run.consumers[0].alive:
            raise RunVoid(f"start {self._target}", f"{run.consumers[0].name} is alive")
        assert run.start_consumer is not None, "the run knows how to start one"
        session_ms = run.plan.settings.get(Scope.CONSUMER, "session.timeout.ms", _USUAL_SESSION_MS)
        self.deadline_s = int(session_ms) / 1000 + _MARGIN_S
        self._consumer = run.start_consumer()
        run.buried.append(run.consumers[0])
        run.consumers[0] = self._consumer

    def observed(self, run: LiveRun) -> str | None:
        consumer = self._consumer
        assert consumer is not None, "armed first"
        if not consumer.snapshot.assigned:
            if not consumer.alive:
                raise ClusterError(f"{consumer.name} ended before it had a partition.")
            return None
        run.took_hold("start", self._target, None, f"{consumer.name} has the partitions")
        return f"{consumer.name} has the partitions"

    def undo(self, run: LiveRun) -> None:
        """A living consumer is what healing wants."""

    def waiting_for(self, run: LiveRun) -> str:
        return "the group gave the new consumer no partition"
