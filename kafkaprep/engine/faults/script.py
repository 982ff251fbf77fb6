"""Runs a script: each step armed, observed, and undone in reverse order.

A new verb is one module and one line in VERBS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from kafkaprep.engine.faults.awaits import make_await
from kafkaprep.engine.faults.base import LiveRun, Step
from kafkaprep.engine.faults.crash import Crash
from kafkaprep.engine.faults.kill import Kill
from kafkaprep.engine.faults.outwait import Outwait
from kafkaprep.engine.faults.pause import Pause, Resume
from kafkaprep.engine.faults.send import Send
from kafkaprep.engine.faults.spoil import DropRequest, DropResponse
from kafkaprep.engine.faults.start import Start
from kafkaprep.engine.waiting import WaitTimeout, wait_until
from kafkaprep.errors import ClusterError, RunVoid
from kafkaprep.model.history import EventName

VERBS: dict[str, Callable[[str], Step]] = {
    "send": Send,
    "await": make_await,
    "pause": Pause,
    "resume": Resume,
    "kill": Kill,
    "outwait": Outwait,
    "crash": Crash,
    "start": Start,
    "drop_request": DropRequest,
    "drop_response": DropResponse,
}


@dataclass(slots=True)
class Script:
    """`play` runs the steps; `undo` lifts whatever they left, also after a failure half-way."""

    steps: tuple[tuple[str, str], ...]
    _armed: list[Step] = field(default_factory=list)

    def play(self, run: LiveRun) -> None:
        """Raises RunVoid when a step does not take hold, RunStopped when the run is stopped."""
        for index, (verb, argument) in enumerate(self.steps):
            text = f"{verb} {argument}"
            run.recorder.record(EventName.STEP_STARTED, step=text, index=index)
            step = VERBS[verb](argument)
            self._armed.append(step)  # before it acts: half an act must be undone as well
            try:
                step.arm(run)
                observed = wait_until(
                    lambda step=step: step.observed(run),  # type: ignore[misc]
                    step.deadline_s,
                    run.stop,
                    lambda step=step: step.waiting_for(run),  # type: ignore[misc]
                )
            except (WaitTimeout, ClusterError) as error:
                raise RunVoid(text, str(error)) from error
            run.recorder.record(EventName.STEP_DONE, step=text, index=index, observed=observed)

    def undo(self, run: LiveRun) -> list[str]:
        """Undo in reverse order; what failed, in words."""
        failures: list[str] = []
        for step in reversed(self._armed):
            try:
                step.undo(run)
            except (ClusterError, WaitTimeout) as error:
                failures.append(str(error))
        self._armed.clear()
        return failures


def unknown_verbs(steps: Iterable[tuple[str, str]]) -> list[str]:
    """Verbs this engine cannot play, for `verify`."""
    return [verb for verb, _ in steps if verb not in VERBS]
