"""A run's folder, read and judged: the one reader of its files.

Judging is a pure function of these files, so a run can be judged again at any time, by a later version as well. The
document it makes is the JSON of `kafkaprep lab --json`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from kafkaprep.engine.audit.classes import classify
from kafkaprep.engine.audit.effects import observe_effects
from kafkaprep.engine.audit.from_history import Joined, ledger_of_run
from kafkaprep.engine.audit.judge import judge
from kafkaprep.engine.traffic.sink import effects_by_id
from kafkaprep.errors import KafkaprepError, UsageError
from kafkaprep.model.history import EventName
from kafkaprep.model.ledger import Row, RowKind, RowReader
from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Outcome, Promise, Verdict

PLAN = "plan.json"
HISTORY = "history.jsonl"
BOUNDS = "bounds.json"
LOG_LEDGER = "log.ledger"
_NEEDED = ("lab", "promises", "seed", "settings", "steps")  # of a plan, by whoever judges, explains or reports
SINK = "effects.sqlite"
_MOST_ACTORS = 1000
_FIELDS: Mapping[EventName, Mapping[str, type | UnionType]] = {
    EventName.FAULT: {"name": str, "target": str, "broker": int | None, "at_s": float | int, "observed": str},
    EventName.VOID: {"fault": str, "reason": str},
    EventName.CONSUMER_STARTED: {"index": int},
}


@dataclass(frozen=True, slots=True)
class SavedRun:
    """`verdict.outcome` says what the ledgers prove; `outcome` also knows of a void run, which proves nothing.

    `effects` counts the rows of each message id in the sink; None where the application has none, or it is unreadable.
    """

    folder: Path
    plan: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    verdict: Verdict
    void: Mapping[str, str] | None
    torn_history: bool
    effects: Mapping[int, int] | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome.INCONCLUSIVE if self.void is not None else self.verdict.outcome

    @property
    def view(self) -> str:
        """What the run shows less than one on a real cluster; empty for one that was."""
        cluster = self.last(EventName.RUN_STARTED).get("cluster")
        return str(cluster.get("view", "")) if isinstance(cluster, dict) else ""

    @property
    def settings(self) -> Settings:
        return Settings.from_dict(self.plan["settings"])

    def of(self, name: EventName) -> Iterator[Mapping[str, Any]]:
        """The events called `name`, in order."""
        return (event for event in self.events if event["event"] == name)

    def last(self, name: EventName) -> Mapping[str, Any]:
        """The last event called `name`, or an empty one."""
        found = list(self.of(name))
        return found[-1] if found else {}

    def send_rows(self) -> Iterator[Row]:
        """The rows of all send ledgers, one producer after the other."""
        for index in range(int(self.plan["producers"])):
            yield from _rows(self.folder / sends_ledger(index))

    @property
    def handler_calls(self) -> int:
        """How often the handler finished, over all consumer processes."""
        ledgers = consumer_ledgers(int(self.plan["consumers"]), self.events)
        return sum(row.kind == RowKind.PROCESSED for name in ledgers for row in _rows(self.folder / name))

    @property
    def faults(self) -> list[dict[str, Any]]:
        names = ("name", "target", "broker", "at_s", "observed")
        return [{name: event[name] for name in names} for event in self.of(EventName.FAULT)]

    def document(self) -> dict[str, Any]:
        """The JSON document of one run (format 1)."""
        started, ended = self.last(EventName.RUN_STARTED), self.last(EventName.RUN_ENDED)
        return {
            "format": 1,
            "lab": self.plan["lab"],
            "outcome": str(self.outcome),
            "cluster": started.get("cluster"),
            "void": None if self.void is None else dict(self.void),
            "client": started.get("client"),
            "seed": self.plan["seed"],
            "settings": self.plan["settings"],
            "counts": dict(self.verdict.counts),
            "fates": dict(self.verdict.fates),
            "promises": [promise.as_dict() for promise in self.verdict.promises],
            "faults": self.faults,
            "durations": ended.get("durations", {}),
            "latency_ms": ended.get("latency_ms", {"p50": None, "p99": None}),
            "history": str(self.folder),
            **({} if self.effects is None else {"sink": self._sink()}),
        }

    def _sink(self) -> dict[str, Any]:
        effects = self.effects or {}
        return {
            "rule": self.settings.get(Scope.APPLICATION, "sink", "append"),
            "calls": self.handler_calls,
            "effects": sum(effects.values()),
            "messages": len(effects),
            "more_than_once": sum(rows > 1 for rows in effects.values()),
        }


def open_run(folder: Path) -> SavedRun:
    """Read and judge the run in `folder`. Raises UsageError when it is no run's folder."""
    plan = _read_object(folder / PLAN)
    if plan is None or plan.get("format") != 1:
        raise UsageError(f"{folder} holds no saved run.", f"A run's folder has a {PLAN} of format 1.")
    lacking = [name for name in _NEEDED if name not in plan]
    if lacking:
        raise UsageError(f"The run in {folder} is damaged (its plan lacks {lacking[0]}).")
    events, torn = _read_events(folder / HISTORY)
    bounds = _read_object(folder / BOUNDS) or {"partitions": {}, "committed_offsets": None}
    producers, consumers, replication = (
        _count(folder, plan, name) for name in ("producers", "consumers", "replication")
    )
    try:
        ledger = ledger_of_run(
            plan,
            _Counted(
                [folder / sends_ledger(index) for index in range(producers)],
                {RowKind.CALLED: _told(events, "sent"), RowKind.REPORTED: _told(events, "reported")},
            ),
            _Counted([folder / LOG_LEDGER], {RowKind.STORED: _told(events, "stored")}),
            _Counted(
                [folder / name for name in consumer_ledgers(consumers, events)],
                {RowKind.PROCESSED: _told(events, "processed")},
            ),
            bounds,
        )
        settings = Settings.from_dict(plan["settings"])
        promises = [str(promise) for promise in plan["promises"]]
    except (AttributeError, KeyError, TypeError, ValueError, KafkaprepError) as error:
        raise UsageError(f"The run in {folder} is damaged ({error}).") from error
    killed = {event["broker"] for event in events if event["event"] == EventName.FAULT and event["name"] == "kill"}
    brokers_lost = max(1, len(killed - {None}))
    classification, effects = classify(ledger), None
    observations = {}
    if "sink" in settings[Scope.APPLICATION]:
        effects = effects_by_id(folder / SINK)
        observations[Promise.PROCESSED_ONCE] = observe_effects(classification, effects)
    verdict = judge(
        classification,
        promises,
        settings,
        replication=replication,
        brokers_lost=brokers_lost,
        observations=observations,
    )
    voids = [event for event in events if event["event"] == EventName.VOID]
    ended = any(event["event"] == EventName.RUN_ENDED for event in events)
    void: dict[str, str] | None = None
    if voids:
        void = {"fault": str(voids[0]["fault"]), "reason": str(voids[0]["reason"])}
    elif torn or not ended:
        void = {"fault": "the run itself", "reason": "it was cut off before its end"}
    elif not bounds.get("partitions"):
        void = {"fault": "the final read", "reason": "it left no bounds, so nobody knows how far it came"}
    return SavedRun(folder, plan, events, verdict, void, torn, effects)


