"""Every module says its one rule in a short first line, and ARCHITECTURE.md lists exactly these lines."""

from __future__ import annotations

from pathlib import Path

import module_list
import pytest

LONGEST = 80


def name_of(module: Path) -> str:
    return module.relative_to(module_list.PACKAGE).as_posix()


@pytest.mark.parametrize("module", module_list.modules(), ids=name_of)
def test_the_first_line_is_short(module: Path) -> None:
    line = module_list.first_line(module)
    assert line, "it has no docstring"
    assert len(line) <= LONGEST


def test_the_architecture_page_lists_every_module() -> None:
    assert module_list.listed() == module_list.listing(), "run `make modules`"


def test_every_folder_of_modules_is_a_package() -> None:
    found = {path.relative_to(module_list.PACKAGE).as_posix() for path in module_list.PACKAGE.rglob("*.py")}
    assert found == {name_of(module) for module in module_list.modules()}


@pytest.mark.parametrize("folder", ["kafkaprep", "tests", "bench"])
def test_no_module_is_named_after_nothing(folder: str) -> None:
    vague = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utilities", "utils"}
    paths = [path for path in (module_list.ROOT / folder).rglob("*") if path.suffix == ".py" or path.is_dir()]
    assert [path for path in paths if vague & set(path.stem.lower().split("_"))] == []
