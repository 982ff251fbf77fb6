"""The marks of the screens, each with an ASCII stand-in; colour only repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kafkaprep.engine.cluster.base import NodeState
from kafkaprep.model.verdict import Fate, Outcome


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of marks. Every mark is one cell wide."""

    done: str
    now: str
    due: str
    failed: str
    fault: str
    leader: str
    in_sync: str
    changed: str
    arrow: str
    full: str
    empty: str
    separator: str
    nodes: Mapping[NodeState, str]
    outcomes: Mapping[Outcome, str]
    live: Mapping[str, str]
    fates: Mapping[str, str]

    @property
    def is_ascii(self) -> bool:
        return self.done.isascii()


_LETTERS: dict[str, str] = {
    Fate.LOST_BEFORE_BROKER: "f",
    Fate.ABORTED_CLEAN: "a",
    Fate.COMPACTED_AWAY: "c",
    Fate.EXPIRED_UNPROCESSED: "e",
    Fate.INCONCLUSIVE: "?",
    Fate.UNDECIDED: "o",
    Fate.SKIPPED: "s",
    Fate.PENDING: "p",
    Fate.UNPROCESSED: "u",
    Fate.PROCESSED_TWICE: "2",
}
UNLISTED = "unlisted"  # the saved run names at most 1000 ids of each class

UNICODE = Glyphs(
    done="✓",
    now="▸",
    due="·",
    failed="✗",
    fault="!",
    leader="★",
    in_sync="✓",
    changed="*",
    arrow="→",
    full="█",
    empty="░",
    separator="·",
    nodes={
        NodeState.STARTING: "…",
        NodeState.RUNNING: "●",
        NodeState.PAUSED: "‖",
        NodeState.DEAD: "✗",
    },
    outcomes={Outcome.KEPT: "✓", Outcome.BROKEN: "✗", Outcome.INCONCLUSIVE: "?"},
    live={"planned": "·", "sent": "░", "reported": "▒", "processed": "█"},
    fates={
        **_LETTERS,
        Fate.NEVER_SENT: "·",
        Fate.LOST: "✗",
        Fate.UNKNOWN_ABSENT: "×",
        Fate.PROCESSED_ONCE: "█",
        UNLISTED: " ",
    },
)
ASCII = Glyphs(
    done="+",
    now=">",
    due="-",
    failed="x",
    fault="!",
    leader="L",
    in_sync="+",
    changed="*",
    arrow="->",
    full="#",
    empty="-",
    separator="|",
    nodes={
        NodeState.STARTING: ".",
        NodeState.RUNNING: "o",
        NodeState.PAUSED: "=",
        NodeState.DEAD: "x",
    },
    outcomes={Outcome.KEPT: "+", Outcome.BROKEN: "x", Outcome.INCONCLUSIVE: "?"},
    live={"planned": ".", "sent": "-", "reported": "=", "processed": "#"},
    fates={
        **_LETTERS,
        Fate.NEVER_SENT: ".",
        Fate.LOST: "X",
        Fate.UNKNOWN_ABSENT: "x",
        Fate.PROCESSED_ONCE: "#",
        UNLISTED: " ",
    },
)

# Colours by meaning; Textual drops them where NO_COLOR is set.
OUTCOME_STYLES = {Outcome.KEPT: "$text-success", Outcome.BROKEN: "$text-error", Outcome.INCONCLUSIVE: "$text-warning"}
NODE_STYLES = {
    NodeState.STARTING: "$text-muted",
    NodeState.RUNNING: "$text-success",
    NodeState.PAUSED: "$text-warning",
    NodeState.DEAD: "$text-error",
}
LIVE_STYLES = {"planned": "$text-muted", "sent": "$text-warning", "reported": "$text-primary", "processed": "$success"}
_BAD = "$text-error bold"
FATE_STYLES: Mapping[str, str] = {
    **dict.fromkeys(Fate, "$text-warning"),
    Fate.LOST: _BAD,
    Fate.UNKNOWN_ABSENT: _BAD,
    Fate.SKIPPED: _BAD,
    Fate.EXPIRED_UNPROCESSED: _BAD,
    Fate.PROCESSED_TWICE: "$text-accent bold",
    Fate.NEVER_SENT: "$text-muted",
    Fate.ABORTED_CLEAN: "$text-muted",
    Fate.PROCESSED_ONCE: "$success",
    UNLISTED: "$text-muted",
}


def glyphs_for(encoding: str | None) -> Glyphs:
    """The marks that `encoding` can carry."""
    return UNICODE if (encoding or "").lower().replace("-", "").startswith("utf") else ASCII
