"""All labs by stage, filtered as you type; a broken file is listed, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Footer, Input, OptionList, Static

from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.errors import ContentError
from kafkaprep.model.lab import BrokenLab, Lab, Stage
from kafkaprep.model.verdict import Outcome
from kafkaprep.ui.glyphs import OUTCOME_STYLES
from kafkaprep.ui.screens.dialogs import problem
from kafkaprep.ui.screens.screen import AppScreen
from kafkaprep.ui.widgets.rows import Rows
from kafkaprep.ui.words import plural


def matches(lab: Lab | BrokenLab, typed: str) -> bool:
    """Whether every typed word is somewhere in what names the lab."""
    text = lab.id
    if isinstance(lab, Lab):
        text = f"{lab.id} {lab.title} {lab.stage} {lab.goal} {' '.join(name for _, name, _ in lab.start)}"
    return all(word in text.lower() for word in typed.lower().split())


class LabsScreen(AppScreen):
    """`about` is a stage, or any words, to begin with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("slash", "filter", "Filter"),
        ("escape", "back", "Back"),
        ("q", "app.quit", "Quit"),
    ]

    def __init__(self, about: str = "", *, filtering: bool = False) -> None:
        super().__init__()
        self._about = about
        self._filtering = filtering

    def compose(self) -> ComposeResult:
        with Vertical(id="labs"):
            yield Static(Content.styled("Labs", "bold"), classes="title")
            yield Input(self._about, placeholder="/ filters by id, title, stage or setting", compact=True, id="filter")
            yield Rows(id="list", markup=False, compact=True)
            yield Static(id="found", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        (self.query_one(Input) if self._filtering else self.query_one(Rows)).focus()

    def on_screen_resume(self) -> None:
        self.show_labs()

    def show_labs(self) -> None:
        typed = self.query_one(Input).value
        index = self.kp.index or {}
        found = [lab for lab in index.values() if matches(lab, typed)]
        self.query_one(Rows).show(self._rows(found))
        words = f"{len(found)} of {plural(len(index), 'lab')}" if typed else plural(len(index), "lab")
        if not found:
            words += "; nothing matches, Escape clears the filter"
        marks = self.glyphs.outcomes
        words += f"   seen on this machine: {marks[Outcome.BROKEN]} broken  {marks[Outcome.KEPT]} kept"
        self.query_one("#found", Static).update(Content.styled(words, "$text-muted"))

    def _rows(self, found: list[Lab | BrokenLab]) -> Iterator[tuple[str | None, Content]]:
        for stage in Stage:
            labs = [lab for lab in found if isinstance(lab, Lab) and lab.stage is stage]
            if labs:
                yield None, Content(str(stage))
                for lab in labs:
                    yield lab.id, self._row(lab)
        broken = [lab for lab in found if isinstance(lab, BrokenLab)]
        if broken:
            yield None, Content("cannot be read")
            for each in broken:
                mark = (f"{self.glyphs.failed} ", "$text-error")
                yield each.id, Content.assemble(mark, (f"{sanitise(each.id):<26} ", "bold"), sanitise(each.error))

    def _row(self, lab: Lab) -> Content:
        seen = self.kp.proven.get(lab.id, set())
        marks = [
            (self.glyphs.outcomes[outcome] if outcome in seen else " ", OUTCOME_STYLES[outcome])
            for outcome in (Outcome.BROKEN, Outcome.KEPT)
        ]
        return Content.assemble((f"{lab.id:<26} ", "bold"), *marks, f"  {lab.title}")

    @on(Input.Changed, "#filter")
    def _typed(self) -> None:
        self.show_labs()

    @on(Input.Submitted, "#filter")
    def _submitted(self) -> None:
        self.query_one(Rows).focus()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        lab = (self.kp.index or {}).get(event.option_id or "")
        if isinstance(lab, Lab):
            self.kp.open_lab(lab.id)
        elif lab is not None:
            self.app.push_screen(problem(ContentError(lab.file, lab.line, lab.column, str(lab))))

    def on_key(self, event: object) -> None:
        """Down leaves the filter for the list."""
        if getattr(event, "key", "") == "down" and self.query_one(Input).has_focus:
            self.query_one(Rows).focus()

    def action_filter(self) -> None:
        self.query_one(Input).focus()

    def action_back(self) -> None:
        """First clears the filter, then goes back."""
        field = self.query_one(Input)
        if field.has_focus or field.value:
            field.value = ""
            self.query_one(Rows).focus()
        else:
            self.app.pop_screen()
