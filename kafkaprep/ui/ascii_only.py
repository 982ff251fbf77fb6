"""The last resort where the terminal has no UTF-8: every cell becomes ASCII."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_STAND_INS = {
    **dict.fromkeys("–—‐‑−─━═╌┄", "-"),
    **dict.fromkeys("│┃║▏▎▍▌▐▕▊▋▉", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛╔╗╚╝", "+"),
    **dict.fromkeys("▁▂▃▄▅▆▇█▀▓■", "#"),
    **dict.fromkeys("‘’‚′", "'"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("·•∙", "."),
    "…": ".",
    "→": ">",
    "←": "<",
    "⏎": "^",
    "×": "x",
    "✓": "+",
    "✗": "x",
    "▸": ">",
    "░": "-",
    "▒": "=",
    " ": " ",
}


def to_ascii(text: str) -> str:
    """`text` in ASCII and as wide as before."""
    return text if text.isascii() else "".join(map(_stand_in, text))


def _stand_in(character: str) -> str:
    if character.isascii():
        return character
    plain = _STAND_INS.get(character) or unicodedata.normalize("NFKD", character)[:1]
    width = cell_len(character)
    return (plain if plain.isascii() and plain else "?").ljust(width, "?")[:width]


class AsciiOnly(LineFilter):
    """Also covers what Textual draws itself: scroll bars, borders, the footer."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]
