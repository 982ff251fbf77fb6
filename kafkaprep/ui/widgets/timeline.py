"""The script of a run: one line a step, with its mark, time and what was seen."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kafkaprep.ui.glyphs import Glyphs
from kafkaprep.ui.live import StepMark, StepState

_STYLES = {
    StepState.DUE: "$text-muted",
    StepState.NOW: "bold",
    StepState.DONE: "",
    StepState.FAILED: "$text-error bold",
}


def step_line(mark: StepMark, glyphs: Glyphs) -> Content:
    """One line. A fault has a mark and words of its own, so that it is seen without colour."""
    sign = {
        StepState.DUE: glyphs.due,
        StepState.NOW: glyphs.now,
        StepState.DONE: glyphs.done,
        StepState.FAILED: glyphs.failed,
    }[mark.state]
    style = _STYLES[mark.state]
    at = "" if mark.at_s is None else f"{mark.at_s:.2f} s"
    if mark.state is StepState.DUE and mark.said:
        said = (mark.said, "$text-muted")
    elif mark.is_fault:
        said = (f"{glyphs.fault} {mark.said}", "$text-warning bold")
    else:
        said = (mark.said, "$text-error" if mark.state is StepState.FAILED else "$text-muted")
    return Content.assemble((f"{sign} ", style), (f"{mark.text:<26} ", style), (f"{at:>8}  ", "$text-muted"), said)


class Timeline(VerticalScroll):
    """Scrolls by itself to the step at hand."""

    DEFAULT_CSS = """
    Timeline { height: auto; scrollbar-size-vertical: 1; }
    Timeline > Static { width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, glyphs: Glyphs, *, at: str | None = None) -> None:
        super().__init__(id=at)
        self._glyphs = glyphs
        self._shown: tuple[StepMark, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, steps: Sequence[StepMark]) -> None:
        if tuple(steps) == self._shown:
            return
        self._shown = tuple(steps)
        lines = [step_line(mark, self._glyphs) for mark in steps]
        self.query_one(Static).update(Content("\n").join(lines))
        reached = [index for index, mark in enumerate(steps) if mark.state is not StepState.DUE]
        if reached:
            self.call_after_refresh(self._keep_in_sight, reached[-1])

    def _keep_in_sight(self, line: int) -> None:
        self.scroll_to(y=max(0, line - self.size.height + 2), animate=False)
