"""The fate of each message id of a judged run, from what the audit lists."""

from __future__ import annotations

from kafkaprep.engine.saved_run import SavedRun
from kafkaprep.model.verdict import Fate
from kafkaprep.ui.glyphs import UNLISTED


def fates_by_id(saved: SavedRun) -> tuple[str, ...]:
    """One name of Fate per planned id.

    The audit of a saved run lists at most 1000 ids of a class; where it lists fewer than it counted, an id that is
    not listed could be either, so it is UNLISTED instead of a guess.
    """
    planned = saved.verdict.counts["planned"]
    found: dict[int, str] = {}
    for fate in Fate:  # the first match wins, as in the audit
        for member in saved.verdict.classes.get(fate, ()):
            if isinstance(member, int):
                found.setdefault(member, str(fate))
    others = planned - sum(1 for message in found if 0 <= message < planned)
    complete = others == saved.verdict.fates.get(Fate.PROCESSED_ONCE, 0)
    rest = str(Fate.PROCESSED_ONCE) if complete else UNLISTED
    return tuple(found.get(message, rest) for message in range(planned))
