"""`await: CONDITION`: nothing is done, something must be seen."""

from __future__ import annotations

import time

from kafkaprep.engine.cluster.base import Proxied
from kafkaprep.engine.faults.base import LiveRun, Step

STALLED_AFTER_S = 1.0


class _Await:
    deadline_s = 30.0

    def arm(self, run: LiveRun) -> None:
        """Waiting changes nothing."""

    def undo(self, run: LiveRun) -> None:
        """Nothing was changed."""


def _unreported(run: LiveRun) -> int:
    """Messages handed to the client, or about to be, whose delivery report is due."""
    seen = [producer.snapshot for producer in run.producers]
    return sum(each.outstanding for each in seen) + _not_taken(run)


def _not_taken(run: LiveRun) -> int:
    seen = [producer.snapshot for producer in run.producers]
    if any(each.stopped or each.fatal for each in seen):
        return 0
    return max(0, run.asked_to_send - sum(each.planned_sent for each in seen))


class AllReported(_Await):
    """Every message handed to the client has had its delivery report, good or bad."""

    def observed(self, run: LiveRun) -> str | None:
        return None if _unreported(run) else f"all {run.asked_to_send} messages reported"

    def waiting_for(self, run: LiveRun) -> str:
        return f"{_unreported(run)} messages have no delivery report"


class ReportedOrStalled(_Await):
    """All reported, or no report for a second although some are due: then none will come while the fault lasts."""

    def __init__(self) -> None:
        self._left = -1
        self._since = 0.0

    def observed(self, run: LiveRun) -> str | None:
        left = _unreported(run)
        if left == 0:
            return "all reported"
        if left != self._left:
            self._left, self._since = left, time.monotonic()
        elif time.monotonic() - self._since >= STALLED_AFTER_S:
            return f"stalled with {left} unreported"
        return None

    def waiting_for(self, run: LiveRun) -> str:
        return f"reports still trickle in, {_unreported(run)} due"


class NewLeader(_Await):
    """Every partition that the named leader led has another leader."""

    deadline_s = 20.0

    def __init__(self) -> None:
        self._seen = "nobody answered"

    def observed(self, run: LiveRun) -> str | None:
        old = run.named_leader()
        states = run.inspector.partitions(run.plan.topic)
        if not states:
            return None
        led_before = {state.partition for state in run.partitions if state.leader == old}
        leaders = {state.partition: state.leader for state in states if state.partition in led_before}
        self._seen = f"leaders are {leaders}"
        if not leaders or any(leader is None or leader == old for leader in leaders.values()):
            return None
        moved = f"leader moved {old}→{leaders[min(leaders)]}"
        run.partitions, run.leader = states, None
        run.took_hold("new leader", f"broker {old}", leaders[min(leaders)], moved)
        return moved

    def waiting_for(self, run: LiveRun) -> str:
        return f"no new leader within {self.deadline_s:g} s ({self._seen})"


class IsrFull(_Await):
    """Every replica of the topic is in sync."""

    def observed(self, run: LiveRun) -> str | None:
        states = run.inspector.partitions(run.plan.topic)
        full = bool(states) and all(state.leader is not None and state.isr_full for state in states)
        return "the ISR is full" if full else None

    def waiting_for(self, run: LiveRun) -> str:
        return "the ISR did not become full"


class ConsumerCaughtUp(_Await):
    """The consumers have finished every message whose delivery was reported with an offset so far."""

    def observed(self, run: LiveRun) -> str | None:
        processed = sum(consumer.snapshot.processed for consumer in run.consumers)
        accepted = sum(producer.snapshot.ok for producer in run.producers)
        return f"{processed} messages processed" if processed >= accepted else None

    def waiting_for(self, run: LiveRun) -> str:
        return "the consumers did not catch up"


class RuleFired(_Await):
    """Every proxy rule of the run has acted, by the proxy's own count."""

    def observed(self, run: LiveRun) -> str | None:
        assert isinstance(run.cluster, Proxied), "a rule was armed"
        counts = run.cluster.rule_counts()
        if not run.rules or not all(counts[rule.number]["acted"] for rule in run.rules):
            return None
        fired = [f"{counts[rule.number]['acted']} {rule.api} {rule.effect}" for rule in run.rules]
        for rule, text in zip(run.rules, fired, strict=True):
            run.took_hold(rule.name, rule.api, None, text)
        run.rules.clear()
        return "; ".join(fired)

    def waiting_for(self, run: LiveRun) -> str:
        return "the proxy met no frame that its rule fits" if run.rules else "no rule was set before"


CONDITIONS: dict[str, type[Step]] = {
    "all_reported": AllReported,
    "reported_or_stalled": ReportedOrStalled,
    "new_leader": NewLeader,
    "isr_full": IsrFull,
    "consumer_caught_up": ConsumerCaughtUp,
    "rule_fired": RuleFired,
}


def make_await(condition: str) -> Step:
    return CONDITIONS[condition]()
