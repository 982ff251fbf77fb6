"""A list to move in with arrows or j and k; a row is text, never markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option


class Rows(OptionList):
    """Rows with an id can be chosen; those without one are headings."""

    DEFAULT_CSS = """
    Rows { border: none; padding: 0; background: transparent; text-wrap: nowrap; text-overflow: ellipsis; }
    Rows:focus { border: none; background: transparent; }
    Rows > .option-list--option { padding: 0 1; }
    Rows > .option-list--option-disabled { color: $text-muted; text-style: bold; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Open"),
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
        Binding("g", "first", "First", show=False),
        Binding("G", "last", "Last", show=False),
    ]

    def show(self, rows: Iterable[tuple[str | None, Content]]) -> None:
        """Replace all rows, keeping the cursor on the same id where it is still there."""
        before, listed = self.highlighted_id, list(rows)
        if [option.id for option in self.options] == [row_id for row_id, _ in listed]:
            for index, (_, text) in enumerate(listed):
                self.replace_option_prompt_at_index(index, text)  # keeps the cursor and what is in sight
            return
        self.clear_options()
        self.add_options([Option(text, id=row_id, disabled=row_id is None) for row_id, text in listed])
        if before is not None and any(option.id == before for option in self.options):
            self.highlighted = self.get_option_index(before)
        else:
            self.highlighted = None
            self.action_first()

    @property
    def highlighted_id(self) -> str | None:
        option = self.highlighted_option
        return None if option is None else option.id
