"""The three ledgers side by side as bars, and what is missing, by id."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from kafkaprep.ui.glyphs import FATE_STYLES, Glyphs

_WHOSE, _WHAT = 27, 20
_LONGEST_IDS = 160


def bar(count: int, whole: int, width: int, glyphs: Glyphs) -> str:
    """`count` of `whole`; anything above nothing shows, and only all of it fills the bar."""
    if not whole or width < 1:
        return ""
    cells = count * width // whole
    if count:
        cells = max(1, cells)
    return glyphs.full * min(cells, width) + glyphs.empty * max(0, width - cells)


class Ledgers(Static):
    """Told, held, done: what the client was told, what the log holds, what the handler finished."""

    def __init__(self, counts: Mapping[str, int], ids: str, glyphs: Glyphs, *, at: str | None = None) -> None:
        super().__init__(id=at, markup=False)
        self._counts = counts
        self._ids = ids
        self._glyphs = glyphs

    def on_mount(self) -> None:
        self._draw(80)

    def on_resize(self, event: Resize) -> None:
        self._draw(event.size.width)

    def _draw(self, width: int) -> None:
        counts = self._counts
        planned = counts["planned"]
        room = min(40, width - _WHOSE - _WHAT - 10)
        lines = [
            self._row("what the client was told", "reported delivered", counts["reported_delivered"], room),
            self._row("what the log holds", "in the log", counts["in_log"], room),
            self._row("what the handler finished", "processed", counts["processed"], room),
        ]
        for name, words in _NOTES.items():
            if counts.get(name):
                lines.append(Content.assemble(f"{words:<{_WHOSE + _WHAT}}", (f"{counts[name]:>7}", "bold")))
        never = planned - counts["sent"]
        if never > 0:
            lines.append(Content.assemble(f"{'planned and never sent':<{_WHOSE + _WHAT}}", (f"{never:>7}", "bold")))
        if counts["missing"]:
            ids = self._ids if len(self._ids) <= _LONGEST_IDS else f"{self._ids[:_LONGEST_IDS]}…"
            count = (f"{counts['missing']:>7}", "$text-error bold")
            lines.append(
                Content.assemble((f"{'MISSING: told, and in no log':<{_WHOSE + _WHAT}}", "$text-error bold"), count)
            )
            lines.append(Content.assemble(("  ids ", "$text-muted"), ids))
        self.update(Content("\n").join(lines))

    def _row(self, whose: str, what: str, count: int, room: int) -> Content:
        drawn = bar(count, self._counts["planned"], room, self._glyphs)
        return Content.assemble(
            (f"{whose:<{_WHOSE}}", "$text-muted"),
            f"{what:<{_WHAT}}",
            (f"{count:>7}  ", "bold"),
            (drawn, "$text-primary"),
        )


_NOTES = {
    "failed": "reported failed",
    "duplicated_in_log": "in the log more than once",
    "processed_twice": "processed more than once",
    "skipped": "in the log, skipped by the consumer",
    "reordered": "out of order in the log",
    "aborted_seen": "processed although aborted",
}


def fates_bar(fates: Mapping[str, int], width: int, glyphs: Glyphs) -> Content:
    """All messages as one bar; each fate has at least one cell."""
    total = sum(fates.values())
    if not total or width < len(fates):
        return Content()
    cells = {fate: max(1, count * width // total) for fate, count in fates.items() if count}
    biggest = max(cells, key=lambda fate: cells[fate])
    cells[biggest] = max(1, cells[biggest] + width - sum(cells.values()))
    return Content.assemble(*((glyphs.fates[fate] * count, FATE_STYLES[fate]) for fate, count in cells.items()))
