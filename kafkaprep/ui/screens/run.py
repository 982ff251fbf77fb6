"""A run as it happens: script, brokers and messages; then its verdict."""

from __future__ import annotations

import threading
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Footer, Static

from kafkaprep.ui.live import Snapshot
from kafkaprep.ui.messages import RunEnded, RunJudged, RunProgressed, RunRequest
from kafkaprep.ui.screens.dialogs import Confirm
from kafkaprep.ui.screens.screen import AppScreen
from kafkaprep.ui.widgets.broker_map import BrokerMap
from kafkaprep.ui.widgets.ledgers import bar
from kafkaprep.ui.widgets.message_grid import MessageGrid
from kafkaprep.ui.widgets.timeline import Timeline
from kafkaprep.ui.words import megabytes


class RunScreen(AppScreen):
    """Starts its run when it opens. It is left by the run's end, or by stopping it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("x", "stop", "Stop the run"),
        ("escape", "leave", "Leave"),
        Binding("q", "app.quit", "Quit", show=True),
    ]

    def __init__(self, request: RunRequest) -> None:
        super().__init__()
        self.request = request
        self.stop = threading.Event()
        self.over = threading.Event()  # the engine is done with it

    def compose(self) -> ComposeResult:
        with Vertical(id="run"):
            yield Static(self._heading(), id="heading")
            yield Static(id="saying", markup=False)
            yield BrokerMap(self.glyphs)
            yield Timeline(self.glyphs)
            yield Static(id="counts", markup=False)
            yield MessageGrid(self.glyphs)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(Timeline).focus()
        self._play()

    def on_unmount(self) -> None:
        self.stop.set()  # however the screen went, no run goes on without one

    @work(thread=True, exclusive=True, group="lab", exit_on_error=False)
    def _play(self) -> None:
        try:
            self.kp.engine.play(self.request, self.post_message, self.stop)
        finally:
            self.over.set()

    def _heading(self) -> Content:
        lab, request = self.request.lab, self.request
        settings = lab.settings(request.changes, solution=request.solution)
        shown = "  ".join(f"{scope}.{name}={value}" for scope, name, value in settings)
        which = (
            "with the solution"
            if request.solution
            else "with your settings"
            if list(request.changes)
            else "as it starts"
        )
        return Content.assemble((lab.id, "bold"), f"  {which}  ", (shown, "$text-muted"))

    @on(RunProgressed)
    def _progressed(self, message: RunProgressed) -> None:
        self.show(message.snapshot)

    def show(self, seen: Snapshot) -> None:
        """Draw one picture; each widget redraws only what changed."""
        self.query_one(BrokerMap).show(seen.nodes, seen.partitions, seen.answered)
        self.query_one(Timeline).show(seen.steps)
        self.query_one(MessageGrid).show_counts(seen.counts)
        self.query_one("#counts", Static).update(self._counts(seen), layout=False)
        self.query_one("#saying", Static).update(self._saying(seen), layout=False)

    def _counts(self, seen: Snapshot) -> Content:
        counts = seen.counts
        parts: list[tuple[str, str] | str] = []
        for name, key in (
            ("sent", "sent"),
            ("reported delivered", "ok"),
            ("errors", "errors"),
            ("processed", "processed"),
        ):
            of = f"/{counts.get('planned', 0)}" if key == "sent" else ""
            parts += [(f"{name} ", "$text-muted"), (f"{counts.get(key, 0)}{of}   ", "bold")]
        return Content.assemble(*parts, (f"{seen.elapsed_s:5.1f} s", "$text-muted"))

    def _saying(self, seen: Snapshot) -> Content:
        if self.stop.is_set():
            return Content.styled("Stopping: faults are lifted, clients end …", "bold $text-warning")
        if seen.void:
            return Content.styled(f"VOID, it proves nothing: {seen.void}", "bold $text-warning")
        if seen.download is not None:
            done, total = seen.download
            drawn = bar(done, total, 24, self.glyphs)
            return Content(f"{seen.saying}  {drawn} {megabytes(done)} of {megabytes(total)}")
        return Content.styled(seen.saying, "$text-muted")

    @on(RunJudged)
    def _judged(self, message: RunJudged) -> None:
        self.kp.run_is_over(self, message.judged)

    @on(RunEnded)
    def _ended(self, message: RunEnded) -> None:
        self.kp.run_is_over(self, message.error)

    def action_stop(self) -> None:
        """Ends every wait of the engine; the screen stays until the faults are lifted."""
        self.stop.set()
        self.query_one("#saying", Static).update(self._saying(Snapshot(())))

    def action_leave(self) -> None:
        def answer(yes: bool | None) -> None:
            if yes:
                self.action_stop()

        if not self.stop.is_set():
            question = Confirm(
                "Stop this run?", "Its faults are lifted. Nothing is concluded from it.", "Stop it", "Go on"
            )
            self.app.push_screen(question, answer)
