"""A run on the screen: its messages, its verdict, stopping it, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engines import ScriptedEngine
from pilots import SIZE, on_screen, ready, until
from textual.message import Message

from kafkaprep.errors import BrokerDidNotStart
from kafkaprep.ui.app import STOPPED, KafkaprepApp
from kafkaprep.ui.messages import RunEnded, RunJudged, RunProgressed
from kafkaprep.ui.screens.dialogs import Confirm, Reading
from kafkaprep.ui.screens.home import HomeScreen
from kafkaprep.ui.screens.lab import LabScreen
from kafkaprep.ui.screens.run import RunScreen
from kafkaprep.ui.screens.verdict import VerdictScreen

pytestmark = pytest.mark.asyncio
MakeApp = Callable[..., KafkaprepApp]


@pytest.fixture
def held(engine: ScriptedEngine) -> ScriptedEngine:
    """Stays half way until told to go on."""
    engine.go_on.clear()
    return engine


async def test_the_worker_tells_pictures_and_then_one_verdict(made_app: MakeApp) -> None:
    seen: list[Message] = []
    async with made_app().run_test(size=SIZE, message_hook=seen.append) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, lambda: isinstance(app.screen, VerdictScreen))
        told = [type(message) for message in seen if isinstance(message, RunProgressed | RunJudged | RunEnded)]
        assert set(told) == {RunProgressed, RunJudged} and told[-1] is RunJudged
        await until(pilot, lambda: "BROKEN" in on_screen(app))
        shown = on_screen(app)
        assert "100 messages were reported delivered and are in no log." in shown
        assert "300–399" in shown
        assert app.proven == {"leader-dies": {"broken"}}


async def test_half_way_the_screen_shows_script_brokers_and_counts(made_app: MakeApp, held: ScriptedEngine) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, lambda: "DEAD" in on_screen(app))
        shown = on_screen(app)
        assert "sent 400/400" in shown and "processed 290" in shown
        assert "★ LEADER" in shown
        assert "▸ await new_leader" in shown and "✓ kill leader" in shown
        assert "! broker 2: the process is gone" in shown
        held.go_on.set()
        await until(pilot, lambda: isinstance(app.screen, VerdictScreen))


async def test_the_solution_follows_from_the_verdict_and_keeps_the_promise(
    made_app: MakeApp, engine: ScriptedEngine
) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, lambda: isinstance(app.screen, VerdictScreen))
        await pilot.press("s")
        await until(pilot, lambda: "KEPT" in on_screen(app))
        assert [request.solution for request in engine.requests] == [False, True]
        assert app.proven == {"leader-dies": {"broken", "kept"}}
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        assert "commits-early" in on_screen(app)
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_a_void_run_proves_nothing_and_says_so(made_app: MakeApp, engine: ScriptedEngine) -> None:
    engine.void = True
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, lambda: "VOID" in on_screen(app))
        shown = on_screen(app)
        assert "? VOID" in shown and "no new leader within 20 s" in shown
        assert "KEPT" not in shown and "BROKEN" not in shown
        assert app.proven == {}


async def test_a_run_can_be_stopped(made_app: MakeApp, held: ScriptedEngine) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, held.paused.is_set)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        assert held.stopped == 1


async def test_leaving_a_run_asks_first(made_app: MakeApp, held: ScriptedEngine) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, held.paused.is_set)
        await pilot.press("escape")
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        assert isinstance(app.screen, RunScreen)
        await pilot.press("escape", "y")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))


async def test_a_run_that_ends_under_a_question_shows_its_verdict(made_app: MakeApp, held: ScriptedEngine) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, held.paused.is_set)
        await pilot.press("q")
        assert isinstance(app.screen, Confirm)
        held.go_on.set()
        await until(pilot, lambda: isinstance(app.screen, VerdictScreen))


@pytest.mark.parametrize("how", [["q", "y"], ["ctrl+c"], ["signal"]])
async def test_quitting_in_mid_run_stops_it_in_order(made_app: MakeApp, held: ScriptedEngine, how: list[str]) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, held.paused.is_set)
        if how == ["signal"]:
            app.leave(STOPPED)
        else:
            await pilot.press(*how)
        if how == ["ctrl+c"]:
            await until(pilot, lambda: isinstance(app.screen, LabScreen))
            await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert held.stopped == 1
    assert app.return_code == (0 if how == ["ctrl+c"] else STOPPED)


async def test_a_cluster_that_cannot_start_says_why(made_app: MakeApp, engine: ScriptedEngine) -> None:
    engine.error = BrokerDidNotStart("Broker 1 ended at once.", ("[red] the last line",), "Look at its log.")
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, lambda: "Broker 1 ended at once." in on_screen(app))
        assert isinstance(app.screen, Reading)
        shown = on_screen(app)
        assert "Look at its log." in shown and "[red] the last line" in shown
        await pilot.press("escape")
        assert isinstance(app.screen, LabScreen)


async def test_an_error_that_nobody_expected_becomes_words(
    made_app: MakeApp, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("[b]oops")

    monkeypatch.setattr(engine, "play", fail)
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "r")
        await until(pilot, lambda: "[b]oops)." in on_screen(app))
        assert isinstance(app.screen, Reading)
