"""A verdict on paper: its words say everything, in 80 columns, with and without UTF-8 and colour."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import COMMAND, Done, here
from rich.console import Console
from saved_runs import LOST, acks_zero, save_run

from kafkaprep.cli import report
from kafkaprep.engine.recorder import Recorder
from kafkaprep.engine.saved_run import open_run
from kafkaprep.model.history import EventName, FaultRecord
from kafkaprep.model.verdict import Fate, Outcome, Promise

Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: here(capsys, monkeypatch, *arguments)


def printed(folder: Path, *, encoding: str = "utf-8", terminal: bool = False, **options: object) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="")
    console = Console(
        file=out,
        width=80,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=terminal,
        **options,  # type: ignore[arg-type]
    )
    report.print_verdict(console, acks_zero(), open_run(folder))
    out.flush()
    buffer = out.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


def as_program(folder: Path, **environment: str) -> bytes:
    environment = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(
        [*COMMAND, "audit", str(folder)], capture_output=True, env=environment, timeout=60, check=True
    ).stdout


def test_a_loss_in_words(run: Run, tmp_path: Path) -> None:
    done = run("audit", save_run(tmp_path / "run", lost=LOST))
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "BROKEN" in done.out
    assert "100 messages were reported delivered and are in no log" in text
    assert re.search(r"missing 100 ids 300.399", text)
    assert "no_reported_loss" in text
    assert "Broker 2 led the partition and was frozen at 1.25 s" in text
    assert "--set producer.acks=all" in text
    assert str(tmp_path / "run") in done.out.replace("\n", "")


def test_what_was_kept_in_words(run: Run, tmp_path: Path) -> None:
    done = run("audit", save_run(tmp_path / "run", solution=True))
    assert done.code == 0
    assert "KEPT" in done.out and "essage" in done.out and "in the log" in done.out
    assert "missing" not in done.out.lower().split("why")[0]


def test_a_void_run_is_called_so_and_is_exit_code_3(run: Run, tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    recorder = Recorder(folder)
    recorder.record(EventName.VOID, fault="await new_leader", reason="nobody \x1b[31m took over")
    recorder.close()
    done = run("audit", folder)
    assert done.code == 3
    assert "VOID" in done.out and "await new_leader" in done.out
    assert "\x1b" not in done.out
    assert "BROKEN" not in done.out


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("lost", [(), LOST, range(0, 400, 2)])
def test_a_line_has_80_columns_at_most(tmp_path: Path, lost: range, encoding: str) -> None:
    output = as_program(save_run(tmp_path / "run", lost=lost), PYTHONIOENCODING=encoding)
    lines = output.decode(encoding).splitlines()
    assert max(len(line) for line in lines if "Saved in" not in line and str(tmp_path) not in line) <= 80
    assert not [line for line in lines if line != line.rstrip()]


def test_ascii_says_the_same(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    plain = as_program(folder, PYTHONIOENCODING="ascii").decode("ascii")
    assert "x BROKEN" in plain and "ids 300-399" in plain
    assert "?" not in plain
    assert "✗ BROKEN" in as_program(folder, PYTHONIOENCODING="utf-8").decode()


def test_no_colour_where_it_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[" in printed(folder, terminal=True)
    assert "\x1b[" not in printed(folder)
    monkeypatch.setenv("NO_COLOR", "1")
    uncoloured = printed(folder, terminal=True)
    assert not re.search(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7])[0-9;]*m", uncoloured)
    without = re.sub(r"\x1b\[[0-9;]*m", "", uncoloured)
    assert "BROKEN" in without


def test_hostile_text_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    evil = FaultRecord("pause", "leader", 2, 1.0, "\x1b]0;owned\x07[red]\u202e")
    folder = save_run(tmp_path / "run", lost=LOST, faults=[evil])
    plan = (folder / "plan.json").read_text().replace('"acks": "0"', '"acks": "[red]\\u001b[2J"')
    (folder / "plan.json").write_text(plan)
    text = printed(folder)
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "[red]\\x1b[2J" in text


def test_every_promise_and_outcome_has_words() -> None:
    assert set(report.PROMISES) == {str(promise) for promise in Promise}
    assert set(report.SYMBOLS) == set(report.STYLES) == set(Outcome)
    assert len(set(report.SYMBOLS.values())) == len(Outcome)
    if hasattr(report, "FATES"):
        assert set(report.FATES) == {str(fate) for fate in Fate}


def test_a_run_of_a_lab_that_is_not_here_can_be_audited_as_json(run: Run, tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run", lost=LOST)
    plan = folder / "plan.json"
    plan.write_text(plan.read_text().replace('"lab": "acks-zero"', '"lab": "gone"'))
    assert run("audit", folder).code == 2
    done = run("audit", folder, "--json")
    assert (done.code, done.document["outcome"]) == (0, "broken")


def test_the_seen_outcomes_are_listed(run: Run) -> None:
    from kafkaprep import paths
    from kafkaprep.engine.proven import INDEX, note_outcome

    note_outcome(paths.runs(), "acks-zero", "broken")
    note_outcome(paths.runs(), "acks-zero", "inconclusive")
    with (paths.runs() / INDEX).open("a") as file:
        file.write('{"lab": 1\n[]\nnull\n{"lab": "acks-zero"}\n')
    note_outcome(paths.runs(), "acks-zero", "kept")
    assert "(seen here: broken, kept)" in run("lab").out
    (row,) = [lab for lab in run("lab", "--json").document["labs"] if lab["id"] == "acks-zero"]
    assert row["proven"] == ["broken", "kept"]


def test_the_report_module_needs_no_terminal(tmp_path: Path) -> None:
    assert sys.stdout is not None
    assert "BROKEN" in printed(save_run(tmp_path / "run", lost=LOST))
