"""One lab before its run: the question, the settings, a prediction, hints."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from kafkaprep.engine.predict import parse_prediction
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.errors import UsageError
from kafkaprep.model.lab import Lab
from kafkaprep.ui.messages import RunRequest
from kafkaprep.ui.screens.dialogs import Ask, Reading
from kafkaprep.ui.screens.screen import AppScreen, button
from kafkaprep.ui.widgets.rows import Rows
from kafkaprep.ui.widgets.settings_editor import Line, SettingsEditor
from kafkaprep.ui.words import PROMISES, command_line, plural, predicted_name

_PREDICTED = {
    "lost": "messages are reported delivered and lost",
    "duplicated": "messages are in the log more than once",
    "processed_twice": "messages are processed more than once",
    "skipped": "messages are skipped by the consumer",
    "reordered": "messages are out of order",
    "failed": "messages are reported failed",
    "outcome": "",
}


class LabScreen(AppScreen):
    """Everything here can be left as it is: `r` runs the lab as it starts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("r", "run", "Run"),
        ("s", "solution", "Solution"),
        ("p", "predict", "Predict"),
        ("h", "hint", "Hint"),
        ("escape", "back", "Back"),
        Binding("a", "another", "Set another setting", show=False),
        Binding("x", "reset", "Reset the settings", show=False),
        Binding("y", "copy", "Copy the command", show=False),
        Binding("d", "debrief", "Debrief: what happens, in full (it gives the answer)", show=False),
        Binding("o", "sources", "Sources", show=False),
    ]

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self._lab = lab

    def compose(self) -> ComposeResult:
        lab, session = self._lab, self.kp.session(self._lab)
        assert self.kp.table is not None
        with VerticalScroll(id="lab", can_focus=False):
            yield Static(Content.assemble((lab.title, "bold"), (f"   {lab.id}", "$text-muted")), classes="title")
            with Vertical(id="parts"):
                with Vertical(id="brief"):
                    yield Static(Content(lab.goal.strip()), id="goal")
                    yield Static(id="predict", markup=False)
                    yield Static(id="hints", markup=False)
                    yield Static(self._facts(), id="facts", classes="wide-only")
                with Vertical(id="turn"):
                    yield Static(
                        Content.assemble(
                            ("Settings ", "bold"),
                            (
                                "left/right turn · Enter types · a another · x reset".replace("·", self._dot()),
                                "$text-muted",
                            ),
                        )
                    )
                    yield SettingsEditor(session, self.kp.table, self.glyphs)
                    yield Static(id="command", markup=False)
            yield Static(self._facts(), classes="narrow-only")
        with Horizontal(classes="buttons"):
            yield button("Run", "r", "run", primary=True)
            yield button("Run the solution", "s", "solution")
            yield button("Predict", "p", "predict")
            yield button("Hint", "h", "hint")
            yield button("Debrief", "d", "debrief")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(Rows).focus(scroll_visible=False)

    def on_screen_resume(self) -> None:
        self.query_one(SettingsEditor).redraw()
        self._redraw()
        self.call_after_refresh(self.query_one("#lab").scroll_home, animate=False)

    def _dot(self) -> str:
        return self.glyphs.separator

    def _facts(self) -> Content:
        lab, arrow = self._lab, f" {self.glyphs.arrow} "
        traffic = (
            f"{lab.traffic.messages} messages, {plural(lab.cluster.partitions, 'partition')} with "
            f"{lab.cluster.replication} replicas on {lab.cluster.brokers} brokers, "
            f"{plural(lab.traffic.producers, 'producer')}, {plural(lab.traffic.consumers, 'consumer')}."
        )
        promised = "; ".join(PROMISES[promise] for promise in lab.promises)
        return Content.assemble(
            ("What will happen\n", "bold"),
            f"{traffic}\n",
            ("Script   ", "$text-muted"),
            f"{arrow.join(sanitise(str(step)) for step in lab.script)}\n",
            ("Promise  ", "$text-muted"),
            f"{promised}.",
        )

    def _redraw(self) -> None:
        session = self.kp.session(self._lab)
        self._show_prediction()
        shown = self._lab.hints[: session.hints_shown]
        hints = [
            Content.assemble((f"Hint {number} of {len(self._lab.hints)}: ", "bold"), sanitise(hint.strip()))
            for number, hint in enumerate(shown, start=1)
        ]
        field = self.query_one("#hints", Static)
        field.display = bool(hints)
        field.update(Content("\n").join(hints))
        command = command_line(self._lab.id, session.changes)
        self.query_one("#command", Static).update(
            Content.assemble(("y copies  ", "$text-muted"), command) if session.changed else Content()
        )

    def _show_prediction(self) -> None:
        prediction = self.kp.session(self._lab).prediction
        said = "press p to say" if prediction is None else _sentence(prediction.name, prediction.value)
        self.query_one("#predict", Static).update(
            Content.assemble(
                ("Predict  ", "bold $text-accent"),
                self._lab.predict.strip(),
                ("\nYou say: ", "$text-muted"),
                (said, "" if prediction else "$text-muted"),
            )
        )

    @on(SettingsEditor.Changed)
    def _changed(self) -> None:
        self._redraw()

    @on(SettingsEditor.Asked)
    def _asked(self, message: SettingsEditor.Asked) -> None:
        line, editor = message.line, self.query_one(SettingsEditor)

        def take(value: str | None) -> None:
            if value is not None:
                editor.take(line, value)

        self.app.push_screen(
            Ask(
                f"{line.spec.full_name} = ?",
                f"Allowed: {line.spec.allowed()}.",
                editor.value(line),
                lambda value: self._wrong(line, value),
                line.choices,
            ),
            take,
        )

    def _wrong(self, line: Line, value: str) -> str:
        return self._wrong_assignment(f"{line.spec.full_name}={value}")

    def _wrong_assignment(self, assignment: str) -> str:
        assert self.kp.table is not None
        try:
            self.kp.table.parse_assignment(assignment)
        except UsageError as error:
            return str(error)
        return ""

    def action_run(self) -> None:
        self._run(solution=False)

    def action_solution(self) -> None:
        if not list(self._lab.solution):
            self.notify("An exhibit has no solution: every setting is a case of its own.", markup=False)
            return
        self._run(solution=True)

    def _run(self, *, solution: bool) -> None:
        session = self.kp.session(self._lab)
        changes = type(session.changes)() if solution else session.changes
        self.kp.run_lab(RunRequest(self._lab, changes, solution, session.prediction))

    def action_predict(self) -> None:
        name = predicted_name(self._lab)
        allowed = "kept or broken" if name == "outcome" else "none, some, all, or a number"
        session = self.kp.session(self._lab)

        def check(value: str) -> str:
            try:
                parse_prediction(f"{name}={value}") if value else None
            except UsageError:
                return f"Say {allowed}."
            return ""

        def take(value: str | None) -> None:
            if value is not None:
                session.prediction = parse_prediction(f"{name}={value}") if value else None
                self._redraw()

        known = ("kept", "broken") if name == "outcome" else ("none", "some", "all")
        before = session.prediction.value if session.prediction else ""
        self.app.push_screen(
            Ask(self._lab.predict.strip(), f"{allowed}; empty takes it back.", before, check, known), take
        )

    def action_hint(self) -> None:
        if not self.kp.session(self._lab).next_hint():
            self.notify("That were all hints. d shows the debrief.", markup=False)
        self._redraw()
        self.query_one("#hints").scroll_visible(animate=False)

    def action_another(self) -> None:
        assert self.kp.table is not None
        table, session = self.kp.table, self.kp.session(self._lab)

        def take(value: str | None) -> None:
            if value is not None:
                session.set(*table.parse_assignment(value))
                self.query_one(SettingsEditor).redraw()
                self._redraw()

        known = [f"{spec.full_name}=" for spec in table]
        self.app.push_screen(
            Ask(
                "Set which setting?", "scope.name=value, as in producer.linger.ms=50", "", self._wrong_assignment, known
            ),
            take,
        )

    def action_reset(self) -> None:
        self.query_one(SettingsEditor).reset()

    def action_copy(self) -> None:
        self.kp.copy(command_line(self._lab.id, self.kp.session(self._lab).changes))

    def action_debrief(self) -> None:
        self.app.push_screen(Reading(self._lab.title, self._lab.debrief, markdown=True))

    def action_sources(self) -> None:
        self.app.push_screen(Reading("Sources", "\n\n".join(self._lab.sources)))

    def action_back(self) -> None:
        self.app.pop_screen()


def _sentence(name: str, value: str) -> str:
    return f"the promise is {value}" if name == "outcome" else f"{value} {_PREDICTED[name]}"
