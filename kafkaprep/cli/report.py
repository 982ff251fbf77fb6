"""A verdict for people: promises, the three ledgers, why, what to try next.

Meaning is in words and symbols; colour only repeats it. Rich drops colour where the terminal cannot show it or
NO_COLOR is set, and its own markup is never interpreted in text that we did not write.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kafkaprep.engine.explain import missing_ids, ranges, why
from kafkaprep.engine.saved_run import SavedRun
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Outcome, PromiseResult

WIDTH = 80
SYMBOLS = {Outcome.KEPT: "✓", Outcome.BROKEN: "✗", Outcome.INCONCLUSIVE: "?"}
_ASCII = {Outcome.KEPT: "+", Outcome.BROKEN: "x", Outcome.INCONCLUSIVE: "?"}
STYLES = {Outcome.KEPT: "bold green", Outcome.BROKEN: "bold red", Outcome.INCONCLUSIVE: "bold yellow"}
_IDS_SHOWN = 120  # characters

PROMISES = {
    "no_reported_loss": "every message reported delivered is in the log",
    "no_acked_loss": "every acknowledged message is in the log",
    "all_arrive": "every planned message is in the log",
    "all_accepted": "every message is accepted",
    "no_log_duplicates": "no message is in the log twice",
    "order_kept": "the log keeps the order of sending",
    "keys_together": "each key stays in one partition",
    "nothing_skipped": "the consumer misses no message",
    "processed_once": "every message is processed exactly once",
    "no_aborted_seen": "no aborted message is processed",
    "no_phantom": "nothing is processed that is in no log",
    "readable_within": "messages can be read in time",
    "sink_matches": "the sink holds what was sent",
}


FATES = {
    "never_sent": "never sent",
    "lost_before_broker": "failed before any broker had them",
    "aborted_clean": "aborted",
    "compacted_away": "compacted away",
    "expired_unprocessed": "expired unread",
    "inconclusive": "not decided by what could be read",
    "undecided": "in an open transaction",
    "unknown_absent": "never acknowledged and in no log",
    "lost": "acknowledged and lost",
    "skipped": "in the log, skipped by the consumer",
    "pending": "in the log, not processed",
    "unprocessed": "in the log, not processed (commits not read)",
    "processed_twice": "processed more than once",
    "processed_once": "processed once",
}


def console(stderr: bool = False) -> Console:
    """A console of at most WIDTH columns, without Rich's own markup and highlighting."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if made.is_terminal:
        made.width = min(made.width, WIDTH)
        return made
    stream = _Trimmed(sys.stderr if stderr else sys.stdout)
    return Console(file=cast(TextIO, stream), markup=False, highlight=False, emoji=False, width=WIDTH)


