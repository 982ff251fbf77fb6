"""What the saved runs have shown: which outcomes each lab had here."""

from __future__ import annotations

import json
from pathlib import Path

INDEX = "outcomes.jsonl"  # one line a judged run: lab, outcome


def note_outcome(runs: Path, lab: str, outcome: str) -> None:
    """Remember that a run of `lab` ended with `outcome`."""
    with (runs / INDEX).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"lab": lab, "outcome": outcome}) + "\n")


def proven_labs(runs: Path) -> dict[str, set[str]]:
    """lab -> conclusive outcomes seen. A damaged line is passed over: this is a convenience, not a verdict."""
    seen: dict[str, set[str]] = {}
    try:
        lines = (runs / INDEX).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            entry = json.loads(line)
            lab, outcome = str(entry["lab"]), str(entry["outcome"])
        except (ValueError, KeyError, TypeError):
            continue
        if outcome in ("kept", "broken"):
            seen.setdefault(lab, set()).add(outcome)
    return seen
