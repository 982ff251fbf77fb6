"""`crash: consumer POINT N`: SIGKILL while the consumer stands at that point.

The point is a barrier in the consumer's spec, put there before it started (model.script.crash_points). The process
has told that it stands there and does nothing more, so what it had done and what not is exactly known.
"""

from __future__ import annotations

from kafkaprep.engine.faults.base import LiveRun
from kafkaprep.engine.traffic.actors import ConsumerActor
from kafkaprep.engine.traffic.specs import Barrier
from kafkaprep.errors import RunVoid
from kafkaprep.model.script import crash_point


class Crash:
    deadline_s = 30.0

    def __init__(self, argument: str) -> None:
        point = crash_point("crash", argument)
        assert point is not None, "the catalog refuses such a step"
        self._argument = argument
        self._barrier = Barrier(*point)
        self._victim: ConsumerActor | None = None
        self._processed = 0

    def arm(self, run: LiveRun) -> None:
        self._victim = run.consumers[0]

    def observed(self, run: LiveRun) -> str | None:
        victim = self._victim
        assert victim is not None, "armed first"
        seen = victim.snapshot
        self._processed = seen.processed
        if seen.barrier != self._barrier:
            if not victim.alive:
                raise RunVoid(f"crash {self._argument}", f"{victim.name} had ended before it got there")
            return None
        victim.kill()
        if victim.alive:
            return None
        run.took_hold("crash", "consumer", None, f"killed at {self._barrier.at}, message {self._barrier.n}")
        return f"killed {victim.name} at {self._barrier.at} of its message {self._barrier.n}"

    def undo(self, run: LiveRun) -> None:
        """A consumer that still stands at its point goes on, so that it can be drained."""
        if self._victim is not None and self._victim.alive and self._victim.snapshot.barrier is not None:
            self._victim.pass_barrier()

    def waiting_for(self, run: LiveRun) -> str:
        return f"the consumer has finished {self._processed} messages and does not reach {self._argument}"
