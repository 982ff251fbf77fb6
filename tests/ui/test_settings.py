"""Knobs: turned, typed, taken back; the prediction; the command that repeats it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engines import ScriptedEngine
from pilots import SIZE, on_screen, ready, typed, until

from kafkaprep.model.settings import Scope
from kafkaprep.ui.app import KafkaprepApp
from kafkaprep.ui.screens.dialogs import Ask
from kafkaprep.ui.screens.lab import LabScreen

pytestmark = pytest.mark.asyncio
MakeApp = Callable[..., KafkaprepApp]
ACKS = (Scope.PRODUCER, "acks")


async def test_a_knob_turns_both_ways_and_its_own_value_is_no_change(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter")
        assert isinstance(app.screen, LabScreen)
        session = app.session(app.screen._lab)
        await pilot.press("right")
        assert session.changed == {ACKS: "1"}
        await pilot.pause()
        assert "kafkaprep lab leader-dies --set producer.acks=1" in on_screen(app)
        assert "was 0" in on_screen(app)
        await pilot.press("left", "left")
        assert session.changed == {ACKS: "all"}
        await pilot.press("right")
        assert session.changed == {}


async def test_a_typed_value_is_checked_and_reset_takes_all_back(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "a")
        await typed(pilot, "producer.linger.ms=-5")
        await until(pilot, lambda: "cannot be" in on_screen(app))
        assert isinstance(app.screen, Ask)
        await pilot.press("escape", "a")
        await typed(pilot, "producer.linger.ms=50")
        await pilot.pause()
        assert isinstance(app.screen, LabScreen)
        session = app.session(app.screen._lab)
        assert session.changed == {(Scope.PRODUCER, "linger.ms"): "50"}
        assert "producer.linger.ms" in on_screen(app)
        await pilot.press("x")
        assert session.changed == {}


async def test_the_command_is_copied_as_it_can_be_typed(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "right", "y")
        assert app.clipboard == "kafkaprep lab leader-dies --set producer.acks=1"


async def test_a_prediction_is_kept_and_goes_with_the_run(made_app: MakeApp, engine: ScriptedEngine) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "p", *"lots", "enter")
        await until(pilot, lambda: "Say none, some, all" in on_screen(app))
        await pilot.press("escape", "p", *"some", "enter")
        await until(pilot, lambda: "some messages are reported delivered and lost" in on_screen(app))
        await pilot.press("r")
        await until(pilot, lambda: "right" in on_screen(app))
        (request,) = engine.requests
        assert request.prediction is not None
        assert (request.prediction.name, request.prediction.value) == ("lost", "some")
