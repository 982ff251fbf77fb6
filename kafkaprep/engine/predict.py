"""A prediction made before the run, held against what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from kafkaprep.engine.saved_run import SavedRun
from kafkaprep.errors import UsageError

# What may be predicted -> the count it means. `lost` is the learner's word: reported delivered, and gone.
COUNTED = {
    "lost": "missing",
    "missing": "missing",
    "duplicated": "duplicated_in_log",
    "processed_twice": "processed_twice",
    "skipped": "skipped",
    "reordered": "reordered",
    "failed": "failed",
}
WORDS = ("none", "some", "all")
OUTCOMES = ("kept", "broken")


@dataclass(frozen=True, slots=True)
class Prediction:
    """`value` is a word of WORDS or a number of messages; for `outcome`, one of OUTCOMES."""

    name: str
    value: str

    def check(self, saved: SavedRun) -> dict[str, object]:
        """The prediction, what happened, and whether it was right; None on a run that proves nothing."""
        if self.name == "outcome":
            actual: object = str(saved.outcome)
            right: bool | None = actual == self.value
        else:
            counts: Mapping[str, int] = saved.verdict.counts
            actual = counts[COUNTED[self.name]]
            right = _fits(self.value, counts[COUNTED[self.name]], counts["planned"])
        if saved.void is not None or saved.outcome == "inconclusive":
            right = None
        return {"name": self.name, "predicted": self.value, "actual": actual, "right": right}


def _fits(value: str, actual: int, planned: int) -> bool:
    match value:
        case "none":
            return actual == 0
        case "some":
            return 0 < actual < planned
        case "all":
            return actual == planned
    return actual == int(value)


def parse_prediction(text: str) -> Prediction:
    """`lost=some` as a prediction. Raises UsageError that names what is allowed."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if name == "outcome" and value in OUTCOMES:
        return Prediction(name, value)
    if name in COUNTED and equals and (value in WORDS or (value.isascii() and value.isdigit() and len(value) < 8)):
        return Prediction(name, value)
    if name not in COUNTED and name != "outcome":
        close = get_close_matches(name, [*COUNTED, "outcome"], n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: outcome, {', '.join(COUNTED)}."
        raise UsageError("That cannot be predicted.", hint)
    allowed = "kept or broken" if name == "outcome" else "none, some, all or a number"
    raise UsageError(f"--predict {name} takes {allowed}.", "For example: --predict lost=some")
