"""`drop_request: API`, `drop_response: API`: the proxy spoils the next one.

The rule acts once, on the first frame of that API after it came into force, and ends the connection, as a broken
network would. The step is over when the rule is in force; that it fired is for `await: rule_fired` to see.
"""

from __future__ import annotations

from typing import ClassVar

from kafkaprep.engine.cluster.base import Proxied
from kafkaprep.engine.faults.base import LiveRun, SpoilRule
from kafkaprep.errors import RunVoid

APIS = {"produce": "Produce", "offset_commit": "OffsetCommit"}  # the script's word -> Kafka's name


class _Spoil:
    deadline_s = 5.0
    action: ClassVar[str]
    effect: ClassVar[str]

    def __init__(self, api: str) -> None:
        self._api = APIS[api]

    def arm(self, run: LiveRun) -> None:
        if not isinstance(run.cluster, Proxied):
            raise RunVoid(self.action, "no proxy stands before this cluster")
        rule: dict[str, object] = {"action": self.action, "api": self._api, "to_nth": 1, "close": True}
        if self._api == "Produce":
            rule["client"] = "producer"
        number = run.cluster.add_rule(rule)
        run.rules.append(SpoilRule(number, self.action.replace("_", " "), self._api, self.effect))

    def observed(self, run: LiveRun) -> str | None:
        return f"in force for the next {self._api}"

    def undo(self, run: LiveRun) -> None:
        if isinstance(run.cluster, Proxied):
            run.cluster.clear_rules()
        run.rules.clear()

    def waiting_for(self, run: LiveRun) -> str:
        return "the proxy did not take the rule"


class DropRequest(_Spoil):
    """The broker never sees it."""

    action = "drop_request"
    effect = "swallowed before any broker saw it, connection closed"


class DropResponse(_Spoil):
    """The broker has done it, and the client never hears of it."""

    action = "drop_response"
    effect = "swallowed after the broker had done its work, connection closed"
