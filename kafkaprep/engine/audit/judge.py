"""Turns classes into promises: broken needs proof, and kept needs proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kafkaprep.engine.audit.classes import Classification
from kafkaprep.engine.audit.groups import EXAMPLES, Facts, Groups
from kafkaprep.engine.audit.severity import Guarantees, severity
from kafkaprep.engine.audit.tally import Tally
from kafkaprep.errors import UsageError
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome, Promise, PromiseResult, Verdict, worst

_NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe outside the ledgers measured for one promise: a timed read, a sink, a database."""

    outcome: Outcome
    count: int = 0
    examples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ledgers say of one promise: `breaking` proves it broken, `open` or a doubt leaves it open."""

    breaking: Tally
    open: Tally = field(default_factory=Tally)
    doubt: bool = False


def judge(
    classification: Classification,
    promises: Iterable[str],
    settings: Settings,
    *,
    replication: int = 3,
    brokers_lost: int = 1,
    observations: Mapping[Promise, Observation] | None = None,
) -> Verdict:
    """The verdict on the promises, in their order.

    An observation replaces what the ledgers say of its promise; `readable_within` and `sink_matches` have nothing
    else. `brokers_lost` is how many brokers were down, or had lost their data, at the same time.
    """
    promised = Guarantees.of(settings, replication, brokers_lost)
    seen = observations or {}
    results = tuple(_judge_one(_promise(name), classification, promised, seen) for name in promises)
    return Verdict(
        outcome=worst([result.outcome for result in results]),
        counts=classification.counts,
        fates=classification.fates,
        promises=results,
        classes={name: list(tally.members) for name, tally in classification.classes.items()},
        partial=classification.facts.partial,
    )


def _judge_one(
    promise: Promise,
    classification: Classification,
    promised: Guarantees,
    observations: Mapping[Promise, Observation],
) -> PromiseResult:
    groups, facts = classification.groups, classification.facts
    observation = observations.get(promise)
    if observation is not None:
        outcome, count, examples = observation.outcome, observation.count, observation.examples
    else:
        evidence = EVIDENCE[promise](groups, facts)
        outcome = _outcome(evidence)
        decisive = evidence.breaking if outcome is Outcome.BROKEN else evidence.open
        count, examples = decisive.count, tuple(m for m in decisive.members if isinstance(m, int))
    if outcome is Outcome.KEPT and not (classification.counts["planned"] and classification.counts["sent"]):
        outcome = Outcome.INCONCLUSIVE
    broken = outcome is Outcome.BROKEN
    return PromiseResult(
        name=promise,
        outcome=outcome,
        count=count,
        examples=tuple(sorted(examples)[:EXAMPLES]),
        severity=severity(promise, groups, promised, observed=observation is not None) if broken else None,
    )


def _outcome(evidence: Evidence) -> Outcome:
    if evidence.breaking.count:
        return Outcome.BROKEN
    if evidence.open.count or evidence.doubt:
        return Outcome.INCONCLUSIVE
    return Outcome.KEPT


def _promise(name: str) -> Promise:
    try:
        return Promise(name)
    except ValueError:
        raise UsageError(f"There is no promise {name!r}.", f"The promises are {', '.join(Promise)}.") from None


def _no_reported_loss(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(groups.missing, groups.missing_open, facts.sends_torn)


def _no_acked_loss(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(groups.lost, groups.lost_open, facts.sends_torn)


def _all_arrive(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(groups.absent, groups.absent_open)


def _all_accepted(groups: Groups, facts: Facts) -> Evidence:
    """A torn ledger may have lost the report of any attempt, so it proves neither way."""
    if facts.sends_torn:
        return Evidence(_NOTHING, groups.unaccepted, doubt=True)
    return Evidence(groups.unaccepted, groups.never_sent)


def _no_log_duplicates(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(groups.duplicated, groups.duplicated_open, not _whole_log_seen(facts))


def _order_kept(groups: Groups, facts: Facts) -> Evidence:
    """Where sends or the log's beginning are missing, a message that looks late may have an earlier copy or call."""
    if facts.sends_torn or facts.log_torn or facts.compacted or not facts.all_from_zero:
        return Evidence(_NOTHING, groups.reordered, doubt=True)
    return Evidence(groups.reordered, doubt=facts.undecided_rows or not facts.all_read_completely)


def _keys_together(groups: Groups, facts: Facts) -> Evidence:
    """Counts keys; the examples are one message of each."""
    return Evidence(groups.split_witnesses, doubt=facts.undecided_rows or not _whole_log_seen(facts))


def _nothing_skipped(groups: Groups, facts: Facts) -> Evidence:
    """Messages that were all processed need no look at the commits; any other message does."""
    if facts.processed_torn:
        return Evidence(_NOTHING, groups.unhandled, doubt=True)
    return Evidence(groups.skipped, groups.unhandled_open, not groups.handled.count)


def _processed_once(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(groups.processed_twice, groups.unhandled, _handling_unseen(groups, facts))


def _no_aborted_seen(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(groups.aborted_seen, groups.aborted_open, _handling_unseen(groups, facts))


def _no_phantom(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(groups.phantom, groups.phantom_open, _handling_unseen(groups, facts))


def _only_observed(groups: Groups, facts: Facts) -> Evidence:
    return Evidence(_NOTHING, doubt=True)


def _whole_log_seen(facts: Facts) -> bool:
    return facts.all_read_completely and facts.all_from_zero and not facts.compacted


def _handling_unseen(groups: Groups, facts: Facts) -> bool:
    """Whether processed rows are missing, or there are none that could have shown a fault."""
    return facts.processed_torn or not groups.handled.count


EVIDENCE: Mapping[Promise, Callable[[Groups, Facts], Evidence]] = {
    Promise.NO_REPORTED_LOSS: _no_reported_loss,
    Promise.NO_ACKED_LOSS: _no_acked_loss,
    Promise.ALL_ARRIVE: _all_arrive,
    Promise.ALL_ACCEPTED: _all_accepted,
    Promise.NO_LOG_DUPLICATES: _no_log_duplicates,
    Promise.ORDER_KEPT: _order_kept,
    Promise.KEYS_TOGETHER: _keys_together,
    Promise.NOTHING_SKIPPED: _nothing_skipped,
    Promise.PROCESSED_ONCE: _processed_once,
    Promise.NO_ABORTED_SEEN: _no_aborted_seen,
    Promise.NO_PHANTOM: _no_phantom,
    Promise.READABLE_WITHIN: _only_observed,
    Promise.SINK_MATCHES: _only_observed,
}
