"""`kafkaprep replay`: watch a recorded run again, without a cluster.

The events come at the pace of the recording; the ledgers are judged anew, so the verdict is today's, not the file's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kafkaprep import paths
from kafkaprep.catalog.labs import find_lab, load_labs
from kafkaprep.cli.stopping import stop_on_signals
from kafkaprep.errors import RunStopped, UsageError
from kafkaprep.model.history import Event, EventName
from kafkaprep.model.verdict import Outcome

if TYPE_CHECKING:
    import threading

    from kafkaprep.cli.live import Display
    from kafkaprep.engine.saved_run import SavedRun

INCONCLUSIVE = 3


@click.command(
    name="replay",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  kafkaprep replay acks-zero
  kafkaprep replay acks-zero --solution --speed 4
  kafkaprep replay ~/.local/share/kafkaprep/runs/20260101-120000-acks-zero-1a2b3c --save mine.kprun
  kafkaprep replay mine.kprun""",
)
@click.argument("what", metavar="LAB|PATH")
@click.option("--solution", is_flag=True, help="The recording of the settings that keep the promise.")
@click.option("--speed", type=click.FloatRange(0.1, 1000), default=1.0, show_default=True, help="Times the real pace.")
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Pack the run into one file to share.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
@click.option("--plain", is_flag=True, help="Plain lines instead of a live display.")
def command(what: str, solution: bool, speed: float, save: Path | None, as_json: bool, plain: bool) -> int:
    """Replay the recorded run of LAB that comes with kafkaprep, or the run at PATH (a folder or a file)."""
    if save is not None:
        return _save(what, save)
    from kafkaprep.cli.live import LiveDisplay, PlainDisplay
    from kafkaprep.cli.report import console, print_verdict
    from kafkaprep.engine.recording import label

    with _found(what, solution) as saved:
        labelled = label(saved)
        if as_json:
            json.dump({**saved.document(), "recorded": labelled.as_dict()}, sys.stdout)
            sys.stdout.write("\n")
            return INCONCLUSIVE if saved.outcome is Outcome.INCONCLUSIVE else 0
        lab = find_lab(load_labs(paths.labs()), str(saved.plan["lab"]))
        screen = console(stderr=True)
        live = screen.is_terminal and not plain
        display: Display = (
            LiveDisplay(screen, lab, saved.settings) if live else PlainDisplay(screen, lab, saved.settings)
        )
        screen.print(str(labelled), style="bold magenta")
        with stop_on_signals() as stop, display:
            _play(saved, display, speed if live else None, stop)
        out = console()
        out.print(str(labelled), style="bold magenta")
        print_verdict(out, lab, saved, where=Path(what).is_dir())
        return INCONCLUSIVE if saved.outcome is Outcome.INCONCLUSIVE else 0


@contextmanager
def _found(what: str, solution: bool) -> Iterator[SavedRun]:
    """The run that LAB or PATH means."""
    from kafkaprep.engine.recording import SUFFIX, opened
    from kafkaprep.engine.saved_run import open_run

    path = Path(what)
    if path.is_dir():
        yield open_run(path)
        return
    if not path.is_file():
        lab = find_lab(load_labs(paths.labs()), what)
        path = paths.recordings() / f"{lab.id}.{'solution' if solution else 'start'}{SUFFIX}"
        if not path.is_file():
            raise UsageError(f"There is no recording of lab {lab.id} yet.", f"Run `kafkaprep lab {lab.id}`.")
    with opened(path) as saved:
        yield saved


def _save(what: str, file: Path) -> int:
    from kafkaprep.engine.recording import pack

    folder = Path(what)
    if not folder.is_dir():
        raise UsageError(f"{what} is no run's folder.", "--save takes the folder that a run was saved in.")
    size = pack(folder, file)
    click.echo(f"{file}: {size / 1000:.0f} kB. Replay it with `kafkaprep replay {file}`.")
    return 0


def _play(saved: SavedRun, display: Display, speed: float | None, stop: threading.Event) -> None:
    """Show the events, at `speed` times the recorded pace; at once where there is no live display."""
    before = 0.0
    for fields in saved.events:
        at_s = float(fields["at_s"])
        if speed is not None and stop.wait(max(0.0, at_s - before) / speed):
            raise RunStopped()
        before = at_s
        rest = {name: value for name, value in fields.items() if name not in ("at_s", "event")}
        display.on_event(Event(at_s, EventName(fields["event"]), rest))
