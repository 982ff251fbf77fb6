"""From the first screen to a lab and back, by keys and mouse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pilots import SIZE, on_screen, ready, until

from kafkaprep.ui.app import KafkaprepApp
from kafkaprep.ui.screens.dialogs import Reading
from kafkaprep.ui.screens.home import HomeScreen
from kafkaprep.ui.screens.keys import actions_of
from kafkaprep.ui.screens.lab import LabScreen
from kafkaprep.ui.screens.labs import LabsScreen
from kafkaprep.ui.widgets.rows import Rows

pytestmark = pytest.mark.asyncio
MakeApp = Callable[..., KafkaprepApp]


async def test_home_says_what_this_is_and_where_to_begin(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await until(pilot, lambda: "starts with a run" in on_screen(app))
        shown = on_screen(app)
        assert "Things are supposed to break here." in shown
        assert "Start here" in shown and "leader-dies" in shown
        assert "1 lab file cannot be read" in shown
        await pilot.press("enter")
        assert isinstance(app.screen, LabScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_the_list_is_filtered_as_it_is_typed(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("slash")
        assert isinstance(app.screen, LabsScreen)
        await pilot.press(*"commit")
        await pilot.pause()
        shown = on_screen(app)
        assert "commits-early" in shown and "leader-dies" not in shown and "1 of 3 labs" in shown
        await pilot.press(*"xyz")
        await pilot.pause()
        assert "nothing matches" in on_screen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "leader-dies" in on_screen(app)
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_a_broken_file_is_listed_with_its_reason_and_hides_no_other(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("l", "G", "enter")
        await until(pilot, lambda: "broken.yaml" in on_screen(app) and isinstance(app.screen, Reading))
        await pilot.press("escape")
        assert isinstance(app.screen, LabsScreen)


async def test_j_and_k_move_and_the_mouse_opens(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("l")
        rows = app.screen.query_one(Rows)
        first = rows.highlighted_id
        await pilot.press("j")
        second = rows.highlighted_id
        await pilot.press("k")
        assert (first, second, rows.highlighted_id) == ("leader-dies", "commits-early", "leader-dies")
        await pilot.click(Rows, offset=(5, 3))
        await pilot.pause()
        assert isinstance(app.screen, LabScreen)


async def test_hints_come_one_at_a_time_and_markup_is_text(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter")
        assert "Hint 1" not in on_screen(app)
        await pilot.press("h")
        await pilot.pause()
        assert "Hint 1 of 2" in on_screen(app) and "Hint 2 of 2" not in on_screen(app)
        await pilot.press("h", "h")
        await pilot.pause()
        assert "[red]Freezing[/red]" in on_screen(app)


async def test_the_debrief_is_never_locked(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter", "d")
        await until(pilot, lambda: "froze" in on_screen(app))
        await pilot.press("escape")
        assert isinstance(app.screen, LabScreen)


async def test_every_key_of_a_screen_is_on_its_page_of_keys_and_in_the_palette(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("enter")
        actions = {action for _, _, action in actions_of(app.screen)}
        assert {
            "run",
            "solution",
            "predict",
            "hint",
            "back",
            "another",
            "reset",
            "copy",
            "debrief",
            "sources",
        } <= actions
        await pilot.press("question_mark")
        await until(pilot, lambda: "Set another setting" in on_screen(app))
        shown = on_screen(app)
        assert "Copy the command" in shown
        await pilot.press("escape", "ctrl+p")
        await pilot.press(*"another")
        await until(pilot, lambda: "Set another setting" in on_screen(app))


async def test_quitting_needs_no_second_word_when_nothing_runs(made_app: MakeApp) -> None:
    async with made_app().run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert app.return_code == 0
