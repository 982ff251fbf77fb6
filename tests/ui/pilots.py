"""Waiting for the app, and reading what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from kafkaprep.ui.app import KafkaprepApp

_PATIENCE = 400  # pauses of 10 ms, and as long as each takes on a busy machine
SIZE = (80, 24)


async def until(pilot: Pilot[Any], condition: Callable[[], object], what: str = "it did not happen") -> None:
    """Let the app work until `condition` holds."""
    for _ in range(_PATIENCE):
        await pilot.pause()
        if condition():
            return
        await pilot.pause(0.01)
    pytest.fail(what)


async def ready(pilot: Pilot[Any]) -> KafkaprepApp:
    """The app once its labs are read and its first screen is drawn."""
    app = pilot.app
    assert isinstance(app, KafkaprepApp)
    await until(pilot, lambda: app.index is not None, "the labs were not read")
    await pilot.pause()
    return app


def on_screen(app: KafkaprepApp) -> str:
    """All text in sight, line by line."""
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


async def typed(pilot: Pilot[Any], text: str) -> None:
    """Paste `text` into the field that has the focus, and take it."""
    await pilot.pause()
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")
