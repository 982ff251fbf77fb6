"""Nothing sleeps: every wait is for a condition, with a deadline (engine/waiting.py)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("kafkaprep", "tests") for path in (ROOT / folder).rglob("*.py"))
# Sleeps for now. A file leaves this list when it waits for a condition instead; none may join it.
STILL_SLEEPS = {"tests/backends/test_real_install.py"}


def sleeps(source: str) -> list[int]:
    """The lines on which `time.sleep` is called or imported."""
    lines: list[int] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                lines.append(node.lineno)
            case ast.ImportFrom(module="time", names=names) if any(alias.name == "sleep" for alias in names):
                lines.append(node.lineno)
            case _:
                pass
    return lines


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_sleeps(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() not in STILL_SLEEPS:
        assert sleeps(path.read_text(encoding="utf-8")) == []


def test_a_sleep_is_seen() -> None:
    assert sleeps("import time\ntime.sleep(1)") == [2]
    assert sleeps("from time import sleep") == [1]
