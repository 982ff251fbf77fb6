"""What the worker tells the screens; a newer picture replaces an older one."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from kafkaprep.catalog.settings import SettingsTable
from kafkaprep.engine.predict import Prediction
from kafkaprep.engine.saved_run import SavedRun
from kafkaprep.errors import KafkaprepError
from kafkaprep.model.lab import Lab, LabIndex
from kafkaprep.model.settings import Settings
from kafkaprep.ui.live import Snapshot


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run. `solution` lays the lab's solution under the learner's changes."""

    lab: Lab
    changes: Settings
    solution: bool = False
    prediction: Prediction | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A finished run with all that its screen shows, so that no screen reads files."""

    request: RunRequest
    saved: SavedRun
    fates: tuple[str, ...]  # by id; see fates.fates_by_id
    ids: str  # the missing ones as ranges
    why: str


@dataclass
class LabsLoaded(Message):
    """The labs, the settings table, and what was seen on this machine."""

    index: LabIndex
    table: SettingsTable
    proven: dict[str, set[str]]

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, LabsLoaded)


@dataclass
class ClusterTold(Message):
    """The state of the local cluster, in words."""

    text: str

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ClusterTold)


@dataclass
class RunProgressed(Message):
    """A picture of the run; at most ten a second."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RunProgressed)


@dataclass
class RunJudged(Message):
    """The run is over and judged."""

    judged: Judged

    def can_replace(self, message: Message) -> bool:
        return False


@dataclass
class RunEnded(Message):
    """The run is over without a verdict: stopped by the learner, or `error` kept it from beginning."""

    error: KafkaprepError | None = None

    def can_replace(self, message: Message) -> bool:
        return False
