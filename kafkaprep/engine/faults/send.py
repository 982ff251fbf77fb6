"""`send: N` and `send: rest`: produce the next planned messages."""

from __future__ import annotations

from kafkaprep.engine.faults.base import LiveRun


class Send:
    deadline_s = 60.0

    def __init__(self, argument: str) -> None:
        self._argument = argument
        self._count = 0

    def arm(self, run: LiveRun) -> None:
        left = run.plan.messages - run.asked_to_send
        self._count = left if self._argument == "rest" else min(int(self._argument), left)
        run.asked_to_send += self._count
        share, extra = divmod(self._count, len(run.producers))
        for index, producer in enumerate(run.producers):
            producer.send(share + (index < extra))

    def observed(self, run: LiveRun) -> str | None:
        seen = [producer.snapshot for producer in run.producers]
        if any(each.stopped or each.fatal for each in seen):
            return "the application stopped sending"
        taken = sum(each.planned_sent for each in seen)
        return f"{self._count} messages handed to the client" if taken >= run.asked_to_send else None

    def undo(self, run: LiveRun) -> None:
        """What was sent stays sent."""

    def waiting_for(self, run: LiveRun) -> str:
        return f"the client did not take {self._count} messages"