class _Counted:
    """The rows of some ledgers, and whether any may be missing: a file is torn, or the history tells of more rows.

    The second finds a file cut between two rows. Clients write a row before they tell of it, so a whole ledger never
    has fewer.
    """

    def __init__(self, files: Sequence[Path], told: Mapping[RowKind, int]) -> None:
        self._joined = Joined([_rows(file) for file in files])
        self._told = told
        self._found: Counter[int] = Counter()

    def __iter__(self) -> Iterator[Row]:
        self._found.clear()
        for row in self._joined:
            self._found[row.kind] += 1
            yield row

    @property
    def torn(self) -> bool:
        """Meaningful once all rows were taken."""
        return self._joined.torn or any(self._found[kind] < count for kind, count in self._told.items())


def _told(events: Sequence[Mapping[str, Any]], name: str) -> int:
    """The last of the history's counts called `name`; 0 where it tells of none."""
    counts = [event[name] for event in events if event["event"] == EventName.COUNTS and name in event]
    return counts[-1] if counts and isinstance(counts[-1], int) else 0


def _count(folder: Path, plan: Mapping[str, Any], name: str) -> int:
    count = plan.get(name)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_ACTORS:
        raise UsageError(f"The run in {folder} is damaged (its plan's {name} is {count!r}).")
    return count


def sends_ledger(producer: int) -> str:
    return f"sends-{producer}.ledger"


def consumer_ledgers(consumers: int, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ledgers of the planned consumers and of those that were started in the course of the run."""
    later = [int(event["index"]) for event in events if event["event"] == EventName.CONSUMER_STARTED]
    return [handled_ledger(index) for index in dict.fromkeys([*range(consumers), *later])]


def handled_ledger(consumer: int) -> str:
    return f"handled-{consumer}.ledger"


def _rows(path: Path) -> RowReader:
    """The rows of a ledger. One that is missing counts as torn at its very start: it proves no absence."""
    try:
        return RowReader(path.read_bytes())
    except OSError:
        return RowReader(b"", torn=True)


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _read_events(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The whole lines of history.jsonl, and whether a torn one follows them."""
    events: list[dict[str, Any]] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return [], True
    for line in text.splitlines():
        try:
            event = json.loads(line)
            name = EventName(event["event"])
            damaged = [field for field, kind in _FIELDS.get(name, {}).items() if not isinstance(event[field], kind)]
        except (ValueError, KeyError, TypeError):
            return events, True
        if damaged:
            return events, True
        events.append({**event, "event": name})
    return events, False