class _Trimmed(io.TextIOBase):
    """A stream without the blanks with which Rich fills its lines: they would be in every saved report."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "ascii"

    def write(self, text: str) -> int:
        self._stream.write("\n".join(line.rstrip(" ") for line in text.split("\n")))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def symbol(outcome: Outcome, out: Console) -> str:
    return (SYMBOLS if out.encoding.lower().startswith("utf") else _ASCII)[outcome]


def print_verdict(out: Console, lab: Lab, saved: SavedRun, *, next_steps: bool = True, where: bool = True) -> None:
    """The whole verdict of one run; what to try next and where it is saved, unless that is known or untrue."""
    outcome = saved.outcome
    word = "VOID" if saved.void is not None else outcome.upper()
    line = Text(f"{symbol(outcome, out)} {word}", style=STYLES[outcome])
    line.append(f"  {headline(saved)}", style="default not bold")
    out.print()
    out.print(line)
    out.print()
    if saved.view:
        _print_paragraph(out, "Mock", sanitise(f"{saved.view[:1].upper()}{saved.view[1:]}. {lab.mock}"))
    out.print(Padding(_ledgers(saved), (0, 0, 0, 2)))
    _print_fates(out, saved)
    for promise in saved.verdict.promises:
        _print_promise(out, promise, saved)
    out.print()
    _print_paragraph(out, "Why", sanitise(why(lab, saved)))
    for command, what in next_commands(lab, saved) if next_steps else []:
        _print_paragraph(out, "Next", f"{command}\n{what}")
    if where:
        out.print(Text(f"Saved in {sanitise(str(saved.folder))}", style="dim"), soft_wrap=True)


def program() -> str:
    """What to type to run us: the bare name if the shell finds it, else how we were started."""
    if shutil.which("kafkaprep") is not None:
        return "kafkaprep"
    started = Path(sys.argv[0])
    if started.name != "kafkaprep":
        return "python -m kafkaprep"
    here = Path.cwd()
    return str(started.relative_to(here)) if started.is_absolute() and started.is_relative_to(here) else str(started)


def headline(saved: SavedRun) -> str:
    counts = saved.verdict.counts
    if saved.void is not None:
        return f"{sanitise(saved.void['fault'])}: {sanitise(saved.void['reason'])}"
    if counts["missing"]:
        return f"{counts['missing']} messages were reported delivered and are in no log."
    if saved.outcome is Outcome.KEPT:
        kept = _meaning(saved.verdict.promises[0], saved)
        return f"{kept[0].upper()}{kept[1:]}."
    broken = [promise for promise in saved.verdict.promises if promise.outcome is Outcome.BROKEN]
    if broken:
        return f"{broken[0].count} messages break the promise that {_meaning(broken[0], saved)}."
    return "Not enough could be proven."


def _ledgers(saved: SavedRun) -> Table:
    counts = saved.verdict.counts
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="left", overflow="fold")
    table.add_row("sent", str(counts["sent"]), _note(counts["planned"] - counts["sent"], "planned and never sent"))
    failed = _note(counts["failed"], "reported failed")
    table.add_row("reported delivered", str(counts["reported_delivered"]), failed)
    table.add_row("in the log", str(counts["in_log"]), _note(counts["duplicated_in_log"], "of them more than once"))
    handled = (_note(counts["processed_twice"], "of them more than once"), _note(counts["skipped"], "skipped"))
    table.add_row("processed", str(counts["processed"]), ", ".join(filter(None, handled)))
    if saved.effects is not None:
        twice = sum(rows > 1 for rows in saved.effects.values())
        calls = f"of {saved.handler_calls} calls of the handler"
        table.add_row("rows in the sink", str(sum(saved.effects.values())), calls)
        table.add_row("messages in the sink", str(len(saved.effects)), _note(twice, "of them more than once"))
    if counts["missing"]:
        ids = ranges(missing_ids(saved))
        shown = ids if len(ids) <= _IDS_SHOWN else f"{ids[:_IDS_SHOWN]}…"
        table.add_row(Text("missing", "bold red"), Text(str(counts["missing"]), "bold red"), f"ids {shown}")
    return table


def _note(count: int, text: str) -> str:
    return f"{count} {text}" if count > 0 else ""


def _print_fates(out: Console, saved: SavedRun) -> None:
    """Every planned message has one fate; the sum is shown because it must be all of them."""
    parts = [f"{count} {FATES[name]}" for name, count in saved.verdict.fates.items() if count]
    total = sum(saved.verdict.fates.values())
    out.print()
    _print_indented(out, Text(f"Of {total} messages: {', '.join(parts)}."))


def _print_indented(out: Console, text: Text) -> None:
    out.print(Padding(text, (0, 0, 0, 2)))


def _meaning(promise: PromiseResult, saved: SavedRun) -> str:
    """What is promised; where there is a sink, processing means its effect there."""
    if promise.name == "processed_once" and saved.effects is not None:
        return "every message takes effect exactly once"
    return PROMISES[promise.name]


def _print_promise(out: Console, promise: PromiseResult, saved: SavedRun) -> None:
    outcome = Outcome.INCONCLUSIVE if saved.void is not None else promise.outcome
    text = Text("Promise ").append(f"{symbol(outcome, out)} {outcome}", style=STYLES[outcome])
    text.append(f": {_meaning(promise, saved)} ({promise.name}).")
    if promise.severity is not None:
        text.append(f" With these settings, breaking it is {_SEVERITY[promise.severity]}.")
    _print_indented(out, text)


_SEVERITY = {
    "expected": "certain",
    "permitted": "allowed: they never promised otherwise",
    "violation": "not allowed: this is a bug, in Kafka or in kafkaprep",
}


def _print_paragraph(out: Console, label: str, text: str) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=False)
    table.add_column(width=4, no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    table.add_row(Text(label), Text(text))
    out.print(table)
    out.print()


def next_commands(lab: Lab, saved: SavedRun) -> list[tuple[str, str]]:
    """The command to type next, and what it shows."""
    command = f"{program()} lab {lab.id}"
    if saved.void is not None or saved.outcome is Outcome.INCONCLUSIVE:
        return [(command, "to run it again")]
    as_code: list[tuple[str, str]] = []
    if lab.solution[Scope.APPLICATION]:
        changed = [each for each in saved.settings if each[0] is Scope.APPLICATION and each not in list(lab.start)]
        values = "".join(f" --set {scope}.{name}={value}" for scope, name, value in changed)
        as_code = [(f"{command} --code{values}", "the application settings of this run, in Python and in Java")]
    if saved.outcome is Outcome.BROKEN:
        return [(command + flags(lab.solution), "the same faults, with the settings that keep the promise"), *as_code]
    if saved.settings == lab.start:
        return as_code
    return [(command, "the same faults, with the settings that break it"), *as_code]


def flags(settings: Settings) -> str:
    """` --set scope.name=value …` for each value."""
    return "".join(f" --set {scope}.{name}={value}" for scope, name, value in settings)


def print_repeats(out: Console, runs: Sequence[SavedRun]) -> None:
    """One line for a repeated run: how often each outcome came."""
    outcomes = [saved.outcome for saved in runs]
    counted = {outcome: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes}
    text = ", ".join(f"{count} × {outcome}" for outcome, count in counted.items())
    agree = len(counted) == 1 and all(saved.void is None for saved in runs)
    out.print(f"{len(outcomes)} runs: {text}; {'all agree' if agree else 'they do not agree'}.")


def print_prediction(out: Console, held: Sequence[Mapping[str, Any]]) -> None:
    """Each prediction beside what happened."""
    for each in held:
        word = {True: "right", False: "not so", None: "not decided"}[each["right"]]
        line = f"You predicted {each['name']}={each['predicted']}: {word}, it was {each['actual']}."
        out.print(Text(line, "bold green" if each["right"] else "bold yellow"))


def print_comparison(out: Console, diff: Mapping[str, Any]) -> None:
    """Two runs side by side: settings, outcome, counts that differ, and the price."""
    table = Table(box=None, padding=(0, 2, 0, 0), title="A and B, same seed and script", title_justify="left")
    table.add_column("", justify="left")
    table.add_column("A", justify="right")
    table.add_column("B", justify="right")
    for name, (a, b) in diff["settings"].items():
        table.add_row(name, _cell(a), _cell(b))
    table.add_row("outcome", *(Text(word, STYLES[Outcome(word)]) for word in diff["outcome"]))
    for name, (a, b) in diff["counts"].items():
        table.add_row(name.replace("_", " "), _cell(a), _cell(b))
    for name, label in _PRICE.items():
        a, b = diff["price"][name]
        table.add_row(label, _cell(a), _cell(b))
    out.print(table)
    out.print(Text("The price is measured over the messages sent before the first fault.", style="dim"))


_PRICE = {"p50_ms": "latency p50, ms", "p99_ms": "latency p99, ms", "per_s": "messages a second"}


def _cell(value: object) -> str:
    return "–" if value is None else sanitise(str(value))
