"""No tracked file names a folder of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# In pieces, so that this file does not find itself.
HOMES = re.compile(
    "|".join([r"/ro" + r"ot/", r"/wo" + r"rk/", r"/ho" + r"me/\w", r"/Us" + r"ers/\w", r"C:\\Us" + r"ers"])
)


def tracked_files() -> list[Path]:
    try:
        answer = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in answer.stdout.decode().split("\0") if name]


def test_no_tracked_file_names_a_folder_of_this_machine() -> None:
    found = []
    for path in tracked_files():
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        found += [
            f"{path.relative_to(ROOT)}:{number}"
            for number, line in enumerate(text.splitlines(), start=1)
            if HOMES.search(line)
        ]
    assert found == []
