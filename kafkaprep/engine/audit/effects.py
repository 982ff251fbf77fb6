"""Judges `processed_once` by the handler's effects instead of its calls."""

from __future__ import annotations

from collections.abc import Mapping

from kafkaprep.engine.audit.classes import Classification
from kafkaprep.engine.audit.judge import Observation
from kafkaprep.model.verdict import Outcome


def observe_effects(classification: Classification, effects: Mapping[int, int] | None) -> Observation:
    """`effects` maps an id to its rows in the sink; None if the sink cannot be read.

    Two effects of one message break the promise, and so does a skipped message without any: it will never have one.
    An effect is stored before its PROCESSED row, so fewer effects than processed messages mean a damaged sink.
    """
    if effects is None:
        return Observation(Outcome.INCONCLUSIVE)
    groups, planned = classification.groups, classification.counts["planned"]
    ours = {message: rows for message, rows in effects.items() if 0 <= message < planned}
    twice = [message for message, rows in ours.items() if rows > 1]
    skipped = classification.classes.get("skipped")
    never = [] if skipped is None else [member for member in skipped.members if member not in ours]
    unlisted = 0 if skipped is None else skipped.count - len(skipped.members)
    breaking = len(twice) + len(never) + unlisted
    if breaking:
        examples = [*twice, *(member for member in never if isinstance(member, int))]
        return Observation(Outcome.BROKEN, breaking, tuple(sorted(examples)))
    doubt = classification.facts.processed_torn or not ours or len(ours) < groups.handled.count
    if groups.unhandled_open.count or doubt:
        return Observation(Outcome.INCONCLUSIVE, groups.unhandled_open.count)
    return Observation(Outcome.KEPT)
