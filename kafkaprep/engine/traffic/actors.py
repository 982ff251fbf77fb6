"""The parent's handles on the clients under test: told what to do, waited for.

Each actor is one child process. A thread of its own drains what the child says into the latest snapshot; every wait
has an end, and a child that dies when nobody asked it to ends the waits for it with its last words.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Generic, Protocol, TypeVar

from kafkaprep.engine.terminal_text import log_tail, sanitise
from kafkaprep.engine.traffic.specs import Barrier, ChildSpec, ConsumerSpec, ProducerSpec, ReaderSpec
from kafkaprep.engine.waiting import WaitTimeout
from kafkaprep.errors import ClusterError, RunStopped

_LOOK_AT_STOP_S = 0.1
_REAP_S = 2.0
_TAIL_LINES = 5


class ChildDied(ClusterError):
    """A client under test ended although nobody had asked it to."""


class ChildHandle(Protocol):
    """The part of a guardian's child that an actor uses."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    @property
    def paused(self) -> bool: ...
    def signal(self, signum: int) -> object: ...
    def wait(self, timeout_s: float) -> int | None: ...


class Spawner(Protocol):
    """The part of the guardian that an actor uses. A child is swept up by the marker in its command line."""

    @property
    def marker(self) -> str: ...
    def spawn(self, name: str, argv: Sequence[str], *, cwd: Path, stderr: Path, pipes: bool = False) -> ChildHandle: ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What every child has told so far. `left` counts the sends without a report when it closed."""

    ready: bool = False
    barrier: Barrier | None = None
    closed: bool = False
    left: int | None = None


@dataclass(frozen=True, slots=True)
class ProducerSnapshot(Snapshot):
    """`called` counts produce() calls, `refused` those that raised: attempts. `planned_sent` counts messages whose
    first attempt was made, `resending` those waiting for their next one.
    """

    planned_sent: int = 0
    resending: int = 0
    called: int = 0
    reported: int = 0
    ok: int = 0
    errors: int = 0
    refused: int = 0
    error_names: Mapping[str, int] = field(default_factory=dict)
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    stopped: bool = False
    fatal: str | None = None

    @property
    def outstanding(self) -> int:
        return self.called - self.reported - self.refused + self.resending


@dataclass(frozen=True, slots=True)
class ConsumerSnapshot(Snapshot):
    """`assigned` is None before the first assignment; `committed` counts messages covered by accepted commits."""

    assigned: tuple[int, ...] | None = None
    delivered: int = 0
    processed: int = 0
    committed: int = 0
    unexpected: int = 0
    error_names: Mapping[str, int] = field(default_factory=dict)
    drained: bool = False


@dataclass(frozen=True, slots=True)
class ReaderSnapshot(Snapshot):
    """`complete` is None until a read is over."""

    stored: int = 0
    unexpected: int = 0
    complete: bool | None = None


S = TypeVar("S", bound=Snapshot)


class Actor(Generic[S]):
    """One child process. `start` does not wait for it; `wait_for(lambda seen: seen.ready, …)` does."""

    module: str

    def __init__(self, spec: ChildSpec, first: S, *, folder: Path) -> None:
        """`folder` gets the spec, and the child's stderr with librdkafka's log."""
        self.name = spec.name
        self.ledger = Path(spec.ledger)
        self._spec = spec
        self._spec_file = folder / f"{spec.name}.spec.json"
        self._stderr = folder / f"{spec.name}.log"
        self._folder = folder
        self._snapshot: S = first
        self._told = threading.Condition()
        self._child: ChildHandle | None = None
        self._listener = threading.Thread()  # of no use before start()
        self._silent = False  # stdout has ended: nothing more will be told
        self._killed = False
        self._writing = threading.Lock()

    # Life

    def start(self, guardian: Spawner) -> None:
        self._spec.write(self._spec_file)
        argv = [sys.executable, "-m", self.module, str(self._spec_file), f"--kafkaprep={guardian.marker}"]
        self._child = guardian.spawn(self.name, argv, cwd=self._folder, stderr=self._stderr, pipes=True)
        self._listener = threading.Thread(target=self._listen, name=f"listen to {self.name}", daemon=True)
        self._listener.start()

    @property
    def child(self) -> ChildHandle:
        assert self._child is not None, "the actor was not started"
        return self._child

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self.child.returncode is None

    @property
    def paused(self) -> bool:
        return self.child.paused

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. What it had not written is lost, as in a real crash."""
        self._killed = True
        self.child.signal(signal.SIGKILL)
        self.child.wait(_REAP_S)
        self._release()

    def pause(self) -> None:
        self.child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.child.signal(signal.SIGCONT)

    def close(self, timeout_s: float) -> bool:
        """Ask it to end in order; kill it if it has not within `timeout_s`. True if it closed by itself."""
        if self._killed:
            return False
        deadline = time.monotonic() + timeout_s
        with suppress(ChildDied):
            self.tell("close", timeout_s=max(0.0, timeout_s - _LOOK_AT_STOP_S))
        # The child needs the time it was given, and a moment to say so.
        with self._told:
            self._told.wait_for(
                lambda: self._snapshot.closed or self._silent, max(0.0, deadline - time.monotonic()) + _REAP_S
            )
            closed = self._snapshot.closed
        if not closed or self.child.wait(_REAP_S) is None:
            self.kill()
        self._release()
        return closed

    def _release(self) -> None:
        """Close our ends of the pipes and let the listener hear the last words."""
        self._listener.join(_REAP_S)
        stdin = self.child.stdin
        if stdin is not None:
            with self._writing, suppress(OSError):
                stdin.close()

    # Talk

    def tell(self, verb: str, **fields: object) -> None:
        line = json.dumps({"do": verb, **fields}) + "\n"
        stdin = self.child.stdin
        assert stdin is not None
        try:
            with self._writing:
                stdin.write(line.encode())
                stdin.flush()
        except (OSError, ValueError) as error:
            raise self._death() from error

    def pass_barrier(self) -> None:
        """Let a child that stands at a barrier go on."""
        with self._told:
            self._snapshot = replace(self._snapshot, barrier=None)
        self.tell("go")

    @property
    def snapshot(self) -> S:
        with self._told:
            return self._snapshot

    def _listen(self) -> None:
        stdout = self.child.stdout
        assert stdout is not None
        with suppress(OSError, ValueError):
            for line in stdout:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # torn by a kill
                with self._told:
                    self._snapshot = self._after(self._snapshot, event)
                    self._told.notify_all()
        with suppress(OSError):
            stdout.close()
        self.child.wait(_REAP_S)
        with self._told:
            self._silent = True
            self._told.notify_all()

    def _after(self, seen: S, event: Mapping[str, Any]) -> S:
        match event["event"]:
            case "ready":
                return replace(seen, ready=True)
            case "barrier":
                return replace(seen, barrier=Barrier(event["name"], event["n"]))
            case "closed":
                return replace(seen, closed=True, left=event["left"])
            case "counts":
                return replace(seen, **{name: value for name, value in event.items() if name != "event"})
        return self._after_own(seen, event)

    @abstractmethod
    def _after_own(self, seen: S, event: Mapping[str, Any]) -> S: ...

    # Waits

    def wait_for(
        self,
        condition: Callable[[S], bool],
        deadline_s: float,
        stop: threading.Event,
        message: str | Callable[[S], str],
    ) -> S:
        """The first snapshot for which `condition` holds, within `deadline_s` seconds from now.

        Raises WaitTimeout with `message`, RunStopped when `stop` is set, ChildDied when the child is gone and what
        it last told does not fulfil the condition.
        """
        deadline = time.monotonic() + deadline_s
        with self._told:
            while True:
                seen = self._snapshot
                if condition(seen):
                    return seen
                if stop.is_set():
                    raise RunStopped()
                if self._silent:
                    raise self._death()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WaitTimeout(message(seen) if callable(message) else message)
                self._told.wait(min(left, _LOOK_AT_STOP_S))

    def wait_barrier(self, at: str, deadline_s: float, stop: threading.Event) -> S:
        return self.wait_for(
            lambda seen: seen.barrier is not None and seen.barrier.at == at,
            deadline_s,
            stop,
            f"{self.name} did not reach the point {at} within {deadline_s:g} s.",
        )

    def _death(self) -> ChildDied:
        if self._killed:
            return ChildDied(f"{sanitise(self.name)} was killed.")
        code = self.child.returncode
        how = "ended" if not code else f"was ended by signal {-code}" if code < 0 else f"failed with code {code}"
        words = " | ".join(log_tail(self._stderr, _TAIL_LINES))
        return ChildDied(f"{sanitise(self.name)} {how} without being asked to." + (f" {words}" if words else ""))


