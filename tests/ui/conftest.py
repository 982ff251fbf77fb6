"""The app on a scripted engine and on labs of its own: no broker, no Java, no network."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import ScriptedEngine

from kafkaprep import paths
from kafkaprep.ui.app import KafkaprepApp
from kafkaprep.ui.glyphs import UNICODE

LABS = Path(__file__).parent / "labs"


def pytest_configure(config: pytest.Config) -> None:
    """A picture is renewed by a person who looks at it: `make snapshots`, then read the difference."""
    if config.getoption("snapshot_update", default=False) and os.environ.get("CI"):
        raise pytest.UsageError("Pictures are not renewed in CI. Run `make snapshots` and look at them.")


@pytest.fixture(scope="package", autouse=True)
def fewer_collections() -> Iterator[None]:
    """An app makes many objects that live as long as it does; to collect all the time costs a quarter of a test."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures do not depend on the terminal that runs the tests."""
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL", "TEXTUAL_THEME", "TEXTUAL_COLOR_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


@pytest.fixture
def engine(own_folders: Path) -> ScriptedEngine:
    return ScriptedEngine(own_folders / "runs")


@pytest.fixture
def made_app(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KafkaprepApp]:
    """Makes the app on `engine`, with the labs beside these tests."""
    monkeypatch.setattr(paths, "labs", lambda: LABS)
    return lambda glyphs=UNICODE: KafkaprepApp(engine, glyphs)
