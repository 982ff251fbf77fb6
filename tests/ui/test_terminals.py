"""Small terminals, terminals without UTF-8 or colour, and no terminal at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from engines import ScriptedEngine
from pilots import SIZE, on_screen, ready, until

from kafkaprep.ui.app import KafkaprepApp
from kafkaprep.ui.glyphs import ASCII, UNICODE, glyphs_for
from kafkaprep.ui.screens.lab import LabScreen
from kafkaprep.ui.screens.verdict import VerdictScreen

MakeApp = Callable[..., KafkaprepApp]


@pytest.mark.asyncio
async def test_a_small_terminal_asks_for_more_and_loses_nothing(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "right")
        for width, height in [(1, 1), (10, 4), (79, 24), (80, 23)]:
            await pilot.resize_terminal(width, height)
            await until(
                pilot, lambda small=width < 9: small or "too small" in on_screen(app) or "Enlarge it" in on_screen(app)
            )
            assert width < 20 or f"{width}×{height}" in on_screen(app)
        await pilot.resize_terminal(*SIZE)
        await until(pilot, lambda: "--set producer.acks=1" in on_screen(app))
        assert isinstance(app.screen, LabScreen)


@pytest.mark.asyncio
async def test_a_whole_run_in_one_cell(made_app: MakeApp, engine: ScriptedEngine) -> None:
    async with made_app().run_test(size=(1, 1)) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "h", "r")
        await until(pilot, lambda: isinstance(app.screen, VerdictScreen))
        await pilot.press("d", "escape", "question_mark", "escape", "e", "escape")


@pytest.mark.asyncio
async def test_without_utf8_every_cell_is_ascii(made_app: MakeApp, engine: ScriptedEngine) -> None:
    engine.go_on.clear()
    async with made_app(ASCII).run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, lambda: "DEAD" in on_screen(app))
        assert on_screen(app).replace("\n", "").isascii()
        engine.go_on.set()
        await until(pilot, lambda: "x BROKEN" in on_screen(app))
        assert "ids 300-399" in on_screen(app)
        assert on_screen(app).replace("\n", "").isascii()


def test_the_encoding_decides_the_marks() -> None:
    assert glyphs_for("utf-8") is glyphs_for("UTF8") is UNICODE
    assert glyphs_for("latin-1") is glyphs_for(None) is ASCII


def test_every_mark_is_one_cell_and_the_fallback_is_ascii() -> None:
    for glyphs in (UNICODE, ASCII):
        for marks in (glyphs.nodes, glyphs.outcomes, glyphs.live, glyphs.fates):
            assert all(len(mark) == 1 for mark in marks.values())
            assert len(set(marks.values())) == len(marks), "two meanings, one mark"
    assert all(mark.isascii() for mark in ASCII.fates.values())


def test_without_a_terminal_the_command_prints_its_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kafkaprep"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert "Commands:" in done.stdout and "\x1b" not in done.stdout + done.stderr
