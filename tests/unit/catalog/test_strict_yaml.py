"""Hostile and merely wrong YAML, each refused at its place."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kafkaprep.catalog import strict_yaml
from kafkaprep.catalog.strict_yaml import SHIPPED, Limits, ListNode, MapNode, ScalarNode
from kafkaprep.errors import ContentError


def refusal(data: bytes | str, limits: Limits = strict_yaml.LEARNER) -> ContentError:
    raw = data.encode() if isinstance(data, str) else data
    with pytest.raises(ContentError) as caught:
        strict_yaml.parse(raw, "f.yaml", limits)
    assert str(caught.value).startswith(f"f.yaml:{caught.value.line}:{caught.value.column}: ")
    assert caught.value.way_out, "every error says what to do"
    return caught.value


def value(yaml: str) -> object:
    node = strict_yaml.parse(f"k: {yaml}".encode(), "f.yaml")
    assert isinstance(node, MapNode)
    found = node.entries["k"]
    assert isinstance(found, ScalarNode)
    return found.value


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]\n"


@pytest.mark.parametrize(
    ("yaml", "line", "column", "says"),
    [
        (BOMB, 1, 4, "anchor"),
        ("a: 1\nb: *a\n", 2, 4, "alias"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, 4, "tag"),
        ("a: !!str 1\n", 1, 4, "tag"),
        ("a: ! x\n", 1, 4, "tag"),
        ("a: {b: 1}\n<<: {c: 2}\n", 2, 1, "merge key"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second document"),
        ("%YAML 1.1\n---\na: 1\n", 1, 1, "directive"),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", 1, 1, "directive"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "first on line 1"),
        ("a: {x: 1, x: 2}\n", 1, 11, "first on line 1"),
        ("1: x\n", 1, 1, "not text"),
        ("true: x\n", 1, 1, "not text"),
        ("? [a]\n: x\n", 1, 3, "a list or a mapping"),
        ("", 1, 1, "empty"),
        ("# only a comment\n", 1, 1, "empty"),
        ("a: [1, 2\nb: 3\n", 2, 2, "Not YAML"),
        ("a:\n\t- x\n", 2, 1, "Not YAML"),
        ('a: "\\e[31m"\n', 1, 4, "control character"),
        ('a: "\\ud800"\n', 1, 4, "control character"),
        ("a: \u202etxet\n", 1, 4, "control character"),
        ('a: "\\UFFFFFFFF"\n', 1, 1, "Not YAML"),
        ("a: " + "9" * 5000 + "\n", 1, 4, "too many digits"),
        ("a: -" + "9" * 5000 + "\n", 1, 4, "too many digits"),
        ("a: 1.0e999\n", 1, 4, "too large"),
        ("a: " + "x" * 8193 + "\n", 1, 4, "longer than 8 KiB"),
        ("[" * 2000, 1, 21, "deeper than 20"),
        ("{a: " * 2000, 1, 81, "deeper than 20"),
        ("- " * 2000, 1, 41, "deeper than 20"),
        ("- x\n" * 2001, 2000, 3, "More than 2000"),
    ],
)
def test_refused_at_its_place(yaml: str, line: int, column: int, says: str) -> None:
    error = refusal(yaml)
    assert says in error.message
    assert (error.line, error.column) == (line, column)


def test_bytes_that_are_not_text() -> None:
    bad = refusal(b"a: 1\nb: \xff\n")
    assert (bad.line, bad.column) == (2, 4) and "UTF-8" in bad.message
    surrogate = refusal(b"a: \xed\xa0\x80\n")
    assert (surrogate.line, surrogate.column) == (1, 4)
    nul = refusal(b"a: 1\nbc: \x00\n")
    assert (nul.line, nul.column) == (2, 5) and "NUL" in nul.message
    control = refusal(b"a: 1\nb: \x07\n")
    assert (control.line, control.column) == (2, 4)


def test_no_value_changes_its_meaning_silently() -> None:
    assert value("no") == "no" and value("off") == "off" and value("Yes") == "Yes"
    assert value("0123") == "0123" and value("0x10") == "0x10" and value("1_000") == "1_000"
    assert value("12:30:00") == "12:30:00" and value("2024-01-01") == "2024-01-01"
    assert value(".inf") == ".inf" and value("1e3") == "1e3" and value("'1'") == "1" and value("True") == "True"
    assert value("12") == 12 and value("-3") == -3 and value("0.5") == 0.5
    assert value("true") is True and value("false") is False and value("null") is None and value("") is None


def test_a_key_named_no_stays_text() -> None:
    node = strict_yaml.parse(b"no: off\n", "f.yaml")
    assert isinstance(node, MapNode) and list(node.entries) == ["no"]


def test_nodes_remember_their_places() -> None:
    node = strict_yaml.parse(b"\xef\xbb\xbfa: 1\nlist:\n  - x\n  - {k: v}\n", "f.yaml")
    assert isinstance(node, MapNode)
    assert (node.key_places["list"].line, node.key_places["list"].column) == (2, 1)
    items = node.entries["list"]
    assert isinstance(items, ListNode)
    assert [(item.place.line, item.place.column) for item in items.items] == [(3, 5), (4, 5)]


def test_limits_are_the_callers() -> None:
    many = b"- x\n" * 5000
    assert isinstance(strict_yaml.parse(many, "f.yaml", SHIPPED), ListNode)
    assert "larger than 64 KiB" in refusal(b"#" * 100 * 1024).message
    assert "larger than 512 KiB" in refusal(b"#" * 600 * 1024, SHIPPED).message


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ContentError, match="larger than 64 KiB"):
        strict_yaml.read(path)


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ContentError, match="regular file"):
        strict_yaml.read(tmp_path / "pipe.yaml")
    with pytest.raises(ContentError):
        strict_yaml.read(tmp_path)
    with pytest.raises(ContentError, match="regular file"):
        strict_yaml.read(Path("/dev/zero"))
    with pytest.raises(ContentError, match="cannot be read"):
        strict_yaml.read(tmp_path / "missing.yaml")
    with pytest.raises(ContentError, match="cannot be read"):
        strict_yaml.read(tmp_path / "nul\0.yaml")


def test_refusal_is_quick() -> None:
    began = time.monotonic()
    for hostile in ("[" * 60_000, "{" * 60_000, "? " * 30_000, "- " * 30_000, BOMB, '"' * 60_000, "a: " * 20_000):
        refusal(hostile)
    assert time.monotonic() - began < 15


def test_what_an_error_quotes_is_safe_and_short() -> None:
    assert strict_yaml.shown("\x1b[31m\u202e\n") == "\\u001b[31m\\u202e\\n"
    assert len(strict_yaml.shown("x" * 1000)) == 60
