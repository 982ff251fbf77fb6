"""Every error the user can meet, each carrying what is needed to act on it.

KafkaprepError             message, way_out, exit_code
├── UsageError        (2)  unknown lab or setting, value out of range
├── ContentError      (2)  a content or lab file is malformed: file, line, column
├── ClusterError      (4)  no cluster could be had
│   ├── InstallError       Kafka or Java could not be found, fetched or verified
│   └── BrokerDidNotStart  log_tail: the last lines the broker printed
├── CapabilityMissing (4)  the chosen cluster cannot do what the lab needs
├── RunVoid           (3)  a fault did not take hold: fault, reason
└── RunStopped      (130)  Ctrl-C, SIGTERM or SIGHUP
"""

from __future__ import annotations

from pathlib import Path


class KafkaprepError(Exception):
    """One sentence on what went wrong, and one on the way out."""

    exit_code = 1

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.message} {self.way_out}".strip()


class UsageError(KafkaprepError):
    """The command line asks for something that does not exist or is not allowed."""

    exit_code = 2


class ContentError(KafkaprepError):
    """A file under content/ or labs/ is malformed. `line` and `column` count from 1."""

    exit_code = 2

    def __init__(self, file: Path | str, line: int, column: int, message: str, way_out: str = "") -> None:
        super().__init__(message, way_out)
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {super().__str__()}"


class ClusterError(KafkaprepError):
    """No cluster could be had, or it broke for a reason that is not the lab's."""

    exit_code = 4


class InstallError(ClusterError):
    """Kafka or Java could not be found, fetched or verified."""


class BrokerDidNotStart(ClusterError):
    """A JVM died or stayed silent at start. `log_tail` holds its last lines, already sanitised."""

    def __init__(self, message: str, log_tail: tuple[str, ...] = (), way_out: str = "") -> None:
        super().__init__(message, way_out)
        self.log_tail = log_tail


class CapabilityMissing(KafkaprepError):
    """The chosen cluster cannot do what the lab needs."""

    exit_code = 4


class RunVoid(KafkaprepError):
    """A step of the script did not take hold, so the run proves nothing."""

    exit_code = 3

    def __init__(self, fault: str, reason: str) -> None:
        super().__init__(f"{fault}: {reason}")
        self.fault = fault
        self.reason = reason


class RunStopped(KafkaprepError):
    """The user or the system asked us to stop."""

    exit_code = 130

    def __init__(self, message: str = "Stopped.") -> None:
        super().__init__(message)
