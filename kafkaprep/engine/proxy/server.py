"""The proxy of all brokers, on one thread: listens, obeys commands, stops.

Every public method may be called from any thread; a rule is in force when `add_rule` returns. Only 127.0.0.1 is
listened on. The ports are taken when the server is made and given back by `stop`, so they can be advertised before the
brokers behind them start.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from kafkaprep.engine.proxy.connection import Connection, Hub, Totals
from kafkaprep.engine.proxy.reactor import READ, Reactor, close_socket
from kafkaprep.engine.proxy.rules import Action, Counts, Rule, RuleBook
from kafkaprep.errors import ClusterError

T = TypeVar("T")

HOST = "127.0.0.1"
_BACKLOG = 128
_ACCEPT_PAUSE_S = 0.1  # when the process has no file descriptor left
_COMMAND_TIMEOUT_S = 10.0


class ProxyServer:
    """One listener per broker: `targets` maps its id to the port to listen on (0: any) and the broker's own port.

    Raises ClusterError if a port is taken.
    """

    def __init__(self, targets: Mapping[int, tuple[int, int]]) -> None:
        self._reactor = Reactor()
        self._hub = Hub(self._reactor, RuleBook(), self._acted)
        self._doors: dict[int, _Door] = {}
        self._commands: queue.SimpleQueue[tuple[Callable[[], object], Future[object]]] = queue.SimpleQueue()
        self._waiters: list[tuple[int, int, Future[bool]]] = []
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._state = threading.Lock()  # guards the three below, and that no command is queued after the end
        self._thread: threading.Thread | None = None
        self._ended = False
        self._failure: BaseException | None = None
        self._stopping = False
        try:
            for broker, (port, upstream_port) in targets.items():
                self._doors[broker] = _Door(self._hub, broker, port, upstream_port)
        except OSError as error:
            self._close_all()
            raise ClusterError(f"The proxy cannot listen on port {port} ({error.strerror}).") from error

    @property
    def ports(self) -> dict[int, int]:
        """The port of each broker's proxy."""
        return {broker: door.port for broker, door in self._doors.items()}

    def start(self) -> None:
        with self._state:
            if self._thread is not None or self._ended:
                raise ClusterError("The proxy was started before.")
            for door in self._doors.values():
                door.open()
            self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Close every connection and give the ports back. Safe to call twice."""
        with self._state:
            thread = self._thread
            if thread is None:
                self._close_all()
                return
        with suppress(ClusterError):
            self._submit(self._stop)
        thread.join()

    def add_rule(self, rule: Rule) -> int:
        """The rule's id. It is in force for every frame whose head has not been read yet."""
        return self._do(lambda: self._add(rule))

    def remove(self, rule_id: int, *, drop_held: bool = False) -> Counts:
        """End a rule; what it holds is released, or dropped. Returns what it did in all."""
        return self._do(lambda: self._remove(rule_id, drop_held))

    def clear(self, *, drop_held: bool = False) -> dict[int, Counts]:
        """End all rules and forget them; what they did in all, by id."""
        return self._do(lambda: self._clear(drop_held))

    def release(self, rule_id: int, *, drop: bool = False) -> int:
        """Let go (or drop) what the rule holds now; how many frames. The rule stays."""
        return self._do(lambda: self._release(rule_id, drop))

    def counters(self) -> dict[int, Counts]:
        """What each rule has done so far, removed ones included."""
        return self._do(lambda: {id_: replace(counts) for id_, counts in self._hub.book.all_counts().items()})

    def totals(self) -> Totals:
        """What the proxy did besides following rules."""
        return self._do(lambda: replace(self._hub.totals))

    def connected(self) -> int:
        """How many connections there are now."""
        return self._do(lambda: len(self._hub.connections))

    def await_count(self, rule_id: int, count: int, deadline_s: float) -> bool:
        """Wait until the rule has acted `count` times; False if it has not after `deadline_s`."""
        reached: Future[bool] = Future()
        waiter = (rule_id, count, reached)
        self._do(lambda: self._wait(waiter))
        try:
            return reached.result(deadline_s)
        except TimeoutError:
            with suppress(ClusterError):
                self._do(lambda: self._waiters.remove(waiter) if waiter in self._waiters else None)
            return reached.done() and reached.result()

    # From here on: the proxy's own thread.

    def _run(self) -> None:
        try:
            self._reactor.selector.register(self._wake_read, READ, self)
            while not self._stopping:
                self._reactor.step()
        except BaseException as error:  # whoever asks must hear of it
            self._failure = error
            raise
        finally:
            with self._state:
                self._close_all()

    def ready(self, mask: int) -> None:
        """Somebody has commands."""
        with suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        while True:
            try:
                command, answer = self._commands.get_nowait()
            except queue.Empty:
                return
            try:
                answer.set_result(command())
            except ClusterError as error:
                answer.set_exception(error)

    def _stop(self) -> None:
        self._stopping = True

    def _close_all(self) -> None:
        if self._ended:
            return
        self._ended = True
        for connection in [*self._hub.connections]:
            connection.close()
        for door in self._doors.values():
            door.close()
        self._reactor.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        for _, _, reached in self._waiters:
            reached.set_exception(self._gone())
        while not self._commands.empty():
            answer = self._commands.get()[1]
            answer.set_exception(self._gone())

    def _add(self, rule: Rule) -> int:
        rule_id = self._hub.book.add(rule)
        if rule.action is Action.REFUSE and rule.close:
            for connection in [*self._hub.connections]:
                if connection.is_hit_by(rule):
                    connection.cut(rule_id)
        return rule_id

    def _remove(self, rule_id: int, drop_held: bool) -> Counts:
        self._hub.book.remove(rule_id)
        self._release(rule_id, drop_held)
        return replace(self._hub.book.counts(rule_id))

    def _clear(self, drop_held: bool) -> dict[int, Counts]:
        counts = self._hub.book.all_counts()
        for rule_id in counts:
            self._remove(rule_id, drop_held)
        self._hub.book.forget()
        for rule_id, _, reached in self._waiters:
            reached.set_exception(ClusterError(f"The proxy has no rule {rule_id} any more."))
        self._waiters.clear()
        return counts

    def _release(self, rule_id: int, drop: bool) -> int:
        counts = self._hub.book.counts(rule_id)
        count = sum(connection.release(rule_id, drop=drop) for connection in [*self._hub.connections])
        if not drop:
            counts.released += count
        return count

    def _wait(self, waiter: tuple[int, int, Future[bool]]) -> None:
        self._hub.book.counts(waiter[0])
        self._waiters.append(waiter)
        self._acted(waiter[0])

    def _acted(self, rule_id: int) -> None:
        if not self._waiters:
            return
        acted = self._hub.book.counts(rule_id).acted
        for waiter in [*self._waiters]:
            if waiter[0] == rule_id and acted >= waiter[1]:
                self._waiters.remove(waiter)
                waiter[2].set_result(True)

    # From here on: any thread.

    def _do(self, command: Callable[[], T]) -> T:
        try:
            return self._submit(command).result(_COMMAND_TIMEOUT_S)
        except TimeoutError:
            raise ClusterError(f"The proxy does not answer within {_COMMAND_TIMEOUT_S:g} s.") from None

    def _submit(self, command: Callable[[], T]) -> Future[T]:
        answer: Future[T] = Future()
        with self._state:
            if self._ended or self._thread is None:
                raise self._gone()
            self._commands.put((command, answer))  # type: ignore[arg-type]
            with suppress(BlockingIOError):
                os.write(self._wake_write, b"x")
        return answer

    def _gone(self) -> ClusterError:
        if self._failure is not None:
            return ClusterError(f"The proxy failed: {self._failure!r}.")
        return ClusterError("The proxy is not running.")


class _Door:
    """The listener of one broker's proxy."""

    def __init__(self, hub: Hub, broker: int, port: int, upstream_port: int) -> None:
        self._hub = hub
        self._broker = broker
        self._upstream_port = upstream_port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, port))
            self._socket.listen(_BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    def open(self) -> None:
        self._hub.reactor.selector.register(self._socket, READ, self)

    def ready(self, mask: int) -> None:
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError:
            self._hub.reactor.selector.unregister(self._socket)
            self._hub.reactor.after(_ACCEPT_PAUSE_S, self.open)
            return
        rule_id = self._hub.book.refuses(self._broker, None)
        if rule_id is not None:
            self._hub.book.counts(rule_id).closed += 1
            close_socket(client, reset=True)
            self._hub.acted(rule_id)
            return
        try:
            Connection(self._hub, self._broker, client, self._upstream_port)
        except OSError:  # no file descriptor is left, or the client has gone
            close_socket(client, reset=True)

    def close(self) -> None:
        self._socket.close()
