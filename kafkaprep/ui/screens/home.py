"""The first screen: what this is, the stages, the cluster, where to press."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Footer, OptionList, Static

from kafkaprep.model.lab import Lab, Stage
from kafkaprep.model.verdict import Outcome
from kafkaprep.ui.screens.screen import AppScreen
from kafkaprep.ui.widgets.rows import Rows
from kafkaprep.ui.words import plural

_STAGES = {
    Stage.PRODUCER: "from your code to the leader",
    Stage.TRANSACTIONS: "all of it or nothing",
    Stage.BROKER: "from the leader to its copies",
    Stage.CONSUMER: "from the log to your handler",
    Stage.END_TO_END: "from code to a database",
}


class HomeScreen(AppScreen):
    """Enter goes on with the next lab, or opens the labs of a stage."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("l", "labs", "All labs"),
        ("slash", "filter", "Find a lab"),
        ("q", "app.quit", "Quit"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(id="home"):
            yield Static(Content.styled("kafkaprep", "bold"), id="name")
            yield Static(
                Content(
                    "How Kafka messages get lost or duplicated, on a real Kafka on this machine.\n"
                    "Predict, run, and see what became of every single message."
                )
            )
            yield Static(
                Content.assemble(
                    ("Things are supposed to break here. ", "bold $text-warning"),
                    "A lab that loses messages is working.",
                ),
                id="break",
            )
            yield Static(id="cluster", markup=False)
            yield Rows(id="stages", markup=False, compact=True)
        yield Footer(show_command_palette=False)

    def on_screen_resume(self) -> None:
        self.kp.ask_cluster()
        self.show_labs()

    def show_cluster(self, text: str) -> None:
        self.query_one("#cluster", Static).update(Content.assemble(("Kafka cluster  ", "$text-muted"), text))

    def show_labs(self) -> None:
        """Draw what was loaded; nothing yet, while it is being read."""
        if self.kp.index is not None:
            self.query_one(Rows).show(self._rows())
            if self.app.screen is self:
                self.query_one(Rows).focus()

    def _rows(self) -> Iterator[tuple[str | None, Content]]:
        following = self.kp.next_lab()
        if following is not None:
            seen = any(self.kp.proven.values())
            yield None, Content("Next" if seen else "Start here")
            yield f"lab {following.id}", Content.assemble((f"{following.id:<24} ", "bold"), following.title)
        yield None, Content()
        yield None, Content("Labs by stage, and what was seen on this machine")
        for stage in Stage:
            labs = [lab for lab in (self.kp.index or {}).values() if isinstance(lab, Lab) and lab.stage is stage]
            if labs:
                yield f"stage {stage}", self._stage(stage, labs)
        broken = len(self.kp.broken_labs())
        if broken:
            text = f"{self.glyphs.failed} {plural(broken, 'lab file')} cannot be read"
            yield "broken", Content.styled(text, "$text-error")

    def _stage(self, stage: Stage, labs: list[Lab]) -> Content:
        seen = [self.kp.proven.get(lab.id, set()) for lab in labs]
        marks = self.glyphs.outcomes
        counts = [(outcome, sum(outcome in each for each in seen)) for outcome in (Outcome.BROKEN, Outcome.KEPT)]
        told = "  ".join(f"{marks[outcome]} {count} {outcome}" for outcome, count in counts if count)
        return Content.assemble(
            (f"{stage!s:<13} ", "bold"),
            f"{plural(len(labs), 'lab'):<8} ",
            (f"{_STAGES[stage]:<31} ", "$text-muted"),
            told or "not run yet",
        )

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        kind, _, rest = (event.option_id or "").partition(" ")
        if kind == "lab":
            self.kp.open_lab(rest)
        else:
            self.kp.open_labs(about="" if kind == "broken" else rest)

    def action_labs(self) -> None:
        self.kp.open_labs()

    def action_filter(self) -> None:
        self.kp.open_labs(filtering=True)
