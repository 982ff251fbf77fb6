"""Runs the `kafkaprep` command: in this process, or as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from kafkaprep.cli.main import main

COMMAND = (sys.executable, "-m", "kafkaprep")
PROGRAM_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Done:
    """How the command ended. `document` is its stdout, which must be one JSON document and nothing else."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.out.endswith("\n") and self.out.count("\n") == 1, self.out + self.err
        return json.loads(self.out)


def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Done:
    """Run the command in this process, so that its surroundings can be replaced."""
    monkeypatch.setattr(sys, "argv", ["kafkaprep", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert isinstance(left.value.code, int)
    return Done(left.value.code, out, err)


def start(*arguments: object, env: Mapping[str, str | None] | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start the command as a program; a variable that is None is unset."""
    environment = {**os.environ, **(env or {})}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={name: value for name, value in environment.items() if value is not None},
        **options,
    )


def program(*arguments: object, env: Mapping[str, str | None] | None = None) -> Done:
    """Run the command as a program, to its end."""
    with start(*arguments, env=env) as process:
        try:
            out, err = process.communicate(timeout=PROGRAM_TIMEOUT_S)
        except BaseException:
            process.kill()
            raise
    assert "Traceback" not in err, err
    return Done(process.returncode, out, err)
