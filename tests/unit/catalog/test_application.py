"""Every value of every application setting is shown as code, and nothing else is."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from kafkaprep import paths
from kafkaprep.catalog.application import FILE, load_application_code
from kafkaprep.catalog.labs import find_lab, load_labs
from kafkaprep.catalog.settings import load_settings
from kafkaprep.cli.code import print_code, shown_settings
from kafkaprep.errors import ContentError
from kafkaprep.model.settings import Scope, Settings

TEXT = (paths.content() / FILE).read_text(encoding="utf-8")


def test_every_value_has_its_code() -> None:
    code = load_application_code()
    for name, spec in load_settings().specs[Scope.APPLICATION].items():
        assert set(code[name]) == set(spec.choices or ("true", "false"))
    shown = [one for values in code.values() for one in values.values()]
    assert len({one.python for one in shown}) == len({one.java for one in shown}) == len(shown)


def test_the_python_lines_are_python() -> None:
    for values in load_application_code().values():
        for one in values.values():
            ast.parse(one.python)
            assert max(map(len, [*one.python.splitlines(), *one.java.splitlines()])) <= 110


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  upsert:\n", "  update:\n", "sink has no key update."),
        ("sink:\n", "snk:\n", "Did you mean sink?"),
        ("format_version: 1", "format_version: 2", "format_version"),
        ("    python: |\n      # id is the primary key\n", "    pyton: |\n      # id is the primary key\n", "python"),
        ("  append:\n    python: |\n", "  append:\n    python: 5\n    more: |\n", "more"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert TEXT.count(old) == 1
    file = tmp_path / FILE
    file.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(ContentError, match=r":\d+:\d+: ") as caught:
        load_application_code(file)
    assert says in str(caught.value)


def test_a_lab_shows_the_values_of_its_run(capsys: pytest.CaptureFixture[str]) -> None:
    lab = find_lab(load_labs(paths.labs()), "commit-after-processing")
    assert shown_settings(lab, lab.settings(Settings(), solution=True)) == {"commit": "after", "sink": "upsert"}
    assert shown_settings(lab, Settings()) == {"sink": "append", "commit": "after"}
    print_code(lab, lab.start, as_json=True)
    rows = json.loads(capsys.readouterr().out)["code"]
    assert [(row["setting"], row["value"]) for row in rows] == [("commit", "after"), ("sink", "append")]
    print_code(lab, lab.settings(Settings(), solution=True), as_json=False)
    text = capsys.readouterr().out
    assert "application.sink=upsert" in text and "ON CONFLICT" in text and "commitSync" in text


def test_a_lab_without_application_settings_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    lab = find_lab(load_labs(paths.labs()), "acks-one")
    print_code(lab, lab.start, as_json=False)
    assert "Kafka settings only" in capsys.readouterr().out
