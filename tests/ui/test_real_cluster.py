"""The app on real brokers: one lab from the first screen to its verdict."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from ours import LONG_S
from pilots import SIZE, on_screen, ready

from kafkaprep.engine.cluster.local import LocalCluster
from kafkaprep.ui.app import KafkaprepApp
from kafkaprep.ui.lab_worker import LocalEngine
from kafkaprep.ui.screens.verdict import VerdictScreen

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio]


async def test_acks_zero_loses_messages_on_the_screen_too(
    cluster: LocalCluster, shared_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKAPREP_STATE_DIR", str(shared_state))
    engine = LocalEngine()
    seen: set[str] = set()
    async with KafkaprepApp(engine).run_test(size=SIZE) as pilot:
        app = await ready(pilot)
        await pilot.press("l", "slash", *"acks-zero", "enter", "enter", "r")
        deadline = time.monotonic() + 2 * LONG_S
        while not isinstance(app.screen, VerdictScreen) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            seen |= {word for word in ("PAUSED", "DEAD", "LEADER", "not in ISR") if word in on_screen(app)}
        assert isinstance(app.screen, VerdictScreen), on_screen(app)
        await pilot.pause()
        assert "BROKEN" in on_screen(app)
        judged = app.screen.judged
        assert judged.saved.verdict.counts["missing"] >= 100
        assert set(range(300, 400)) <= {number for number, fate in enumerate(judged.fates) if fate == "unknown_absent"}
    engine.close()
    assert {"DEAD", "LEADER"} <= seen
    assert any(node.state == "running" for node in cluster.status()), "the shared cluster was taken down"
