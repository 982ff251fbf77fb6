"""One lab per file, its id the file's name; a broken one hides no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kafkaprep.catalog import schema, strict_yaml
from kafkaprep.catalog.settings import SettingsTable, load_settings
from kafkaprep.catalog.strict_yaml import ListNode, MapNode, Node, shown
from kafkaprep.errors import ContentError, UsageError
from kafkaprep.model import backends, script
from kafkaprep.model.lab import (
    WHY_NUMBERS,
    BrokenLab,
    Capability,
    ClusterShape,
    ExhibitCase,
    Kind,
    Knob,
    Lab,
    LabIndex,
    Place,
    Stage,
    Step,
    Traffic,
)
from kafkaprep.model.settings import Scope, Settings
from kafkaprep.model.verdict import Outcome, Promise

FORMAT_VERSION = 1

_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}\.yaml")
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)

_REQUIRED = (
    *("format_version", "title", "stage", "kind", "goal", "start", "script"),
    *("promises", "predict", "hints", "debrief", "sources"),
)
_OPTIONAL = ("needs", "cluster", "traffic", "solution", "exhibit", "knobs", "questions", "why", "mock")
_BRACES = re.compile(r"\{([^{}]*)\}")


def load_labs(folder: Path, table: SettingsTable | None = None) -> LabIndex:
    """Every lab in `folder`, by id. Raises ContentError only when the folder or the settings table cannot be read."""
    table = table or load_settings()
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".yaml", ".yml"))
    except OSError as error:
        raise ContentError(
            folder, 1, 1, f"The folder of labs cannot be read: {error.strerror}.", "Check that it exists."
        ) from error
    index: dict[str, Lab | BrokenLab] = {}
    for path in files:
        lab = _lab_or_broken(path, table)
        index[lab.id] = lab
    return index


def _lab_or_broken(path: Path, table: SettingsTable) -> Lab | BrokenLab:
    try:
        return read_lab(path, table)
    except ContentError as error:
        # A name that breaks the rule is kept whole, so that it cannot stand for another lab's id.
        name = path.stem if _FILE_NAME.fullmatch(path.name) else path.name
        reason = f"{error.message} {error.way_out}".strip()
        return BrokenLab(shown(name), shown(str(path), limit=400), reason, error.line, error.column)


def find_lab(index: LabIndex, lab_id: str) -> Lab:
    """The lab called `lab_id`. Raises UsageError with the nearest id, ContentError when its file is malformed."""
    found = index.get(lab_id)
    if found is None:
        hint = schema.did_you_mean(lab_id, index) or "`kafkaprep lab` lists them."
        raise UsageError(f"There is no lab {shown(lab_id)}.", hint)
    if isinstance(found, Lab):
        return found
    raise ContentError(found.file, found.line, found.column, found.error)


def read_lab(path: Path, table: SettingsTable | None = None) -> Lab:
    """The lab in the file at `path`. Raises ContentError."""
    if not _FILE_NAME.fullmatch(path.name):
        raise ContentError(
            path,
            1,
            1,
            "The file's name cannot be a lab's id.",
            "Use small letters, digits and hyphens, 41 at most, and the ending .yaml.",
        )
    if path.stem in _WINDOWS_DEVICES:
        raise ContentError(path, 1, 1, "The file's name is that of a Windows device.", "Rename the file.")
    try:
        inside = path.resolve().is_relative_to(path.parent.resolve())
    except (OSError, RuntimeError):  # a loop of links
        inside = False
    if not inside:
        raise ContentError(path, 1, 1, "A link that leaves the folder of labs.", "Put the file itself here.")
    root = strict_yaml.read(path, strict_yaml.LEARNER)
    return _Reader(table or load_settings(), str(path)).lab(path.stem, root)


def parse_lab(lab_id: str, data: bytes, file: str, table: SettingsTable | None = None) -> Lab:
    """The lab that `data` holds; `file` is what errors call it. Raises ContentError."""
    root = strict_yaml.parse(data, file, strict_yaml.LEARNER)
    return _Reader(table or load_settings(), file).lab(lab_id, root)


class _Reader:
    """Reads one lab, checking every setting against the table."""

    def __init__(self, table: SettingsTable, file: str) -> None:
        self._table = table
        self._file = file

    def lab(self, lab_id: str, root: Node) -> Lab:
        entries = schema.fields(root, "The lab", required=_REQUIRED, optional=_OPTIONAL)
        schema.integer(entries["format_version"], "format_version", FORMAT_VERSION, FORMAT_VERSION)
        kind = schema.member(entries["kind"], "kind", Kind)
        needs = frozenset(schema.members(entries["needs"], "needs", Capability)) if "needs" in entries else frozenset()
        cluster = _cluster(entries["cluster"]) if "cluster" in entries else ClusterShape()
        traffic = _traffic(entries["traffic"]) if "traffic" in entries else Traffic()
        start = self._settings(entries["start"], "start")
        steps = tuple(_step(item, cluster) for item in schema.items(entries["script"], "script", minimum=1))
        _check_sends(steps, traffic.messages, entries["script"])
        _check_needs(steps, needs)
        _check_lives(steps, traffic)
        promises = schema.members(entries["promises"], "promises", Promise)
        if not promises and kind is not Kind.INCIDENT:
            raise schema.error_at(
                entries["promises"].place,
                f"A {kind} needs at least one promise.",
                f"Known: {', '.join(Promise)}.",
            )
        return Lab(
            id=lab_id,
            title=schema.line_of_text(entries["title"], "title"),
            stage=schema.member(entries["stage"], "stage", Stage),
            kind=kind,
            goal=schema.text(entries["goal"], "goal"),
            needs=needs,
            cluster=cluster,
            traffic=traffic,
            start=start,
            solution=self._solution(entries.get("solution"), kind, start, root),
            knobs=self._knobs(entries["knobs"]) if "knobs" in entries else (),
            script=steps,
            promises=promises,
            predict=schema.text(entries["predict"], "predict"),
            hints=schema.texts(entries["hints"], "hints", minimum=1, maximum=5),
            debrief=schema.text(entries["debrief"], "debrief"),
            questions=schema.texts(entries["questions"], "questions") if "questions" in entries else (),
            sources=schema.texts(entries["sources"], "sources", minimum=1),
            file=self._file,
            exhibit=self._exhibit(entries.get("exhibit"), kind, root),
            why=_why(entries["why"]) if "why" in entries else {},
            mock=self._mock(entries, needs, steps, start, traffic) if "mock" in entries else "",
        )

    def _solution(self, node: Node | None, kind: Kind, start: Settings, root: Node) -> Settings:
        if node is None:
            if kind is Kind.LAB:
                raise schema.error_at(root.place, "The lab lacks the key solution.", "Say what keeps the promise.")
            return Settings()
        if kind is Kind.EXHIBIT:
            raise schema.error_at(node.place, "An exhibit has no solution.", "List its settings under `exhibit`.")
        solution = self._settings(node, "solution")
        if start.merged(solution) == start:
            raise schema.error_at(node.place, "solution changes nothing of start.", "Set at least one other value.")
        return solution

    def _exhibit(self, node: Node | None, kind: Kind, root: Node) -> tuple[ExhibitCase, ...]:
        if node is None:
            if kind is Kind.EXHIBIT:
                raise schema.error_at(root.place, "The exhibit lacks the key exhibit.", "List settings with outcomes.")
            return ()
        if kind is not Kind.EXHIBIT:
            raise schema.error_at(node.place, f"A {kind} has no key exhibit.", "Use `kind: exhibit`, or remove it.")
        return tuple(self._case(item) for item in schema.items(node, "exhibit", minimum=1))

    def _case(self, node: Node) -> ExhibitCase:
        entries = schema.fields(node, "An exhibit", required=["outcome"], optional=list(Scope))
        outcome = schema.member(entries["outcome"], "outcome", Outcome)
        if outcome is Outcome.INCONCLUSIVE:
            raise schema.error_at(entries["outcome"].place, "outcome must be kept or broken.", "Nothing else is proof.")
        return ExhibitCase(self._settings(node, "An exhibit", also="outcome"), outcome)

    def _mock(
        self,
        entries: Mapping[str, Node],
        needs: frozenset[Capability],
        steps: Sequence[Step],
        start: Settings,
        traffic: Traffic,
    ) -> str:
        """What a run on the mock cluster shows. A lab that the mock would answer falsely may not say it."""
        place = entries["mock"].place
        solution = self._settings(entries["solution"], "solution") if "solution" in entries else Settings()
        reasons = backends.missing(needs, {Capability.KILL}, backends.MOCK_LACKS)
        for step in steps:
            if reason := backends.mock_refuses_step(step.verb, step.argument):
                raise schema.error_at(step.place, f"The mock cluster cannot show this: {reason}.", "Remove key mock.")
        reasons += backends.mock_refuses_consumers([(step.verb, step.argument) for step in steps], traffic.consumers)
        reasons += backends.mock_refuses_settings(start.merged(solution))
        if reasons:
            raise schema.error_at(place, f"The mock cluster cannot show this lab ({reasons[0]}).", "Remove key mock.")
        return schema.text(entries["mock"], "mock")

    def _settings(self, node: Node, what: str, *, also: str = "") -> Settings:
        scopes = schema.fields(node, what, required=[], optional=[*Scope, *([also] if also else [])])
        values: dict[Scope, dict[str, str]] = {}
        for scope in Scope:
            if scope in scopes:
                values[scope] = self._values(scope, schema.mapping(scopes[scope], f"{what}.{scope}"))
        return Settings(values)

    def _values(self, scope: Scope, node: MapNode) -> dict[str, str]:
        values: dict[str, str] = {}
        for name, value in node.entries.items():
            real_name = self._name(scope, name, node.key_places[name])
            if real_name in values:
                raise schema.error_at(
                    node.key_places[name],
                    f"{shown(name)} is another name of {real_name}.",
                    "Keep one of the two.",
                )
            values[real_name] = self._value(scope, real_name, value)
        return values

    def _name(self, scope: Scope, name: str, place: Place) -> str:
        try:
            return self._table.find(scope, name).name
        except UsageError as error:
            raise schema.error_at(place, error.message, error.way_out) from error

    def _value(self, scope: Scope, name: str, node: Node) -> str:
        written = schema.scalar(node, f"{scope}.{name}").text
        try:
            return self._table.check(scope, name, written)
        except UsageError as error:
            raise schema.error_at(node.place, error.message, error.way_out) from error

    def _knobs(self, node: Node) -> tuple[Knob, ...]:
        knobs: list[Knob] = []
        for item in schema.items(node, "knobs"):
            knob = self._knob(item)
            if any((knob.scope, knob.name) == (other.scope, other.name) for other in knobs):
                raise schema.error_at(
                    item.place, f"A second knob for {knob.scope}.{knob.name}.", "Keep one of the two."
                )
            knobs.append(knob)
        return tuple(knobs)

    def _knob(self, node: Node) -> Knob:
        entries = schema.fields(node, "A knob", required=["scope", "name"], optional=["choices", "note"])
        scope = schema.member(entries["scope"], "scope", Scope)
        name = self._name(scope, schema.text(entries["name"], "name"), entries["name"].place)
        choices: list[str] = []
        for item in schema.items(entries["choices"], "choices", minimum=2) if "choices" in entries else ():
            choice = self._value(scope, name, item)
            if choice in choices:
                raise schema.error_at(item.place, f"choices lists {choice} twice.", "Keep one of the two.")
            choices.append(choice)
        note = schema.text(entries["note"], "note") if "note" in entries else ""
        return Knob(scope, name, tuple(choices), note)


def _why(node: Node) -> dict[Outcome, str]:
    """The paragraph for each outcome; a name in braces must be one of WHY_NUMBERS."""
    entries = schema.fields(node, "why", required=[], optional=[Outcome.BROKEN, Outcome.KEPT])
    for paragraph in entries.values():
        for name in _BRACES.findall(schema.text(paragraph, "why")):
            if name not in WHY_NUMBERS:
                raise schema.error_at(
                    paragraph.place,
                    f"why names {{{shown(name)}}}, which no run has.",
                    schema.did_you_mean(name, WHY_NUMBERS) or f"Known: {', '.join(WHY_NUMBERS)}.",
                )
    return {Outcome(outcome): schema.text(paragraph, "why") for outcome, paragraph in entries.items()}


def _cluster(node: Node) -> ClusterShape:
    entries = schema.fields(node, "cluster", required=[], optional=["brokers", "partitions", "replication"])
    usual = ClusterShape()
    brokers = _integer(entries.get("brokers"), "brokers", usual.brokers, 1, 3)
    return ClusterShape(
        brokers=brokers,
        partitions=_integer(entries.get("partitions"), "partitions", usual.partitions, 1, 24),
        replication=_integer(entries.get("replication"), "replication", min(usual.replication, brokers), 1, brokers),
    )


def _traffic(node: Node) -> Traffic:
    names = ["messages", "keys", "producers", "consumers", "message_bytes"]
    entries = schema.fields(node, "traffic", required=[], optional=names)
    usual = Traffic()
    return Traffic(
        messages=_integer(entries.get("messages"), "messages", usual.messages, 1, 1_000_000),
        keys=_integer(entries.get("keys"), "keys", usual.keys, 1, 1_000_000),
        producers=_integer(entries.get("producers"), "producers", usual.producers, 1, 4),
        consumers=_integer(entries.get("consumers"), "consumers", usual.consumers, 0, 8),
        message_bytes=_integer(entries.get("message_bytes"), "message_bytes", usual.message_bytes, 64, 10_000),
    )


def _integer(node: Node | None, what: str, default: int, minimum: int, maximum: int) -> int:
    return default if node is None else schema.integer(node, what, minimum, maximum)


def _step(node: Node, cluster: ClusterShape) -> Step:
    found = schema.mapping(node, "A step")
    if len(found.entries) != 1:
        raise schema.error_at(node.place, "A step is one `verb: argument`.", "Start each step with its own `- `.")
    ((name, value),) = found.entries.items()
    if name not in script.VERBS:
        raise schema.error_at(
            found.key_places[name],
            f"There is no verb {shown(name)}.",
            schema.did_you_mean(name, script.VERBS),
        )
    argument = schema.scalar(value, name).text.strip()
    if script.form_of(name, argument) is None:
        forms = script.VERBS[name].forms
        near = schema.did_you_mean(argument, forms)
        hint = near if near.startswith("Did") else f"Allowed: {', '.join(forms)}."
        raise schema.error_at(value.place, f"{name} cannot take {shown(argument) or 'nothing'}.", hint)
    step = Step(name, argument, found.key_places[name])
    broker = script.broker_of(step)
    if broker is not None and broker > cluster.brokers:
        raise schema.error_at(value.place, f"There is no broker {broker}.", f"The cluster has 1 to {cluster.brokers}.")
    return step


def _check_sends(steps: Iterable[Step], messages: int, node: Node) -> None:
    """Every planned message is sent by exactly one step, when steps send at all."""
    place = node.items[0].place if isinstance(node, ListNode) else node.place
    counted, rests = 0, 0
    for step in steps:
        if step.verb != "send":
            continue
        place = step.place
        counted += script.count_of(step) or 0
        rests += step.argument == script.REST
        if counted > messages:
            raise schema.error_at(place, f"The script sends {counted} messages of {messages}.", "Send fewer.")
        if rests > 1:
            raise schema.error_at(place, "`send: rest` stands twice.", "Keep one of the two.")
    if 0 < counted < messages and not rests:
        raise schema.error_at(place, f"The script sends {counted} messages of {messages}.", "Add `- send: rest`.")


def _check_lives(steps: Iterable[Step], traffic: Traffic) -> None:
    """A consumer dies once before it is started again, and only at a message that has been sent by then."""
    alive, whole, sent = traffic.consumers > 0, True, 0
    for step in steps:
        if step.verb == "send":
            sent += script.count_of(step) or traffic.messages - sent
        elif (step.verb, step.argument) == ("start", "consumer"):
            if alive or not traffic.consumers:
                raise schema.error_at(step.place, "No consumer has died here.", "Let a `crash` come first.")
            alive = True
        elif step.verb == "crash" or (step.verb, step.argument) == ("kill", "consumer"):
            if not alive:
                raise schema.error_at(step.place, "There is no living consumer here.", "Add `- start: consumer`.")
            point = script.crash_point(step.verb, step.argument)
            if point is not None and whole and point[1] > sent:
                raise schema.error_at(
                    step.place,
                    f"Only {sent} messages are sent before this crash at message {point[1]}.",
                    "Send more before it, or crash earlier.",
                )
            alive = whole = False
        elif step.argument == "consumer_caught_up" and not whole:
            raise schema.error_at(
                step.place,
                "After a crash nobody can count what the consumer has caught up with.",
                "Remove the step: every run drains its consumers at the end.",
            )


def _check_needs(steps: Iterable[Step], needs: frozenset[Capability]) -> None:
    """A lab names what its script needs, so that a cluster that cannot do it is never chosen."""
    for step in steps:
        needed = script.capability_of(step)
        if needed is not None and needed not in needs:
            raise schema.error_at(step.place, f"`{step.verb}: {step.argument}` needs {needed}.", "Add it to `needs`.")
