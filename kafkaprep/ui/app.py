"""The app: which screen is open, what is loaded, and how it ends in order."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import ClassVar

from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.worker import Worker, WorkerState

from kafkaprep import paths
from kafkaprep.catalog.labs import load_labs
from kafkaprep.catalog.settings import SettingsTable, load_settings
from kafkaprep.engine.terminal_text import sanitise
from kafkaprep.errors import KafkaprepError
from kafkaprep.model.lab import BrokenLab, Kind, Lab, LabIndex
from kafkaprep.ui.ascii_only import AsciiOnly
from kafkaprep.ui.glyphs import UNICODE, Glyphs
from kafkaprep.ui.lab_worker import Engine, proven
from kafkaprep.ui.messages import ClusterTold, Judged, LabsLoaded, RunRequest
from kafkaprep.ui.palette import ActionsProvider
from kafkaprep.ui.screens.dialogs import Confirm, problem
from kafkaprep.ui.screens.home import HomeScreen
from kafkaprep.ui.screens.keys import keys_of
from kafkaprep.ui.screens.lab import LabScreen
from kafkaprep.ui.screens.labs import LabsScreen
from kafkaprep.ui.screens.run import RunScreen
from kafkaprep.ui.screens.verdict import VerdictScreen
from kafkaprep.ui.session import Session

STOPPED = 130
_ORDERLY_END_S = 10.0
_LAST_BREATH_S = 1.0


class KafkaprepApp(App[None]):
    """Holds what outlives a screen: labs, settings table, choices, what was seen, the engine."""

    # All at once: a screen that brought its own would have the whole sheet parsed again when it opens.
    CSS_PATH = [  # noqa: RUF012 - as Textual declares it
        "app.tcss",
        *(f"screens/{name}.tcss" for name in ("home", "labs", "lab", "run", "verdict")),
    ]
    TITLE = "kafkaprep"
    COMMANDS = App.COMMANDS | {ActionsProvider}
    BINDINGS: ClassVar[list[BindingType]] = [
        ("question_mark", "keys", "Keys"),
        Binding("q", "quit", "Quit", show=False),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, engine: Engine, glyphs: Glyphs = UNICODE) -> None:
        super().__init__()
        self.engine = engine
        self.glyphs = glyphs
        if glyphs.is_ascii:
            self._filters.append(AsciiOnly())
        self.index: LabIndex | None = None
        self.table: SettingsTable | None = None
        self.proven: dict[str, set[str]] = {}
        self._sessions: dict[str, Session] = {}
        self._leaving: int | None = None  # the exit code, once a run was told to stop so that we may go

    def on_mount(self) -> None:
        self.push_screen(HomeScreen())
        self._load()
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signum, self.leave, STOPPED)
            signal.signal(signal.SIGHUP, self._hung_up)

    @work(thread=True, group="load", exit_on_error=False)
    def _load(self) -> None:
        table = load_settings()
        self.post_message(LabsLoaded(load_labs(paths.labs(), table), table, proven()))

    @on(LabsLoaded)
    def _loaded(self, message: LabsLoaded) -> None:
        self.index, self.table, self.proven = message.index, message.table, message.proven
        for screen in self.screen_stack:
            if isinstance(screen, HomeScreen | LabsScreen):
                screen.show_labs()

    @work(thread=True, exclusive=True, group="cluster", exit_on_error=False)
    def ask_cluster(self) -> None:
        """Find out how the cluster is; ClusterTold follows."""
        self.post_message(ClusterTold(self.engine.cluster_state()))

    @on(ClusterTold)
    def _cluster_told(self, message: ClusterTold) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, HomeScreen):
                screen.show_cluster(message.text)

    @on(Worker.StateChanged)
    def worker_changed(self, event: Worker.StateChanged) -> None:
        """The one place where a failed worker becomes words; screens pass on what their own workers say."""
        if event.state is not WorkerState.ERROR:
            return
        error = event.worker.error
        if not isinstance(error, KafkaprepError):
            error = KafkaprepError(
                sanitise(f"kafkaprep met an error that it does not know ({type(error).__name__}: {error})."),
                "`kafkaprep lab ID --plain` runs a lab without screens.",
            )
        if isinstance(self.screen, RunScreen):
            self.run_is_over(self.screen, error)
        else:
            self.push_screen(problem(error))

    # What the screens ask for

    def session(self, lab: Lab) -> Session:
        return self._sessions.setdefault(lab.id, Session(lab))

    def broken_labs(self) -> list[BrokenLab]:
        return [lab for lab in (self.index or {}).values() if isinstance(lab, BrokenLab)]

    def next_lab(self) -> Lab | None:
        """The first lab that was not yet seen both ways; acks-zero is where to begin."""
        labs = [lab for lab in (self.index or {}).values() if isinstance(lab, Lab) and lab.kind is Kind.LAB]
        labs.sort(key=lambda lab: (list(type(lab.stage)).index(lab.stage), lab.id != "acks-zero"))
        return next((lab for lab in labs if not {"broken", "kept"} <= self.proven.get(lab.id, set())), None)

    def open_lab(self, lab_id: str) -> None:
        lab = (self.index or {}).get(lab_id)
        if isinstance(lab, Lab):
            self.push_screen(LabScreen(lab))

    def open_labs(self, about: str = "", *, filtering: bool = False) -> None:
        self.push_screen(LabsScreen(about, filtering=filtering))

    def open_next_lab(self) -> None:
        """From a verdict: the lab below it on the stack gives way to the next one."""
        following = self.next_lab()
        if following is None:
            self.notify("You have seen every lab break and hold.", markup=False)
            return
        self._back_to_labs()
        self.push_screen(LabScreen(following))

    def _back_to_labs(self) -> None:
        while isinstance(self.screen, LabScreen | RunScreen | VerdictScreen):
            self.pop_screen()

    def run_lab(self, request: RunRequest) -> None:
        """Open the run; a verdict that was open gives way to it."""
        if isinstance(self.screen, VerdictScreen):
            self.switch_screen(RunScreen(request))
        else:
            self.push_screen(RunScreen(request))

    def run_is_over(self, screen: RunScreen, end: Judged | KafkaprepError | None) -> None:
        """The worker has said its last: show the verdict, or why there is none."""
        if screen not in self.screen_stack:
            return
        if isinstance(end, Judged) and end.saved.outcome in ("kept", "broken"):
            self.proven.setdefault(end.request.lab.id, set()).add(str(end.saved.outcome))
        if self._leaving is not None:
            self.exit(return_code=self._leaving)
            return
        while self.screen is not screen and len(self.screen_stack) > 1:
            self.pop_screen()  # a question about a run that is over
        if isinstance(end, Judged):
            self.switch_screen(VerdictScreen(end))
            return
        self.pop_screen()
        if end is not None:
            self.push_screen(problem(end))
        else:
            self.notify("Stopped. The faults were lifted; nothing is concluded from that run.", markup=False)

    def copy(self, text: str) -> None:
        self.copy_to_clipboard(text)
        self.notify(f"Copied: {text}", markup=False)

    # Keys of every screen

    def action_keys(self) -> None:
        self.push_screen(keys_of(self.screen))

    async def action_quit(self) -> None:
        """At once, but in mid-run only after asking."""
        if self._open_run() is None:
            self.exit()
        elif self._leaving is not None:
            self.leave(STOPPED)
        elif not isinstance(self.screen, Confirm):
            question = Confirm(
                "Quit in mid-run?", "The run stops, its faults are lifted, the cluster ends.", "Quit", "Go on"
            )
            self.push_screen(question, lambda yes: self.leave(STOPPED) if yes else None)

    def action_help_quit(self) -> None:
        """Ctrl-C: stops a run in order, the second time at once; elsewhere it says how to quit."""
        running = self._open_run()
        if running is None:
            self.notify("q quits.", markup=False)
        elif running.stop.is_set():
            self.leave(STOPPED)
        else:
            running.action_stop()

    def leave(self, code: int) -> None:
        """End the app: a run stops in order first. Asked twice, or after ten seconds, it ends at once."""
        running = self._open_run()
        if running is None:
            self.exit(return_code=code)
        elif self._leaving is None:
            self._leaving = code
            running.action_stop()
            self.set_timer(_ORDERLY_END_S, self._leave_now)
            self._end_after(_ORDERLY_END_S + 2 * _LAST_BREATH_S)
        else:
            self._leave_now()

    def _leave_now(self) -> None:
        """The terminal is given back; then the guardians kill what we started."""
        self._end_after(_LAST_BREATH_S)
        self.exit(return_code=STOPPED)

    def _end_after(self, seconds: float) -> None:
        """End the process if it is still there then. A headless app is a test's or a server's: not ours to end."""
        if not self.is_headless:
            timer = threading.Timer(seconds, os._exit, (STOPPED,))
            timer.daemon = True
            timer.start()

    def _hung_up(self, signum: int, frame: FrameType | None) -> None:
        """The terminal is gone, and writing to it may block for ever: the end comes from a thread, without a screen."""
        threading.Thread(target=self._end_unseen, args=(self._open_run(),), name="hang up", daemon=True).start()

    def _end_unseen(self, running: RunScreen | None) -> None:
        if running is not None:
            running.stop.set()
            running.over.wait(_ORDERLY_END_S)
        self.engine.close()
        os._exit(STOPPED)

    def _open_run(self) -> RunScreen | None:
        with suppress(IndexError):
            return next((screen for screen in self.screen_stack if isinstance(screen, RunScreen)), None)
        return None
