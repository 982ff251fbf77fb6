"""No text that we did not write can move a cursor, hide itself or turn its direction."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kafkaprep.engine.terminal_text import LONGEST, log_tail, sanitise

# Written down by hand, not taken from the code: what a terminal acts on or what turns the direction of writing.
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
anything = st.text(st.characters(codec=None))


def is_safe(character: str) -> bool:
    if character in "\n\t":
        return True
    return unicodedata.category(character) not in ("Cc", "Cs") and character not in _BIDI


@given(anything)
@example("\x1b]0;owned\x07")
@example("\x1b[2J\x9b31m\x7f\r\x08")
@example(_BIDI)
@example("\udc80\ud800")
def test_nothing_that_a_terminal_acts_on_comes_through(text: str) -> None:
    shown = sanitise(text)
    assert all(map(is_safe, shown))
    shown.encode("utf-8")
    assert sanitise(shown) == shown


@given(st.text(st.sampled_from("aé漢\n\t[red] \\🙂"), max_size=300))
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert sanitise(text) == text


@given(anything, st.integers(1, 50))
def test_the_length_is_bounded(text: str, longest: int) -> None:
    assert len(sanitise(text, longest)) <= longest + 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\rb", "a\\x0db"),
        ("\x9b", "\\x9b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udc80", "\\udc80"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("", ""),
    ],
)
def test_what_is_hidden_becomes_visible(text: str, shown: str) -> None:
    assert sanitise(text) == shown


def test_long_text_is_cut_visibly() -> None:
    assert sanitise("x" * LONGEST) == "x" * LONGEST
    assert sanitise("x" * (LONGEST + 1)) == "x" * LONGEST + "…"
    assert sanitise("\x1b" * 10, 8) == "\\x1b\\x1b…"


def test_the_tail_of_a_log_is_its_last_lines_sanitised(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(100)) + b"\x1b[31m\xff broken\n")
    assert log_tail(log, 3) == ("line 98", "line 99", "\\x1b[31m\ufffd broken")
    assert len(log_tail(log)) == 20


def test_the_tail_of_a_huge_log_reads_only_its_end(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"x" * 1_000_000 + b"\nlast\n")
    first, last = log_tail(log, 2)
    assert last == "last"
    assert len(first) == 401


def test_there_may_be_no_log(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "absent.log") == ()
