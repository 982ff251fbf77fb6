"""Free loopback ports, held bound until the moment they are needed."""

from __future__ import annotations

import socket


class PortBlock:
    """`count` free ports of 127.0.0.1, kept bound (not listening) until `release`.

    SO_REUSEADDR lets a JVM bind them right after the release; SO_REUSEPORT is not set, so that nobody else can
    meanwhile.
    """

    def __init__(self, count: int) -> None:
        self._sockets: list[socket.socket] = []
        for _ in range(count):
            held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
            self._sockets.append(held)
        self.ports = tuple(int(held.getsockname()[1]) for held in self._sockets)

    def release(self) -> None:
        for held in self._sockets:
            held.close()
        self._sockets.clear()


def is_listening(port: int, timeout_s: float = 0.2) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`.

    A connection of a port to itself (the system may pick the target as the source port) does not count.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout_s)
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return False
        return bool(probe.getsockname() != probe.getpeername())
