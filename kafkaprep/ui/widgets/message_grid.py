"""Every planned message as a cell: by count while it runs, by fate when judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from kafkaprep.model.verdict import Fate
from kafkaprep.ui.glyphs import FATE_STYLES, LIVE_STYLES, UNLISTED, Glyphs
from kafkaprep.ui.words import FATES

MOST_CELLS = 2000
LIVE = ("planned", "sent", "reported", "processed")  # how far a message has come, by count
_SCALES = (1, 2, 5)
# The worst fate of a group is what its cell shows.
_WORST = (Fate.LOST, Fate.UNKNOWN_ABSENT, Fate.EXPIRED_UNPROCESSED, Fate.SKIPPED, Fate.PROCESSED_TWICE)
_RANKS = {
    str(fate): rank
    for rank, fate in enumerate([*_WORST, *(f for f in Fate if f not in _WORST and f is not Fate.PROCESSED_ONCE)])
}


def scale(messages: int, cells: int) -> int:
    """How many messages one cell stands for: 1, 2, 5, 10, 20, 50 … so that `messages` fit into `cells`."""
    cells, power = max(1, min(cells, MOST_CELLS)), 1
    while True:
        for step in _SCALES:
            if -(-messages // (step * power)) <= cells:
                return step * power
        power *= 10


def live_cells(counts: Mapping[str, int], per_cell: int) -> list[str]:
    """The state of each cell by count: so many have come this far, in the order of ids.

    Which ids they are is not known before the run is judged, except where nothing was lost or reordered.
    """
    planned = counts.get("planned", 0)
    reached = {name: counts.get(key, 0) for name, key in (("processed", "processed"), ("reported", "ok"))}
    reached["sent"] = counts.get("sent", 0)
    cells: list[str] = []
    for first in range(0, planned, per_cell):
        last = min(first + per_cell, planned)
        cells.append(next((name for name, count in reached.items() if count >= last), "planned"))
    return cells


def fate_cells(fates: Sequence[str], per_cell: int) -> list[str]:
    """The worst fate of each cell's messages."""
    groups = (fates[first : first + per_cell] for first in range(0, len(fates), per_cell))
    return [min(group, key=lambda fate: _RANKS.get(fate, len(_RANKS))) for group in groups]


class MessageGrid(Static):
    """The grid and its legend. It scales so that all messages are in sight."""

    DEFAULT_CSS = """
    MessageGrid { height: 1fr; min-height: 4; }
    """

    def __init__(self, glyphs: Glyphs, *, at: str | None = None) -> None:
        super().__init__(id=at, markup=False)
        self._glyphs = glyphs
        self._counts: Mapping[str, int] = {}
        self._fates: Sequence[str] = ()

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """While it runs."""
        shown = {key: counts.get(key, 0) for key in ("planned", "sent", "ok", "processed")}
        if shown != self._counts:
            self._counts = shown
            self._draw()

    def show_fates(self, fates: Sequence[str]) -> None:
        """After judging."""
        self._fates = fates
        self._draw()

    def on_resize(self, event: Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        messages = len(self._fates) or self._counts.get("planned", 0)
        if not width or not messages:
            return
        legend = self._fate_legend() if self._fates else self._live_legend()
        rows = max(1, height - -(-(len(legend.plain) + len(_note(messages, True))) // width))
        per_cell = scale(messages, width * rows)
        if self._fates:
            cells, marks, styles = fate_cells(self._fates, per_cell), self._glyphs.fates, FATE_STYLES
        else:
            cells, marks, styles = live_cells(self._counts, per_cell), self._glyphs.live, LIVE_STYLES
        lines = [_line(cells[start : start + width], marks, styles) for start in range(0, len(cells), width)]
        self.update(
            Content("\n").join([*lines, Content.assemble(legend, (_note(per_cell, bool(self._fates)), "$text-muted"))])
        )

    def _live_legend(self) -> Content:
        parts = [((f"{self._glyphs.live[name]} ", LIVE_STYLES[name]), f"{name}  ") for name in LIVE]
        return Content.assemble(*(each for part in parts for each in part), ("by count, ", "$text-muted"))

    def _fate_legend(self) -> Content:
        present = Counter(self._fates)
        parts: list[tuple[str, str] | str] = []
        for fate, count in sorted(present.items(), key=lambda item: _RANKS.get(item[0], len(_RANKS))):
            word = "not listed by the audit" if fate == UNLISTED else FATES[fate]
            parts += [(f"{self._glyphs.fates[fate]} ", FATE_STYLES[fate]), f"{count} {word}  "]
        return Content.assemble(*parts)


def _line(cells: Sequence[str], marks: Mapping[str, str], styles: Mapping[str, str]) -> Content:
    """One row of cells, with equal neighbours in one span."""
    parts: list[tuple[str, str]] = []
    for cell in cells:
        if parts and parts[-1][1] == styles[cell] and parts[-1][0][-1] == marks[cell]:
            parts[-1] = (parts[-1][0] + marks[cell], parts[-1][1])
        else:
            parts.append((marks[cell], styles[cell]))
    return Content.assemble(*parts)


def _note(per_cell: int, judged: bool) -> str:
    if per_cell == 1:
        return "1 cell = 1 message"
    return f"1 cell = {per_cell} messages" + (", the worst shown" if judged else "")
