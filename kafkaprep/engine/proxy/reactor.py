"""Runs every socket of the proxy on one thread: readiness, timers, one buffer.

There is one receive buffer for all connections: whoever reads into it uses it up before anybody else reads.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

BUFFER_BYTES = 256 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: discard what is unsent, send RST
_LONGEST_WAIT_S = 60.0

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Watched(Protocol):
    """What the selector calls when its socket is ready."""

    def ready(self, mask: int) -> None: ...


class Reactor:
    """`step` waits for the next readiness or timer and serves it."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.buffer = bytearray(BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_number = 0

    def after(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back later; timers of the same moment run in the order in which they were set."""
        self._timer_number += 1
        heapq.heappush(self._timers, (time.monotonic() + delay_s, self._timer_number, callback))

    def step(self) -> None:
        wait = _LONGEST_WAIT_S
        if self._timers:
            wait = max(0.0, self._timers[0][0] - time.monotonic())
        for key, mask in self.selector.select(wait):
            key.data.ready(mask)
        if self._timers:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()

    def close(self) -> None:
        self.selector.close()
        self._timers.clear()


class Endpoint:
    """A connected socket and what it waits for. `readable` and `writable` are called when it is ready."""

    __slots__ = ("_interest", "_reactor", "open", "readable", "socket", "writable")

    def __init__(self, reactor: Reactor, connected: socket.socket) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self.open = True
        self.readable: Callable[[], None] = _nothing
        self.writable: Callable[[], None] = _nothing
        self._reactor = reactor
        self._interest = 0

    def ready(self, mask: int) -> None:
        if mask & WRITE and self.open:
            self.writable()
        if mask & READ and self.open:
            self.readable()

    def want(self, event: int, wanted: bool) -> None:
        """Begin or end to wait for READ or WRITE."""
        interest = self._interest | event if wanted else self._interest & ~event
        if interest == self._interest or not self.open:
            return
        selector = self._reactor.selector
        if not self._interest:
            selector.register(self.socket, interest, self)
        elif not interest:
            selector.unregister(self.socket)
        else:
            selector.modify(self.socket, interest, self)
        self._interest = interest

    def end_writing(self) -> None:
        """FIN: the other side reads to the end of what was sent."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """Close for good, with RST if `reset`. Safe to call twice."""
        if not self.open:
            return
        self.want(READ | WRITE, False)
        self.open = False
        close_socket(self.socket, reset=reset)


def close_socket(connected: socket.socket, *, reset: bool) -> None:
    if reset:
        with suppress(OSError):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connected.close()


def _nothing() -> None:
    pass
