"""The knobs of a lab: values, choices, what is changed, and what each means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from kafkaprep.catalog.settings import SettingsTable
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.model.settings import Scope, SettingSpec
from kafkaprep.ui.glyphs import Glyphs
from kafkaprep.ui.session import Session
from kafkaprep.ui.widgets.rows import Rows


@dataclass(frozen=True, slots=True)
class Line:
    """One setting in the list. `knob` is one the lab invites to turn."""

    spec: SettingSpec
    choices: tuple[str, ...]
    knob: bool

    @property
    def id(self) -> str:
        return self.spec.full_name


def lines_of(session: Session, table: SettingsTable) -> list[Line]:
    """The knobs, then what else the lab starts with or the learner changed."""
    lab = session.lab
    lines = [_line(table, knob.scope, knob.name, knob.choices, True) for knob in lab.knobs]
    seen = {line.id for line in lines}
    others = [*((scope, name) for scope, name, _ in lab.start), *session.changed]
    for scope, name in others:
        line = _line(table, scope, name, (), False)
        if line.id not in seen:
            seen.add(line.id)
            lines.append(line)
    return lines


def _line(table: SettingsTable, scope: Scope, name: str, choices: tuple[str, ...], knob: bool) -> Line:
    spec = table.find(scope, name)
    allowed = choices or spec.choices or (("true", "false") if spec.kind == "bool" else ())
    return Line(spec, allowed, knob)


class SettingRows(Rows):
    """The list itself: left and right turn a knob."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Type a value", show=False),
        Binding("left,minus", "turn(-1)", "Turn back", show=False),
        Binding("right,space,plus", "turn(1)", "Turn", show=False),
    ]

    @dataclass
    class Turned(Message):
        """The highlighted setting is to take its next or previous choice."""

        by: int

    def action_turn(self, by: int) -> None:
        self.post_message(self.Turned(by))


class SettingsEditor(Vertical):
    """Changes the session it was given, and posts Changed; a value to be typed is asked for by Asked."""

    DEFAULT_CSS = """
    SettingsEditor { height: auto; }
    SettingsEditor > SettingRows { height: auto; max-height: 12; }
    SettingsEditor > #meaning { height: auto; padding: 0 1; color: $text-muted; margin-top: 1; }
    """

    @dataclass
    class Changed(Message):
        """A value was changed or taken back."""

    @dataclass
    class Asked(Message):
        """The learner wants to type a value for this setting."""

        line: Line

    def __init__(self, session: Session, table: SettingsTable, glyphs: Glyphs, *, at: str | None = None) -> None:
        super().__init__(id=at)
        self._session = session
        self._table = table
        self._glyphs = glyphs
        self._lines: dict[str, Line] = {}

    def compose(self) -> ComposeResult:
        yield SettingRows(id="settings", markup=False, compact=True)
        yield Static(id="meaning", markup=False)

    def on_mount(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Show the session as it is now."""
        self._lines = {line.id: line for line in lines_of(self._session, self._table)}
        self.query_one(SettingRows).show(self._rows())

    def _rows(self) -> Iterable[tuple[str | None, Content]]:
        for line in self._lines.values():
            yield line.id, self._row(line)

    def value(self, line: Line) -> str:
        """What the run will have: the learner's value, the lab's, or the default."""
        scope, name = line.spec.scope, line.spec.name
        chosen = self._session.changed.get((scope, name))
        return chosen or self._session.start_value(scope, name) or line.spec.default or ""

    def _row(self, line: Line) -> Content:
        spec, value = line.spec, self.value(line)
        changed = (spec.scope, spec.name) in self._session.changed
        mark = self._glyphs.changed if changed else " "
        name = f"{spec.full_name:<34}"
        if line.choices:
            shown: list[tuple[str, str] | str] = []
            for choice in line.choices:
                chosen = choice == value
                shown.append(
                    (f"[{choice}] " if chosen else f" {choice}  ", "bold reverse" if chosen else "$text-muted")
                )
            if value not in line.choices:
                shown.append((f"[{sanitise(value)}]", "bold reverse"))
        else:
            shown = [(f"[{sanitise(value)}]", "bold")]
        was = ""
        if changed:
            was = f"  was {self._session.start_value(spec.scope, spec.name) or spec.default or 'unset'}"
        return Content.assemble((f"{mark} ", "$text-warning bold"), (name, "bold" if line.knob else ""), *shown, was)

    def _meaning(self, line: Line) -> Content:
        spec = line.spec
        default = spec.default if spec.default is not None else "none"
        facts = [f"Default {default}"]
        if spec.java_default is not None and spec.java_default != spec.default:
            facts.append(f"Java client {spec.java_default}")
        facts.append(f"allowed: {spec.allowed()}")
        parts: list[tuple[str, str] | str] = [(f"{sanitise(spec.meaning)}\n", "$text")]
        if spec.risks:
            parts += [("Risk: ", "$text-warning"), (f"{sanitise(spec.risks)}\n", "$text")]
        parts.append(("; ".join(facts) + ".", "$text-muted"))
        return Content.assemble(*parts)

    def _set(self, line: Line, value: str | None) -> None:
        self._session.set(line.spec.scope, line.spec.name, value)
        self.redraw()
        self.post_message(self.Changed())

    def reset(self) -> None:
        """Take every change back."""
        self._session.changed.clear()
        self.redraw()
        self.post_message(self.Changed())

    def take(self, line: Line, value: str) -> None:
        """A typed value, already checked."""
        self._set(line, value)

    @on(SettingRows.Turned)
    def _turn(self, message: SettingRows.Turned) -> None:
        message.stop()
        line = self._lines.get(self.query_one(SettingRows).highlighted_id or "")
        if line is None:
            return
        if not line.choices:
            self.post_message(self.Asked(line))
            return
        value = self.value(line)
        at = line.choices.index(value) if value in line.choices else -1
        self._set(line, line.choices[(at + message.by) % len(line.choices)])

    @on(OptionList.OptionSelected)
    def _chosen(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        line = self._lines.get(message.option_id or "")
        if line is not None:
            self.post_message(self.Asked(line))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, message: OptionList.OptionHighlighted) -> None:
        message.stop()
        line = self._lines.get(message.option_id or "")
        if line is not None:
            self.query_one("#meaning", Static).update(self._meaning(line))