class ProducerActor(Actor[ProducerSnapshot]):
    module = "kafkaprep.engine.traffic.producer"

    def __init__(self, spec: ProducerSpec, *, folder: Path) -> None:
        super().__init__(spec, ProducerSnapshot(), folder=folder)

    def send(self, count: int | None) -> None:
        """Send the next `count` planned messages of this producer, or all that are left."""
        self.tell("send", count=count)

    def _after_own(self, seen: ProducerSnapshot, event: Mapping[str, Any]) -> ProducerSnapshot:
        return seen


class ConsumerActor(Actor[ConsumerSnapshot]):
    module = "kafkaprep.engine.traffic.consumer"

    def __init__(self, spec: ConsumerSpec, *, folder: Path) -> None:
        super().__init__(spec, ConsumerSnapshot(), folder=folder)

    def drain(self, until: Mapping[int, int]) -> None:
        """Ask for `drained` once every assigned partition was read to its offset in `until` and all is done.

        With commit=auto the last commit comes with close(), not before `drained`.
        A consumer that reads read_committed never gets beyond the last stable offset: give that as the end.
        """
        with self._told:
            self._snapshot = replace(self._snapshot, drained=False)
        self.tell("drain", until={str(partition): end for partition, end in until.items()})

    def _after_own(self, seen: ConsumerSnapshot, event: Mapping[str, Any]) -> ConsumerSnapshot:
        match event["event"]:
            case "assigned":
                return replace(seen, assigned=tuple(event["partitions"]), drained=False)
            case "drained":
                return replace(seen, drained=True)
        return seen


class ReaderActor(Actor[ReaderSnapshot]):
    """`ledger` and `bounds` are whole only once `complete` is told; a killed reader leaves no bounds."""

    module = "kafkaprep.engine.traffic.log_reader"

    def __init__(self, spec: ReaderSpec, *, folder: Path) -> None:
        super().__init__(spec, ReaderSnapshot(), folder=folder)
        self.bounds = Path(spec.bounds)

    def read(self, budget_s: float, group: str | None) -> None:
        """Read the log within `budget_s`, and the committed offsets of `group` if one is given."""
        with self._told:
            self._snapshot = replace(self._snapshot, complete=None)
        self.tell("read", budget_s=budget_s, group=group)

    def _after_own(self, seen: ReaderSnapshot, event: Mapping[str, Any]) -> ReaderSnapshot:
        return replace(seen, complete=event["complete"]) if event["event"] == "read" else seen
