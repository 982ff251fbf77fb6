"""`outwait: WHAT`: let what nobody can observe run out, by its own clock.

`parked_fetch`: a paused follower has a Fetch parked at the leader; the first append after the pause would complete it,
and the bytes would wait in the follower's socket to be appended after SIGCONT. It ends after replica.fetch.wait.max.ms.
"""

from __future__ import annotations

import time

from kafkaprep.engine.cluster.properties import REPLICA_FETCH_WAIT_MS, SESSION_TIMEOUT_MS
from kafkaprep.engine.faults.base import LiveRun

_MARGIN_S = 0.3
_DURATIONS_S = {
    "parked_fetch": REPLICA_FETCH_WAIT_MS / 1000 + _MARGIN_S,
    "session_timeout": SESSION_TIMEOUT_MS / 1000 + _MARGIN_S,
}


class Outwait:
    def __init__(self, what: str) -> None:
        self._what = what
        self._duration_s = _DURATIONS_S[what]
        self._until = 0.0
        self.deadline_s = self._duration_s + 5

    def arm(self, run: LiveRun) -> None:
        self._until = time.monotonic() + self._duration_s

    def observed(self, run: LiveRun) -> str | None:
        return f"waited {self._duration_s:.1f} s" if time.monotonic() >= self._until else None

    def undo(self, run: LiveRun) -> None:
        """Time that has passed stays passed."""

    def waiting_for(self, run: LiveRun) -> str:
        return "the clock stood still"
