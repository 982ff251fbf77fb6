"""Makes text that we did not write safe to show.

Broker logs, keys, error strings, file names and YAML values pass here before any terminal or report sees them.
"""

from __future__ import annotations

from pathlib import Path

LONGEST = 2_000
_TAIL_BYTES = 64 * 1024
_BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def _visible(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return character
    control = code < 0x20 or 0x7F <= code < 0xA0
    if control or code in _BIDI or 0xD800 <= code <= 0xDFFF:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def sanitise(text: str, longest: int = LONGEST) -> str:
    """`text` with C0 (but newline and tab), DEL, C1, bidi controls and lone surrogates escaped, cut at `longest`."""
    safe = "".join(map(_visible, text[: longest + 1]))
    return safe if len(safe) <= longest else safe[:longest] + "…"


def log_tail(path: Path, lines: int = 20) -> tuple[str, ...]:
    """The last sanitised lines of a log file; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(sanitise(line, 400) for line in text.splitlines()[-lines:])
