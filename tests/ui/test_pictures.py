"""One picture per screen state, at 80×24 and 120×40. `make snapshots` renews them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engines import ScriptedEngine
from pilots import on_screen, ready, until
from textual.pilot import Pilot
from textual.widgets import Input

from kafkaprep.ui.app import KafkaprepApp
from kafkaprep.ui.glyphs import ASCII

MakeApp = Callable[..., KafkaprepApp]
Before = Callable[[Pilot[Any]], Awaitable[None]]
SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
both_sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)


def shows(text: str, *keys: str) -> Before:
    """Press `keys`, then wait until `text` is in sight."""

    async def before(pilot: Pilot[Any]) -> None:
        app = await ready(pilot)
        await until(pilot, lambda: "starts with a run" in on_screen(app))
        await pilot.press(*keys)
        await until(pilot, lambda: text in on_screen(app), f"{text!r} is not in sight")
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()

    return before


STATES = {
    "home": shows("Start here"),
    "labs": shows("cannot be read", "l"),
    "lab": shows("Settings", "enter"),
    "lab-changed": shows("was 0", "enter", "right", "h"),
    "verdict-broken": shows("BROKEN", "enter", "p", *"some", "enter", "r"),
    "verdict-kept": shows("KEPT", "enter", "s"),
}
DIALOGS = {
    "labs-filtered": shows("1 of 3", "slash", *"commit"),
    "lab-predict": shows("Enter takes it", "enter", "p"),
    "lab-debrief": shows("froze", "enter", "d"),
    "keys": shows("Keys on this screen", "enter", "question_mark"),
}


@both_sizes
@pytest.mark.parametrize("before", STATES.values(), ids=STATES)
def test_screen(snap_compare: Any, made_app: MakeApp, size: tuple[int, int], before: Before) -> None:
    assert snap_compare(made_app(), terminal_size=size, run_before=before)


@pytest.mark.parametrize("before", DIALOGS.values(), ids=DIALOGS)
def test_dialog(snap_compare: Any, made_app: MakeApp, before: Before) -> None:
    assert snap_compare(made_app(), terminal_size=(80, 24), run_before=before)


@both_sizes
def test_run_half_way(snap_compare: Any, made_app: MakeApp, engine: ScriptedEngine, size: tuple[int, int]) -> None:
    engine.go_on.clear()
    assert snap_compare(made_app(), terminal_size=size, run_before=shows("DEAD", "enter", "r"))


def test_run_half_way_in_ascii(snap_compare: Any, made_app: MakeApp, engine: ScriptedEngine) -> None:
    engine.go_on.clear()
    assert snap_compare(made_app(ASCII), terminal_size=(80, 24), run_before=shows("DEAD", "enter", "r"))


@both_sizes
def test_verdict_void(snap_compare: Any, made_app: MakeApp, engine: ScriptedEngine, size: tuple[int, int]) -> None:
    engine.void = True
    assert snap_compare(made_app(), terminal_size=size, run_before=shows("VOID", "enter", "r"))
