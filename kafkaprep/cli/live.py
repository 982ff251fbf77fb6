"""A run as it happens, for a terminal or as plain lines."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.model.history import Event, EventName
from kafkaprep.model.lab import Lab
from kafkaprep.model.settings import Settings

_PHASES = {
    "prepare": "creating the topic, starting producer and consumer",
    "heal": "healing: faults lifted, brokers back, ISR full",
    "final_read": "reading the log to its end",
}


def heading(lab: Lab, settings: Settings) -> list[Text]:
    """The lab's title and question, and the settings of the run that differ from the defaults."""
    chosen = "  ".join(f"{scope}.{name}={value}" for scope, name, value in settings)
    return [Text(lab.title, "bold"), Text(lab.goal), Text(chosen, "cyan")]


class Display(Protocol):
    """Shows the events of runs; used as a context manager around them."""

    def __enter__(self) -> Display: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def say(self, text: str) -> None: ...
    def on_event(self, event: Event) -> None: ...


def _fault_text(event: Event) -> str:
    if event.fields["name"] == "new leader":
        return str(event.fields["observed"])
    broker = f"broker {event.fields['broker']}: " if event.fields["broker"] is not None else ""
    return f"{broker}{event.fields['observed']}"


def _counts_line(event: Event) -> str:
    seen = event.fields
    return (
        f"sent {seen['sent']}/{seen['planned']}   reported delivered {seen['ok']}   errors {seen['errors']}   "
        f"processed {seen['processed']}"
    )


class PlainDisplay:
    """One line for each thing that happened; no cursor movement."""

    def __init__(self, out: Console, lab: Lab, settings: Settings, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._heading = heading(lab, settings)
        self._fault_shown = False

    def __enter__(self) -> PlainDisplay:
        for line in self._heading:
            self.say(line.plain)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def say(self, text: str) -> None:
        if not self._quiet:
            self._out.print(sanitise(text), soft_wrap=True)

    def on_event(self, event: Event) -> None:
        match event.event:
            case EventName.STEP_STARTED:
                self._fault_shown = False
            case EventName.STEP_DONE if not self._fault_shown:
                self.say(f"{event.at_s:6.2f} s  {event.fields['step']}: {event.fields['observed']}")
            case EventName.FAULT:
                self._fault_shown = True
                self.say(
                    f"{event.at_s:6.2f} s  ! {event.fields['name']} {event.fields['target']}: {_fault_text(event)}"
                )
            case EventName.PHASE if event.fields["phase"] in _PHASES:
                self.say(f"{event.at_s:6.2f} s  {_PHASES[str(event.fields['phase'])]}")
            case EventName.VOID:
                self.say(f"{event.at_s:6.2f} s  void: {event.fields['fault']}: {event.fields['reason']}")
            case EventName.NOTE:
                self.say(f"{event.at_s:6.2f} s  note: {event.fields['text']}")
            case _:
                pass


class LiveDisplay:
    """The script with a mark at each step, the faults under them, the counts below; redrawn in place."""

    def __init__(self, out: Console, lab: Lab, settings: Settings) -> None:
        self._out = out
        self._heading = [*heading(lab, settings), Text()]
        self._steps = [str(step) for step in lab.script]
        self._closing = ExitStack()
        self._reset()
        utf8 = out.encoding.lower().startswith("utf")
        self._marks = {"done": "✓", "now": "▸", "due": "·"} if utf8 else {"done": "+", "now": ">", "due": "-"}

    def _reset(self) -> None:
        self._observed: dict[int, str] = {}
        self._faults: dict[int, str] = {}
        self._index = -1
        self._phase = ""
        self._counts = ""
        self._began = time.monotonic()

    def __enter__(self) -> LiveDisplay:
        live = Live(console=self._out, get_renderable=self._picture, refresh_per_second=8, transient=False)
        self._closing.enter_context(live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def say(self, text: str) -> None:
        self._phase = sanitise(text)

    def on_event(self, event: Event) -> None:
        fields = event.fields
        match event.event:
            case EventName.PHASE:
                if fields["phase"] == "prepare":
                    self._reset()
                self._phase = _PHASES.get(str(fields["phase"]), "")
            case EventName.STEP_STARTED:
                self._index = int(str(fields["index"]))
            case EventName.STEP_DONE:
                self._observed[int(str(fields["index"]))] = sanitise(str(fields["observed"]))
            case EventName.FAULT:
                self._faults[self._index] = sanitise(f"{_fault_text(event)}, at {event.at_s:.2f} s")
            case EventName.COUNTS:
                self._counts = _counts_line(event)
            case EventName.VOID:
                self._phase = sanitise(f"void: {fields['fault']}: {fields['reason']}")
            case EventName.RUN_ENDED:
                self._phase = "done"
            case _:
                pass

    def _picture(self) -> Group:
        lines = list(self._heading)
        for index, step in enumerate(self._steps):
            state = "done" if index in self._observed else "now" if index == self._index else "due"
            style = {"done": "default", "now": "bold", "due": "dim"}[state]
            line = Text(f"  {self._marks[state]} {step}", style=style, overflow="ellipsis", no_wrap=True)
            if index in self._faults:
                line.append(f"  {self._faults[index]}", style="yellow")
            elif index in self._observed:
                line.append(f"  {self._observed[index]}", style="dim")
            lines.append(line)
        lines.append(Text(f"  {self._counts}", style="cyan", overflow="ellipsis", no_wrap=True))
        elapsed = time.monotonic() - self._began
        lines.append(Text(f"  {elapsed:5.1f} s  {self._phase}", style="dim", overflow="ellipsis", no_wrap=True))
        return Group(*lines)
