"""What a run proved: outcome, prediction, three ledgers, fates, why, what next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Footer, Static

from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.model.settings import Settings
from kafkaprep.model.verdict import Outcome, PromiseResult
from kafkaprep.ui.glyphs import OUTCOME_STYLES
from kafkaprep.ui.messages import Judged, RunRequest
from kafkaprep.ui.screens.dialogs import Reading
from kafkaprep.ui.screens.screen import AppScreen, button
from kafkaprep.ui.widgets.ledgers import Ledgers, fates_bar
from kafkaprep.ui.widgets.message_grid import MessageGrid
from kafkaprep.ui.words import PROMISES, SEVERITIES, command_line, headline


class VerdictScreen(AppScreen):
    """Reads nothing: it shows a judged run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("s", "solution", "Solution"),
        ("e", "settings", "Settings"),
        ("d", "debrief", "Debrief"),
        ("r", "again", "Run again"),
        ("escape", "settings", "Back"),
        Binding("h", "hint", "Hint", show=False),
        Binding("o", "sources", "Sources", show=False),
        Binding("y", "copy", "Copy the command", show=False),
        Binding("n", "next_lab", "Next lab", show=False),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def __init__(self, judged: Judged) -> None:
        super().__init__()
        self.judged = judged
        self._lab = judged.request.lab

    def compose(self) -> ComposeResult:
        judged, saved = self.judged, self.judged.saved
        with VerticalScroll(id="verdict"):
            yield Static(self._outcome(), id="outcome")
            yield Static(self._prediction(), id="prediction")
            yield Ledgers(saved.verdict.counts, judged.ids, self.glyphs, at="ledgers")
            yield Static(Content.assemble(("Why  ", "bold"), sanitise(judged.why)), id="why")
            for promise in saved.verdict.promises:
                yield Static(self._promise(promise), classes="promise")
            yield Static(id="bar", markup=False)
            yield MessageGrid(self.glyphs, at="grid")
            yield Static(Content("\n").join(list(self._notes())), id="notes")
            yield Static(Content.styled(f"Saved in {sanitise(str(saved.folder))}", "$text-muted"), id="saved")
        with Horizontal(classes="buttons"):
            yield from self._buttons()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#verdict").focus()
        self.query_one(MessageGrid).show_fates(self.judged.fates)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self._draw_bar)

    def _draw_bar(self) -> None:
        field = self.query_one("#bar", Static)
        field.update(fates_bar(self.judged.saved.verdict.fates, max(10, field.size.width), self.glyphs))

    def _outcome(self) -> Content:
        saved = self.judged.saved
        word = "VOID" if saved.void is not None else saved.outcome.upper()
        mark = f"{self.glyphs.outcomes[saved.outcome]} {word}"
        return Content.assemble((f" {mark} ", f"bold reverse {OUTCOME_STYLES[saved.outcome]}"), f"  {headline(saved)}")

    def _prediction(self) -> Content:
        prediction = self.judged.request.prediction
        if prediction is None:
            return Content.styled("You made no prediction (p in the lab makes one).", "$text-muted")
        held = prediction.check(self.judged.saved)
        word = {True: "right", False: "not so", None: "not decided"}[held["right"]]  # type: ignore[index]
        style = "$text-success" if held["right"] else "$text-warning"
        said = f"You predicted {held['name']}={held['predicted']}; it was {held['actual']}: "
        return Content.assemble(said, (word, f"bold {style}"))

    def _promise(self, promise: PromiseResult) -> Content:
        void = self.judged.saved.void is not None
        outcome = Outcome.INCONCLUSIVE if void else promise.outcome
        text = Content.assemble(
            ("Promise  ", "bold"),
            (f"{self.glyphs.outcomes[outcome]} {outcome}", f"bold {OUTCOME_STYLES[outcome]}"),
            f": {PROMISES[promise.name]}.",
        )
        if promise.severity is None or void:
            return text
        return Content.assemble(text, f" With these settings, breaking it is {SEVERITIES[promise.severity]}.")

    def _notes(self) -> Iterator[Content]:
        """What the knobs do here; it gives the answer, so it stands after a run."""
        for knob in self._lab.knobs:
            if knob.note:
                yield Content.assemble((f"{knob.scope}.{knob.name}  ", "bold"), sanitise(knob.note.strip()))

    def _buttons(self) -> Iterator[Button]:
        outcome = self.judged.saved.outcome
        has_solution = bool(list(self._lab.solution))
        if outcome is Outcome.BROKEN and has_solution:
            yield button("Run the solution", "s", "solution", primary=True)
        elif outcome is Outcome.INCONCLUSIVE:
            yield button("Run it again", "r", "again", primary=True)
        else:
            yield button("Next lab", "n", "next_lab", primary=True)
        yield button("Settings", "e", "settings")
        yield button("Hint", "h", "hint")
        yield button("Debrief", "d", "debrief")
        yield button("Sources", "o", "sources")

    def action_again(self) -> None:
        self.kp.run_lab(self.judged.request)

    def action_solution(self) -> None:
        if not list(self._lab.solution):
            self.notify("An exhibit has no solution: every setting is a case of its own.", markup=False)
            return
        self.kp.run_lab(RunRequest(self._lab, Settings(), True, self.judged.request.prediction))

    def action_settings(self) -> None:
        self.app.pop_screen()

    def action_hint(self) -> None:
        session = self.kp.session(self._lab)
        session.next_hint()
        shown = self._lab.hints[: session.hints_shown]
        text = "\n\n".join(f"{number}. {hint.strip()}" for number, hint in enumerate(shown, start=1))
        self.app.push_screen(Reading(f"Hints: {len(shown)} of {len(self._lab.hints)}, h shows the next", text))

    def action_debrief(self) -> None:
        self.app.push_screen(Reading(self._lab.title, self._lab.debrief, markdown=True))

    def action_sources(self) -> None:
        self.app.push_screen(Reading("Sources", "\n\n".join(self._lab.sources)))

    def action_copy(self) -> None:
        request = self.judged.request
        self.kp.copy(command_line(self._lab.id, request.changes, solution=request.solution))

    def action_next_lab(self) -> None:
        self.kp.open_next_lab()

    def action_down(self) -> None:
        self.query_one("#verdict").scroll_down(animate=False)

    def action_up(self) -> None:
        self.query_one("#verdict").scroll_up(animate=False)
