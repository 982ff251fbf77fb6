"""Opens the app on a terminal that can show it, and closes the cluster after."""

from __future__ import annotations

import sys

from kafkaprep.ui.app import KafkaprepApp
from kafkaprep.ui.glyphs import glyphs_for
from kafkaprep.ui.lab_worker import LocalEngine


def open_app() -> int:
    """Run the app until it is quit; returns the exit code."""
    engine = LocalEngine()
    app = KafkaprepApp(engine, glyphs_for(getattr(sys.__stderr__, "encoding", None)))
    try:
        app.run()
    finally:
        engine.close()
    return app.return_code or 0
