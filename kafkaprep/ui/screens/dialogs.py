"""The small screens: a question, a text to read, a value to type, an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widgets import Button, Input, Markdown, Static

from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.errors import BrokerDidNotStart, KafkaprepError
from kafkaprep.ui.screens.screen import Dialog, button


class Confirm(Dialog[bool]):
    """Yes or no; Escape is no."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "yes", "Yes"), ("n,escape", "no", "No")]

    def __init__(self, question: str, detail: str, yes: str, no: str) -> None:
        super().__init__()
        self._question, self._detail, self._yes, self._no = question, detail, yes, no

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content.styled(self._question, "bold"))
            yield Static(Content(self._detail), classes="gap")
            with Horizontal(classes="buttons"):
                yield button(self._yes, "y", "yes", primary=True)
                yield button(self._no, "n", "no")

    @on(Button.Pressed)
    async def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        await self.run_action(str(event.button.name))

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)


class Reading(Dialog[None]):
    """A text to read: Markdown, or plain lines that are shown as they are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,d,o", "leave", "Back"),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, title: str, text: str, *, markdown: bool = False) -> None:
        super().__init__()
        self._title, self._text, self._markdown = title, text, markdown

    def compose(self) -> ComposeResult:
        text = sanitise(self._text, 100_000)
        with Vertical(classes="dialog reading"):
            yield Static(Content.styled(sanitise(self._title), "bold"))
            with VerticalScroll(id="text"):
                if self._markdown:
                    yield Markdown(text, open_links=False)
                else:
                    yield Static(Content(text))
            yield Static(Content.styled("arrows, j and k scroll; Escape goes back", "$text-muted"))

    def on_mount(self) -> None:
        self.query_one("#text").focus()

    def action_down(self) -> None:
        self.query_one("#text").scroll_down(animate=False)

    def action_up(self) -> None:
        self.query_one("#text").scroll_up(animate=False)


class Ask(Dialog[str]):
    """A value to type. `check` answers what is wrong with it, or nothing."""

    def __init__(
        self, question: str, help_text: str, value: str, check: Callable[[str], str], known: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._question, self._help, self._value = question, help_text, value
        self._check, self._known = check, known

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content.styled(sanitise(self._question), "bold"))
            yield Static(Content.styled(sanitise(self._help), "$text-muted"), classes="gap")
            yield Input(self._value, suggester=SuggestFromList(self._known) if self._known else None, max_length=200)
            yield Static(id="wrong", markup=False)
            yield Static(Content.styled("Enter takes it; Escape goes back", "$text-muted"))

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one("#wrong", Static).update(Content())

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        value = event.value.strip()
        wrong = self._check(value)
        if wrong:
            self.query_one("#wrong", Static).update(Content.styled(sanitise(wrong), "$text-error"))
        else:
            self.dismiss(value)


def problem(error: KafkaprepError) -> Reading:
    """What went wrong, the way out, and a broker's last words."""
    text = f"{error.message}\n\n{error.way_out}".strip()
    if isinstance(error, BrokerDidNotStart) and error.log_tail:
        text += "\n\nIts last lines:\n" + "\n".join(f"  {line}" for line in error.log_tail)
    return Reading("That did not work", text)
